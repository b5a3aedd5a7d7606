"""The interface of Porcupine's Python package: `create`, `process(pcm)` with the index of the word, `frame_length`, `delete`.

    from speechtl.places import porcupine as pvporcupine

    porcupine = pvporcupine.create(keyword_paths=["computer.wake", "jarvis.wake"], sensitivities=[0.5, 0.7])
    index = porcupine.process(pcm)  # 512 samples; -1, or the word's index

No access key is needed; nothing leaves the machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl import __version__
from speechtl.errors import AudioError, SpeechtlError
from speechtl.runtime.bundle.wake_word import Word
from speechtl.runtime.detector import Detector
from speechtl.runtime.samples import SAMPLE_RATE

FRAME_LENGTH = 512  # samples
MIDDLE = 0.5  # the sensitivity of the calibrated threshold
TEN = 10.0  # by as much the odds of the threshold are higher with sensitivity 0, and lower with sensitivity 1


class Porcupine:
    """Wake words of one or several bundles; indices count their words in the order given."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.keywords = [name for detector in detectors for name in detector.names]
        self._detectors: list[Detector] | None = list(detectors)
        self._waiting: deque[int] = deque()  # words that were detected in the same frame as the one before

    @property
    def frame_length(self) -> int:
        """Samples in each frame that `process` takes."""
        return FRAME_LENGTH

    @property
    def sample_rate(self) -> int:
        """The rate of the samples, in hertz."""
        return SAMPLE_RATE

    @property
    def version(self) -> str:
        """The version of speechtl."""
        return __version__

    def process(self, pcm: npt.ArrayLike) -> int:
        """Take the next frame of 512 int16 samples; return the index of the word that was detected at its end, or -1."""
        if self._detectors is None:
            raise SpeechtlError("This Porcupine was deleted; make another with create().")
        frame = _frame(pcm)
        first = 0
        for detector in self._detectors:
            self._waiting.extend(first + detector.names.index(event.name) for event in detector.feed(frame))
            first += len(detector.names)
        return self._waiting.popleft() if self._waiting else -1

    def reset(self) -> None:
        """Begin a new stream: what follows has nothing to do with what came before."""
        self._waiting.clear()
        for detector in self._detectors or ():
            detector.reset()

    def delete(self) -> None:
        """Free the graphs."""
        self._detectors = None

    def __enter__(self) -> Porcupine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.delete()


def create(
    access_key: str | None = None,
    library_path: str | None = None,
    model_path: str | None = None,
    device: str | None = None,
    keyword_paths: Sequence[str | Path] | None = None,
    keywords: Sequence[str] | None = None,
    sensitivities: Sequence[float] | None = None,
) -> Porcupine:
    """Open bundles: those of `keyword_paths`, or else those named by `keywords`.

    `sensitivities` has a number from 0 to 1 for each bundle: 0.5 is the calibrated threshold, with 1 the odds of the threshold are ten
    times lower (fewer misses, more false accepts), with 0 ten times higher. The first four arguments are Porcupine's own and ignored.
    """
    given = keyword_paths if keyword_paths is not None else keywords
    if not given:
        raise SpeechtlError("Either keyword_paths or keywords must be given: a list of bundles (NAME.wake).")
    if isinstance(given, str):
        raise SpeechtlError(f"A list of bundles is needed; got the text {given!r}. Write [{given!r}].")
    levels = [MIDDLE] * len(given) if sensitivities is None else list(sensitivities)
    if len(levels) != len(given):
        raise SpeechtlError(f"Each bundle needs a sensitivity; got {len(levels)} for {len(given)} bundles.")
    return Porcupine([_open(path, level) for path, level in zip(given, levels, strict=True)])


def threshold_at(sensitivity: float, calibrated: float) -> float:
    """The threshold of a sensitivity, where that of 0.5 is the calibrated one."""
    if isinstance(sensitivity, bool) or not 0.0 <= sensitivity <= 1.0:
        raise SpeechtlError(f"A sensitivity must be a number from 0 to 1; got {sensitivity!r}.")
    if calibrated >= 1.0 or sensitivity == MIDDLE:
        return calibrated
    odds = calibrated / (1.0 - calibrated) * TEN ** (2.0 * (MIDDLE - sensitivity))
    return odds / (1.0 + odds)


def _open(path: str | Path, sensitivity: float) -> Detector:
    detector = Detector.open(path)
    return Detector(detector.scorer, [_at(word, sensitivity) for word in detector.words])


def _at(word: Word, sensitivity: float) -> Word:
    return replace(word, trigger=replace(word.trigger, threshold=threshold_at(sensitivity, word.trigger.threshold)))


def _frame(pcm: npt.ArrayLike) -> npt.NDArray[Any]:
    """The frame as an array of int16."""
    array = np.frombuffer(pcm, np.int16) if isinstance(pcm, bytes | bytearray) else np.asarray(pcm)
    if array.shape != (FRAME_LENGTH,):
        raise AudioError(f"A frame must have {FRAME_LENGTH} samples; got {'x'.join(map(str, array.shape)) or 'a single number'}.")
    if array.dtype.kind not in "iu" or array.min() < -32768 or array.max() > 32767:
        raise AudioError("The samples of a frame must be whole numbers of 16 bits, from -32768 to 32767.")
    return array.astype(np.int16)
