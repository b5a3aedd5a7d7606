"""What a telephone line or a low bit rate leaves of a sound; length and times do not change."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, sosfiltfilt

from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Samples

TELEPHONE_RATE = 8_000  # hertz
TELEPHONE_BAND = (300.0, 3400.0)  # hertz (ITU-T G.712)
OPUS = {"format": "OGG", "subtype": "OPUS", "compression_level": 0.976}  # about 12 kbit/s: libsndfile takes 256 - 250 * level


def telephone(samples: Samples) -> Samples:
    """A sound after a telephone line: 300 to 3,400 Hz, sampled at 8 kHz, mu-law of 8 bits (ITU-T G.711)."""
    band = np.asarray(sosfiltfilt(_band(), samples, padlen=0), np.float32)
    narrow = soxr.resample(band, SAMPLE_RATE, TELEPHONE_RATE)
    return _fitted(
        soxr.resample(_round_trip(narrow, TELEPHONE_RATE, format="WAV", subtype="ULAW"), TELEPHONE_RATE, SAMPLE_RATE), len(samples)
    )


def codec(samples: Samples) -> Samples:
    """A sound after Opus at about 12 kbit/s."""
    return _fitted(_round_trip(samples, SAMPLE_RATE, **OPUS), len(samples))


@cache
def _band() -> Doubles:
    """The telephone's band-pass filter; it runs in both directions, so that nothing is delayed."""
    return np.asarray(butter(4, TELEPHONE_BAND, "bandpass", fs=SAMPLE_RATE, output="sos"))


def _round_trip(samples: Samples, rate: int, **kind: Any) -> Samples:
    """Samples written to a file of a format and read again."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1.0, 1.0), rate, **kind)
    file.seek(0)
    decoded: Samples = soundfile.read(file, dtype="float32")[0]
    return decoded


def _fitted(samples: Samples, length: int) -> Samples:
    return samples[:length] if len(samples) >= length else np.pad(samples, (0, length - len(samples)))
