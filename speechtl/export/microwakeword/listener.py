"""What a listener makes of a model's file: features, a probability every 30 ms, and the mean of the last ones."""

from __future__ import annotations

from collections import deque

import numpy as np

from speechtl.errors import MissingExtraError
from speechtl.export.microwakeword.features import AUDIO, BANDS, MicroFeatures
from speechtl.export.microwakeword.student import STRIDE
from speechtl.runtime.detector import Scorer
from speechtl.runtime.samples import Floats

LEVELS = 256  # of a probability
HALF = 0.5 / LEVELS  # added to it: a probability that rounds to 0 is not impossible, which its log-odds would say


class ListenerEngine:
    """Runs a model's file in LiteRT on frames of 10 ms of samples; `window` is the number of probabilities that are averaged."""

    def __init__(self, content: bytes, window: int = 1) -> None:
        self._content = content
        self._window = window
        self.reset()

    def reset(self) -> None:
        """Begin a new stream: the model's variables are those of its first call."""
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingExtraError("Running a model of microWakeWord", "microwakeword") from error
        self._interpreter = Interpreter(model_content=self._content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._front_end = MicroFeatures()
        self._features = np.zeros((0, BANDS), np.int8)
        self._last = deque([0.0] * self._window, maxlen=self._window)

    def run(self, frames: Floats) -> Floats:
        """Scores `(steps, 1)` of the next frames `(steps * 3, 160)`; the window of the features delays them by a step."""
        self._features = np.concatenate([self._features, self._front_end.feed(frames.ravel())])
        whole = len(self._features) // STRIDE * STRIDE
        scores = [self._step(part) for part in self._features[:whole].reshape(-1, 1, STRIDE, BANDS)]
        self._features = self._features[whole:]
        missing = len(frames) // STRIDE - len(scores)  # one, when a stream begins
        return np.array([HALF] * missing + scores, np.float32)[:, None]

    def _step(self, features: object) -> float:
        self._interpreter.set_tensor(self._input, features)
        self._interpreter.invoke()
        self._last.append(int(self._interpreter.get_tensor(self._output)[0, 0]) / LEVELS)
        return sum(self._last) / self._window + HALF


def listener(content: bytes, window: int = 1) -> Scorer:
    """The scorer of a model's file."""
    return Scorer(AUDIO, STRIDE, ListenerEngine(content, window))
