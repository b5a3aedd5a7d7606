"""Run a bundle's step graph: frames in, scores out, states kept between; the same for every runtime.

A graph is in one of two formats, and each format has engines that run it: ONNX Runtime for `onnx`, LiteRT or its
predecessor tflite-runtime for `tflite`. Which are installed and which graph the bundle prefers decides what runs.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from speechtl.errors import BundleError, SpeechtlError, did_you_mean
from speechtl.runtime.bundle.description import Graph
from speechtl.runtime.bundle.wake_word import Bundle
from speechtl.runtime.engine.passed import trial_name
from speechtl.runtime.engine.session import INPUT, MAX_REASON, OUTPUT, Session
from speechtl.runtime.engine.trial import try_once
from speechtl.runtime.samples import Array, Floats


def _onnxruntime(content: bytes) -> Session:
    from speechtl.runtime.engine.onnx import OnnxSession

    return OnnxSession(content)


def _litert(content: bytes) -> Session:
    from ai_edge_litert import interpreter

    from speechtl.runtime.engine.tflite import TfliteSession

    return TfliteSession(interpreter, content)


def _tflite_runtime(content: bytes) -> Session:
    from tflite_runtime import interpreter

    from speechtl.runtime.engine.tflite import TfliteSession

    return TfliteSession(interpreter, content)


@dataclass(frozen=True)
class Runtime:
    """A runtime: its package and module, the format it runs, the function that loads a graph, and the precisions in which it is trusted."""

    package: str
    module: str
    format: str
    load: Callable[[bytes], Session]
    precisions: tuple[str, ...] = ("fp32", "int8")

    def runs(self, graph: Graph) -> bool:
        """True where it runs graphs of this format."""
        return self.format == graph.format

    def trusts(self, graph: Graph) -> bool:
        """True where it gives the graph's scores: always in its precisions, else where the bundle lists it as measured."""
        return self.runs(graph) and (graph.precision in self.precisions or self.package in graph.measured)

    @property
    def installed(self) -> bool:
        """True where it is installed."""
        return importlib.util.find_spec(self.module) is not None


RUNTIMES = {
    runtime.package: runtime
    for runtime in (
        Runtime("onnxruntime", "onnxruntime", "onnx", _onnxruntime),
        Runtime("ai-edge-litert", "ai_edge_litert", "tflite", _litert),
        # Its int8 kernels round differently from LiteRT's, which the exporter measures with; some graphs stay within tolerance.
        Runtime("tflite-runtime", "tflite_runtime", "tflite", _tflite_runtime, ("fp32",)),
    )
}


class Turn:
    """The engine whose states a shared session holds at present."""

    holder: Engine | None = None


class Engine:
    """A bundle's graph in a runtime: one row of scores a step.

    A shallow copy that was reset serves another stream with the same session: the states of the stream that ran last
    are saved when another one runs. Use them from one thread.
    """

    def __init__(self, bundle: Bundle, graph: Graph, runtime: Runtime) -> None:
        self.graph = graph.name
        self.runtime = runtime.package
        self._frames = bundle.frames_per_step
        self._words = len(bundle.words)
        content = bundle.files[graph.name]
        with _refusal(bundle, graph, runtime, "start"):
            module = importlib.import_module(runtime.module)
        if not bundle.made_here:
            about = (graph, bundle.features, bundle.frames_per_step, bundle.silent_steps, bundle.states, self._words)
            name = trial_name(bundle.files.sha256(graph.name), module, *about)
            try_once(name, lambda: _first_steps(bundle, graph, runtime, content), len(content), f"{bundle.path}: {graph.name}")
        self._session = _load(bundle, graph, runtime, content)
        self._turn = Turn()
        self._aside = [np.zeros(self._session.inputs[state.name].shape) for state in bundle.states]
        with _refusal(bundle, graph, runtime, "run"):
            self.run(np.full((bundle.silent_steps * self._frames, bundle.features.bands), bundle.features.silence, np.float32))
        self._silent = self._session.save()

    @property
    def silent_states(self) -> list[Array]:
        """The states of a stream preceded by silence, in the order of the bundle's."""
        return list(self._silent)

    def reset(self) -> None:
        """Go back to the states of a stream preceded by silence."""
        self._aside = self._silent
        if self._turn.holder is self:
            self._turn.holder = None

    def run(self, frames: Floats) -> Floats:
        """Scores `(steps, words)` of the next frames `(steps * frames_per_step, bands)`."""
        self._take_turn()
        scores = np.empty((len(frames) // self._frames, self._words), np.float32)
        for step in range(len(scores)):
            scores[step] = self._session.step(frames[step * self._frames : (step + 1) * self._frames])
        return scores

    def _take_turn(self) -> None:
        before = self._turn.holder
        if before is self:
            return
        if before is not None:
            before._aside = self._session.save()
        self._session.load(self._aside)
        self._turn.holder = self


def _load(bundle: Bundle, graph: Graph, runtime: Runtime, content: bytes) -> Session:
    """A session whose inputs and outputs are those of the bundle's description, with its states bound."""
    with _refusal(bundle, graph, runtime, "load"):
        session = runtime.load(content)
    _check(bundle, graph, session)
    with _refusal(bundle, graph, runtime, "run"):
        session.bind(bundle.states)
    return session


def _first_steps(bundle: Bundle, graph: Graph, runtime: Runtime, content: bytes) -> None:
    """Load a graph and run as much silence as an engine begins with, at least one step."""
    session = _load(bundle, graph, runtime, content)
    silence = np.full((bundle.frames_per_step, bundle.features.bands), bundle.features.silence, np.float32)
    with _refusal(bundle, graph, runtime, "run"):
        session.load([np.zeros(session.inputs[state.name].shape) for state in bundle.states])
        for _ in range(max(bundle.silent_steps, 1)):
            session.step(silence)


def open_engine(bundle: Bundle, graph: str | None = None, engine: str | None = None) -> Engine:
    """An engine for the bundle's first graph that an installed runtime runs.

    `graph` (a file of the bundle) and `engine` (a key of `RUNTIMES`) narrow the choice. Graphs that the exporter did not
    find accurate enough, or that were not measured in the runtime there is, are run only by name. Raises `BundleError` for a
    graph that is not there or refused by the runtime, `SpeechtlError` when nothing on this machine runs it.
    """
    if graph is not None and graph not in bundle.graphs:
        raise BundleError(f"{bundle.path} has no graph {graph!r}; it has: {', '.join(bundle.graphs)}.")
    if engine is not None and engine not in RUNTIMES:
        raise SpeechtlError(f"The engine {engine!r} is not known{did_you_mean(engine, RUNTIMES)}; take one of: {', '.join(RUNTIMES)}.")
    wanted = [bundle.graphs[graph]] if graph else [made for made in bundle.graphs.values() if made.default]
    for made, runtime in pairs(bundle, wanted, unmeasured=graph is not None):
        if engine in (None, runtime.package):
            return Engine(bundle, made, runtime)
    raise SpeechtlError(_nothing_runs(bundle, wanted, graph, engine))


def pairs(bundle: Bundle, graphs: Sequence[Graph] | None = None, *, unmeasured: bool = False) -> list[tuple[Graph, Runtime]]:
    """Each graph of the bundle with each installed runtime that gives its scores, in order of preference.

    `unmeasured` includes runtimes in which the graph was not measured.
    """
    chosen = bundle.graphs.values() if graphs is None else graphs
    return [
        (graph, runtime)
        for graph in chosen
        for runtime in RUNTIMES.values()
        if runtime.installed and (runtime.runs(graph) if unmeasured else runtime.trusts(graph))
    ]


def _nothing_runs(bundle: Bundle, graphs: Sequence[Graph], graph: str | None, engine: str | None) -> str:
    fits = Runtime.trusts if graph is None else Runtime.runs
    able = [runtime.package for runtime in RUNTIMES.values() if any(fits(runtime, made) for made in graphs)]
    what = f"{graph} of {bundle.path}" if graph else f"a graph of {bundle.path}"
    if engine is not None and engine not in able:
        return f"{engine} does not run {what}; take: {', '.join(able) or 'a newer speechtl'}."
    if not able:
        return f"No runtime that this version of speechtl supports runs {what}. Update it with: pip install -U speechtl"
    return f"No installed runtime runs {what}; install one with: pip install {engine or able[0]}"


@contextmanager
def _refusal(bundle: Bundle, graph: Graph, runtime: Runtime, what: str) -> Iterator[None]:
    """Turn the errors of a runtime that does not start, or cannot `what` a graph, into one sentence."""
    try:
        yield
    except SpeechtlError:
        raise
    except ImportError as error:
        raise SpeechtlError(
            f"{runtime.package} is installed but does not start ({error}). "
            f"Install it again with: pip install --force-reinstall {runtime.package}"
        ) from error
    except Exception as error:  # runtimes raise a dozen types without a common parent
        lines = str(error).splitlines() or [type(error).__name__]
        reason = ascii(lines[0])[1:-1][:MAX_REASON].rstrip(".")  # it may repeat names of an untrusted graph
        raise BundleError(
            f"{bundle.path}: {runtime.package} cannot {what} {graph.name}: {reason}. "
            f"Choose another graph with --graph, or update the runtime with: pip install -U {runtime.package}"
        ) from error


def _check(bundle: Bundle, graph: Graph, session: Session) -> None:
    """Refuse a graph whose inputs and outputs are not those of the bundle's description."""
    frames = (1, 1, bundle.frames_per_step, bundle.features.bands)
    inputs = {INPUT: graph.shape(frames), **{state.name: graph.shape(state.shape) for state in bundle.states}}
    outputs = {OUTPUT: (1, len(bundle.words)), **{state.output: graph.shape(state.shape) for state in bundle.states}}
    for kind, announced, tensors in (("inputs", inputs, session.inputs), ("outputs", outputs, session.outputs)):
        given = {name: tensor.shape for name, tensor in tensors.items()}
        if kind == "outputs":
            given = {name: shape for name, shape in given.items() if name in announced}
        wrong = sorted(name for name in announced.keys() | given.keys() if announced.get(name) != given.get(name))
        if wrong:
            raise BundleError(
                f"{bundle.path} is damaged: the {kind} of {graph.name} do not match its description. {wrong[0]!r} should be "
                f"{announced.get(wrong[0], 'absent')} and is {given.get(wrong[0], 'absent')}."
            )
