"""Run a bundle's step graph: log-mel frames in, one score out, states kept between."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.errors import BundleError, SpeechtlError
from speechtl.runtime.bundle import Bundle

Floats = npt.NDArray[np.float32]

INPUT = "log_mel"
OUTPUT = "score"


class OnnxEngine:
    """A step graph in ONNX Runtime, on one thread."""

    runtime = "onnx"

    def __init__(self, bundle: Bundle, graph: str) -> None:
        self._states = bundle.states
        self._frames_per_step = bundle.frames_per_step
        self._session = _session(bundle, graph)
        self._outputs = [OUTPUT, *(state.output for state in self._states)]
        self._check(bundle, graph)
        features = bundle.features
        self._silent: dict[str, Any] = {state.name: np.zeros(state.shape, np.float32) for state in self._states}
        self.reset()
        self.run(np.full((bundle.silent_steps * bundle.frames_per_step, features.bands), features.silence, np.float32))
        self._silent = self._current

    def reset(self) -> None:
        """Go back to the states of a stream preceded by silence."""
        self._current = self._silent

    def run(self, frames: Floats) -> list[float]:
        """Return one score a step for the next frames `(steps * frames_per_step, bands)`."""
        return [self._step(frames[first : first + self._frames_per_step]) for first in range(0, len(frames), self._frames_per_step)]

    def _step(self, frames: Floats) -> float:
        outputs = self._session.run(self._outputs, {INPUT: frames[None, None], **self._current})
        self._current = {state.name: value for state, value in zip(self._states, outputs[1:], strict=True)}
        return float(outputs[0].reshape(-1)[0])

    def _check(self, bundle: Bundle, graph: str) -> None:
        frames = (1, 1, bundle.frames_per_step, bundle.features.bands)
        expected = {INPUT: frames, **{state.name: state.shape for state in self._states}}
        given = {value.name: tuple(value.shape) for value in self._session.get_inputs()}
        if given != expected:
            wrong = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
            raise BundleError(
                f"{bundle.path} is damaged: the inputs of {graph} are not those that it announces. {wrong[0]!r} should be "
                f"{expected.get(wrong[0], 'absent')} and is {given.get(wrong[0], 'absent')}."
            )
        missing = set(self._outputs) - {value.name for value in self._session.get_outputs()}
        if missing:
            raise BundleError(f"{bundle.path} is damaged: {graph} has no output {min(missing)!r}.")


def open_engine(bundle: Bundle, graph: str | None = None) -> OnnxEngine:
    """Return an engine for the named graph, or for the first one that a runtime on this machine can run."""
    runnable = [name for name, about in bundle.graphs.items() if about.get("runtime") == OnnxEngine.runtime]
    if graph is not None and graph not in bundle.graphs:
        raise BundleError(f"{bundle.path} has no graph {graph!r}; it has: {', '.join(bundle.graphs)}.")
    if (graph or runnable) and (graph is None or graph in runnable):
        return OnnxEngine(bundle, graph or runnable[0])
    raise SpeechtlError(
        f"Nothing on this machine runs {graph or 'a graph'} of {bundle.path}; install ONNX Runtime with: pip install onnxruntime"
    )


def _session(bundle: Bundle, graph: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SpeechtlError(f"{graph} needs ONNX Runtime, which is not installed. Install it with: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what it has to say comes as an exception, too
    try:
        return onnxruntime.InferenceSession(bundle.files[graph], options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen types without a common parent
        raise BundleError(
            f"{bundle.path}: ONNX Runtime {onnxruntime.__version__} cannot load {graph}: {str(error).splitlines()[0]}"
        ) from error
