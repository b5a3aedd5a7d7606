"""A bundle's step graph, run for many steps at a time: the same weights and operations, twice as fast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from speechtl.runtime.bundle.wake_word import Bundle
from speechtl.runtime.detector import Engine
from speechtl.runtime.engine import select
from speechtl.runtime.engine.session import INPUT, OUTPUT
from speechtl.runtime.samples import Floats
from speechtl.runtime.trigger import log_odds

STEPS = 256  # at most at a time: 20 s, whose layers fit the processor's cache
FRAMES = "frames"
TIME = 2  # the axis of frames within a graph
TRIED = 300  # steps of noise with which a widened graph is compared
SCORE_DIFFERS, ODDS_DIFFER = 1e-5, 0.01  # at most, of scores and of log-odds below `SURE`
SURE = 0.9  # above it the rounding of scores dominates their log-odds


class ManySteps:
    """An engine that computes many steps at a time, each from all frames in its receptive field."""

    def __init__(self, graph: bytes, bundle: Bundle, engine: select.Engine) -> None:
        from speechtl.runtime.engine.onnx import load_graph

        self._session = load_graph(graph)
        self._shape = bundle.graphs[engine.graph].shape
        self._silent = {state.name: values for state, values in zip(bundle.states, engine.silent_states, strict=True)}
        self._frames = bundle.frames_per_step
        self._context = bundle.silent_steps * bundle.frames_per_step
        self._bands = bundle.features.bands
        self.reset()

    def reset(self) -> None:
        """Begin a new stream, preceded by silence."""
        self._past = np.zeros((0, self._bands), np.float32)

    def run(self, frames: Floats) -> Floats:
        """Scores `(steps, words)` of the next frames `(steps * frames_per_step, bands)`."""
        steps = len(frames) // self._frames
        turns = math.ceil(steps / STEPS)
        size = math.ceil(steps / turns) * self._frames
        return np.concatenate([self._run(frames[start : start + size]) for start in range(0, len(frames), size)])

    def _run(self, frames: Floats) -> Floats:
        known = np.concatenate([self._past, frames])
        warm_up = len(self._past) // self._frames  # steps whose states are not those of the stream yet
        (scores,) = self._session.run([OUTPUT], {INPUT: known.reshape(self._shape((1, 1, *known.shape))), **self._silent})
        self._past = known[max(len(known) - self._context, 0) :]
        return np.ascontiguousarray(scores[0].T[warm_up:])


def widened(bundle: Bundle, engine: select.Engine) -> bytes | None:
    """The engine's graph for any number of steps; None where it cannot be made, or gives other scores."""
    if engine.runtime != "onnxruntime":
        return None
    graph = widen(bundle.files[engine.graph], bundle.graphs[engine.graph].shape((0, 1, TIME, 3)).index(TIME))
    try:
        return graph if graph is not None and _agree(ManySteps(graph, bundle, engine), engine, bundle) else None
    except Exception:  # noqa: BLE001  # of a dozen types: the runtime does not take such a graph
        return None


def widen(content: bytes, axis: int = TIME) -> bytes | None:
    """A step graph that takes any number of frames and gives all scores `(1, words, steps)`; None for a graph of another form.

    `axis` is that of time in its input.
    A step graph keeps the score of its last frame: what selects it is taken out, and the next selection moves one axis on.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    graph = model.graph
    made_by = {output: node for node in graph.node for output in node.output}
    selections: list[Any] = []
    name = OUTPUT
    while name in made_by and len(selections) < 2:
        node = made_by[name]
        selections += [node] if node.op_type == "Gather" else []
        name = node.input[0]
    if [_axis(node) for node in selections] != [TIME, TIME]:
        return None
    band, last = selections
    next(attribute for attribute in band.attribute if attribute.name == "axis").i = TIME + 1
    for node in graph.node:
        node.input[:] = [last.input[0] if given == last.output[0] else given for given in node.input]
    graph.node.remove(last)
    _free_time(graph, axis)
    return bytes(model.SerializeToString())


def _axis(node: Any) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


def _free_time(graph: Any, axis: int) -> None:
    """Let the input have any number of frames, and leave out the new states."""
    (frames,) = (value for value in graph.input if value.name == INPUT)
    frames.type.tensor_type.shape.dim[axis].dim_param = FRAMES
    (score,) = (value for value in graph.output if value.name == OUTPUT)
    score.type.tensor_type.ClearField("shape")
    del graph.output[:], graph.value_info[:]
    graph.output.append(score)


def _agree(many: ManySteps, engine: select.Engine, bundle: Bundle) -> bool:
    """Whether two engines give the same scores for noise whose level rises and falls."""
    random = np.random.default_rng(0)
    length = TRIED * bundle.frames_per_step
    loudness = 2.0 + 2.0 * np.sin(np.arange(length) / 40.0)
    frames = bundle.features.silence + random.random((length, bundle.features.bands)) * loudness[:, None]
    expected = _played(engine, frames.astype(np.float32))
    given = _played(many, frames.astype(np.float32))
    unsure = expected < SURE
    return given.shape == expected.shape and bool(
        np.abs(given - expected).max() < SCORE_DIFFERS
        and np.abs(log_odds(given[unsure]) - log_odds(expected[unsure])).max(initial=0.0) < ODDS_DIFFER
    )


def _played(engine: Engine, frames: Floats) -> Floats:
    engine.reset()
    scores = engine.run(frames)
    engine.reset()
    return scores
