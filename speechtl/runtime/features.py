"""Log-mel features: one definition for workstation and device, in numpy, streaming.

The settings are those of the published front end of Google's speech_embedding: samples in int16 scale, a 400-sample
Hann window centred in a 512-point DFT, a hop of 160 samples, no padding, power, 32 Slaney-normalised mel bands from
60 to 3800 Hz, `10 * log10(max(power, floor)) / 10 + 2`. The published graph raises everything to 80 dB below
the loudest value of the call; a stream cannot know that value, so a fixed floor is used instead.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from speechtl.errors import BundleError
from speechtl.runtime.samples import INT16_SCALE, SAMPLE_RATE, Floats, to_float

LARGEST = 8192  # samples of a DFT, and bands; more than any front end uses
FRAMES_AT_A_TIME = 512  # bounds the memory of a long recording to a few megabytes


@dataclass(frozen=True)
class LogMelSettings:
    """Settings of log-mel frames; saved with every network and bundle."""

    kind: ClassVar[str] = "log_mel"

    sample_rate: int = SAMPLE_RATE  # hertz
    window: int = 400  # samples: 25 ms
    dft: int = 512  # samples
    hop: int = 160  # samples: 10 ms
    bands: int = 32
    low_hz: float = 60.0
    high_hz: float = 3800.0
    floor_db: float = 20.0  # of mel power in int16 scale; some 90 dB below a voice that fills the scale

    def __post_init__(self) -> None:
        sizes = (self.window, self.dft, self.hop, self.bands)
        if (
            self.sample_rate != SAMPLE_RATE
            or any(type(size) is not int or not 1 <= size <= LARGEST for size in sizes)
            or self.window > self.dft
        ):
            raise BundleError(
                f"The log-mel settings cannot be used: {self}. "
                f"The rate must be {SAMPLE_RATE}, all sizes from 1 to {LARGEST}, and the window within the DFT."
            )
        if not 0.0 <= self.low_hz < self.high_hz <= self.sample_rate / 2 or not math.isfinite(self.floor_db):
            raise BundleError(f"The log-mel settings cannot be used: {self}. The bands must lie between 0 and {self.sample_rate // 2} Hz.")

    @property
    def highest(self) -> float:
        """The highest frequency in use, in hertz."""
        return self.high_hz

    @property
    def silence(self) -> float:
        """The value of every band in digital silence."""
        return self.floor_db / 10.0 + 2.0

    def frames(self, samples: int) -> int:
        """Number of whole frames in this number of samples."""
        return max(0, (samples - self.dft) // self.hop + 1)

    def samples(self, frames: int) -> int:
        """Number of samples that this number of frames (at least one) covers."""
        return (frames - 1) * self.hop + self.dft

    def to_json(self) -> dict[str, Any]:
        """The settings, as JSON stores them."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> LogMelSettings:
        """Read settings back; raise `BundleError` for features of another kind."""
        given = dict(values)
        if given.pop("kind", None) != "log_mel":
            raise BundleError(f"The features are of kind {values.get('kind')!r}; this version of speechtl knows 'log_mel'.")
        try:
            return cls(**given)
        except TypeError as error:
            raise BundleError(f"This version of speechtl does not know these log-mel settings: {error}.") from error


def hz_to_mel(hertz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Convert hertz to Slaney's mel: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998)."""
    hertz = np.asarray(hertz, np.float64)
    return np.where(hertz < 1000.0, hertz * 3.0 / 200.0, 15.0 + np.log(np.maximum(hertz, 1e-9) / 1000.0) * 27.0 / np.log(6.4))


def mel_to_hz(mel: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Convert Slaney's mel to hertz."""
    mel = np.asarray(mel, np.float64)
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0))


def mel_filters(settings: LogMelSettings) -> npt.NDArray[np.float64]:
    """Triangular filters `(bands, dft // 2 + 1)`, each of area one over frequency (Slaney's normalisation)."""
    bins = np.fft.rfftfreq(settings.dft, 1.0 / settings.sample_rate)
    edges = mel_to_hz(np.linspace(hz_to_mel(settings.low_hz), hz_to_mel(settings.high_hz), settings.bands + 2))
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return filters * (2.0 / (edges[2:] - edges[:-2]))[:, None]


class LogMel:
    """Log-mel frames of a stream: any chunk length gives bit for bit the same frames.

    Every frame is computed by the same operations in the same order, however many frames a chunk has; the
    filters are applied band by band over their own bins because a matrix product rounds differently with its size.
    """

    def __init__(self, settings: LogMelSettings | None = None) -> None:
        self.settings = settings or LogMelSettings()
        pad = (self.settings.dft - self.settings.window) // 2
        hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(self.settings.window) / self.settings.window)
        self._window = np.zeros(self.settings.dft, np.float32)
        self._window[pad : pad + self.settings.window] = hann * INT16_SCALE
        filters = mel_filters(self.settings)
        bands, bins = np.nonzero(filters)
        if len(set(bands.tolist())) < self.settings.bands:  # np.unique would load a megabyte of masked arrays
            raise BundleError(
                f"{self.settings.bands} mel bands are too many for a DFT of {self.settings.dft} samples: some contain no bin."
            )
        self._bins = bins
        self._weights = filters[bands, bins].astype(np.float32)
        self._starts = np.searchsorted(bands, np.arange(self.settings.bands))
        self._floor = np.float32(10.0 ** (self.settings.floor_db / 10.0))
        self.reset()

    def reset(self) -> None:
        """Drop the samples held back for the next frame."""
        self._held = np.zeros(0, np.float32)

    def feed(self, samples: npt.ArrayLike) -> Floats:
        """Take the next samples (int16, or float32 in [-1, 1]) and return the frames `(frames, bands)` they complete."""
        self._held = np.concatenate([self._held, to_float(samples)])
        frames = self._compute(self._held)
        self._held = self._held[len(frames) * self.settings.hop :].copy()
        return frames

    def compute(self, samples: npt.ArrayLike) -> Floats:
        """All frames `(frames, bands)` of a recording at once."""
        return self._compute(to_float(samples))

    def _compute(self, samples: Floats) -> Floats:
        count = self.settings.frames(len(samples))
        out = np.empty((count, self.settings.bands), np.float32)
        if count == 0:
            return out
        windows = np.lib.stride_tricks.sliding_window_view(samples, self.settings.dft)[:: self.settings.hop]
        for start in range(0, count, FRAMES_AT_A_TIME):
            end = min(start + FRAMES_AT_A_TIME, count)
            spectrum = np.fft.rfft(windows[start:end] * self._window)[:, self._bins]
            power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
            mel = np.add.reduceat(power * self._weights, self._starts, axis=1)
            np.log10(np.maximum(mel, self._floor), out=out[start:end])
        out += np.float32(2.0)
        return out


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
        """The highest frequency in use, in hertz."""
        return self.sample_rate / 2

    @property
    def bands(self) -> int:
        """Number of values of a frame: its samples."""
        return self.hop

    def frames(self, samples: int) -> int:
        """Number of whole frames in this number of samples."""
        return samples // self.hop

    def samples(self, frames: int) -> int:
        """Number of samples that this number of frames covers."""
        return frames * self.hop

    def to_json(self) -> dict[str, Any]:
        """The settings, as JSON stores them."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> WaveformSettings:
        """Read settings back; raise `BundleError` for values that are not known."""
        try:
            return cls(**{key: value for key, value in values.items() if key != "kind"})
        except TypeError as error:
            raise BundleError(f"This version of speechtl does not know these waveform settings: {error}.") from error


class Waveform:
    """Frames of a stream's samples: any chunk length gives bit for bit the same frames."""

    def __init__(self, settings: WaveformSettings | None = None) -> None:
        self.settings = settings or WaveformSettings()
        self.reset()

    def reset(self) -> None:
        """Drop the samples held back for the next frame."""
        self._held = np.zeros(0, np.float32)

    def feed(self, samples: npt.ArrayLike) -> Floats:
        """Take the next samples (int16, or float32 in [-1, 1]) and return the frames `(frames, hop)` they complete."""
        self._held = np.concatenate([self._held, to_float(samples)])
        frames = self._cut(self._held)
        self._held = self._held[frames.size :].copy()
        return frames

    def compute(self, samples: npt.ArrayLike) -> Floats:
        """All frames `(frames, hop)` of a recording at once."""
        return self._cut(to_float(samples))

    def _cut(self, samples: Floats) -> Floats:
        count = self.settings.frames(len(samples))
        return samples[: self.settings.samples(count)].reshape(count, self.settings.hop)


Features = LogMelSettings | WaveformSettings
FrontEnd = LogMel | Waveform


def front_end(features: Features) -> FrontEnd:
    """The front end that computes these features."""
    return LogMel(features) if isinstance(features, LogMelSettings) else Waveform(features)


def read_features(values: dict[str, Any]) -> Features:
    """Read settings back from JSON; raise `BundleError` for features of a kind that is not known."""
    kinds: dict[Any, type[LogMelSettings] | type[WaveformSettings]] = {kind.kind: kind for kind in (LogMelSettings, WaveformSettings)}
    if values.get("kind") not in kinds:
        known = " and ".join(map(repr, kinds))
        raise BundleError(f"The features are of kind {values.get('kind')!r}; this version of speechtl knows {known}.")
    return kinds[values["kind"]].from_json(values)
