"""Samples as features: frames of them, for networks that take sound as it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from speechtl.errors import BundleError
from speechtl.runtime.samples import SAMPLE_RATE, to_float

Floats = npt.NDArray[np.float32]

LONGEST = SAMPLE_RATE  # samples of a frame


@dataclass(frozen=True)
class WaveformSettings:
    """Frames of `hop` samples in [-1, 1] that do not overlap; saved with every network and bundle."""

    kind: ClassVar[str] = "waveform"
    silence: ClassVar[float] = 0.0  # the value of every sample in digital silence

    sample_rate: int = SAMPLE_RATE  # hertz
    hop: int = 320  # samples: 20 ms

    def __post_init__(self) -> None:
        if self.sample_rate != SAMPLE_RATE or type(self.hop) is not int or not 1 <= self.hop <= LONGEST:
            raise BundleError(
                f"The waveform settings cannot be used: {self}. The rate must be {SAMPLE_RATE} and a frame have 1 to {LONGEST} samples."
            )

    @property
    def highest(self) -> float:
        """The highest frequency that is looked at, in hertz."""
        return self.sample_rate / 2

    @property
    def bands(self) -> int:
        """How many numbers a frame has: its samples."""
        return self.hop

    def frames(self, samples: int) -> int:
        """Return how many frames fit into so many samples."""
        return samples // self.hop

    def samples(self, frames: int) -> int:
        """Return how many samples so many frames cover."""
        return frames * self.hop

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON stores them."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> WaveformSettings:
        """Read settings back; raise `BundleError` for values that are not known."""
        try:
            return cls(**{key: value for key, value in values.items() if key != "kind"})
        except TypeError as error:
            raise BundleError(f"The waveform settings are not those that this version of speechtl knows: {error}.") from error


class Waveform:
    """Frames of a stream's samples: any chunk length gives bit for bit the same frames."""

    def __init__(self, settings: WaveformSettings | None = None) -> None:
        self.settings = settings or WaveformSettings()
        self.reset()

    def reset(self) -> None:
        """Forget the samples held back for the next frame."""
        self._held = np.zeros(0, np.float32)

    def feed(self, samples: npt.ArrayLike) -> Floats:
        """Take the next samples (int16, or float32 in [-1, 1]) and return the frames `(frames, hop)` they complete."""
        self._held = np.concatenate([self._held, to_float(samples)])
        frames = self._cut(self._held)
        self._held = self._held[frames.size :].copy()
        return frames

    def compute(self, samples: npt.ArrayLike) -> Floats:
        """Return all frames `(frames, hop)` of a recording at once."""
        return self._cut(to_float(samples))

    def _cut(self, samples: Floats) -> Floats:
        count = self.settings.frames(len(samples))
        return samples[: self.settings.samples(count)].reshape(count, self.settings.hop)
