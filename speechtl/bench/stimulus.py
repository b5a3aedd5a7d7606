"""Audio and pictures of the benchmark: made by seed, the same bytes on every machine.

Audio has 48 kHz, as a usual microphone does. Pictures have the sizes of cameras and are files without compression (PPM), because
different libraries decode a JPEG differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechtl.bench.process import Unit
from speechtl.bench.worker import CHUNK_SAMPLES
from speechtl.errors import BundleError
from speechtl.files import sha256_of
from speechtl.runtime.bundle.wake_word import Bundle
from speechtl.runtime.samples import SAMPLE_RATE, Array, Doubles, Int16, from_int16, to_int16, to_symmetric_int16

SEED = 48
MICROPHONE_RATE = 48_000  # hertz
FACTOR = MICROPHONE_RATE // SAMPLE_RATE
CHUNK_SECONDS = CHUNK_SAMPLES / SAMPLE_RATE
SECOND = Unit("second", "audio_seconds", CHUNK_SECONDS)  # of audio, which workers process in chunks
QUIET = 10.0 ** (-75.0 / 20.0)  # root mean square of a quiet room
SILENCE_SECONDS, QUIET_SECONDS, SPEECH_SECONDS, NOISE_SECONDS = 2, 4, 20, 4  # followed by the golden audio
BEFORE_SECONDS = 2.0  # of a quiet room before a word
AFTER_SECONDS = 2.0  # at least; a word that is not detected within 1.5 s is missed
PHASES = 8  # positions within a chunk at which a golden word begins

PICTURE = Unit("picture", "pictures")
PICTURE_SIZES = {"640x480": (640, 480), "1280x720": (1280, 720), "1920x1080": (1920, 1080)}  # pixels, width and height
PICTURES_PER_SIZE = 2
TILE = 40  # pixels; all sides of pictures are multiples of it
TEXTURE = 24  # largest change of a pixel by noise


@dataclass(frozen=True)
class Spoken:
    """A recording (float, 16 kHz) of a word; start and end of the word in seconds."""

    samples: Array
    start: float
    end: float


@dataclass(frozen=True)
class PlayedWord:
    """Whole chunks at 48 kHz with one word in a quiet room; start and end of the word in seconds."""

    samples: Int16
    start: float
    end: float


def schedule(golden: Mapping[str, Array]) -> Int16:
    """The audio for all machines, at 16 kHz: silence, a quiet room, speech-like noise, noise, the golden audio of the bundle."""
    random = np.random.default_rng(SEED)
    parts = [
        np.zeros(SILENCE_SECONDS * SAMPLE_RATE, np.int16),
        to_symmetric_int16(room_noise(QUIET_SECONDS * SAMPLE_RATE, random)),
        speech_like(SPEECH_SECONDS, SEED),
        to_symmetric_int16(0.1 * random.standard_normal(NOISE_SECONDS * SAMPLE_RATE)),
        as_int16(golden["audio"]),
    ]
    samples = np.concatenate(parts)
    return np.pad(samples, (0, -len(samples) % CHUNK_SAMPLES))


def speech_like(seconds: int, seed: int) -> Int16:
    """Noise with the spectrum and rhythm of speech: its level changes four times a second, with pauses."""
    rng = np.random.default_rng(seed)
    count = seconds * SAMPLE_RATE
    spectrum = np.fft.rfft(rng.standard_normal(count))
    shaped = np.fft.irfft(spectrum / np.sqrt(1.0 + np.fft.rfftfreq(count, 1.0 / SAMPLE_RATE) / 500.0), count)
    syllables = np.repeat(rng.uniform(0.0, 1.0, seconds * 4) ** 2, SAMPLE_RATE // 4)
    made: Int16 = (shaped / np.abs(shaped).max() * (0.005 + syllables) * 30_000).astype(np.int16)
    return made


def room_noise(count: int, random: np.random.Generator) -> Doubles:
    """The barely audible noise of a quiet room."""
    return random.standard_normal(count) * QUIET


def to_microphone(samples: Int16) -> Int16:
    """Resample from 16 kHz to 48 kHz in the frequency domain.

    In double precision, so that rounding to int16 hides differences between machines in the last bit; single precision would not.
    """
    count = len(samples) * FACTOR
    spectrum = np.fft.rfft(samples.astype(np.float64))
    spectrum[-1] *= 1.0 if len(samples) % 2 else 0.5  # the highest frequency of an even number of samples counts for both signs
    made: Int16 = np.clip(np.round(np.fft.irfft(spectrum, count) * FACTOR), -32768, 32767).astype(np.int16)
    return made


def golden_words(bundle: Bundle) -> list[Spoken]:
    """Words spoken in a bundle's golden audio; none if it was made without a synthesiser."""
    golden = bundle.golden()
    limits = golden.get("words", np.zeros((0, 2), np.int64))
    audio = as_int16(golden["audio"])
    if any(not 0 <= start < end <= len(audio) for start, end in limits.tolist()):
        raise BundleError(f"{bundle.path} is damaged: a word lies outside of its golden audio.")
    return [Spoken(from_int16(audio[start:end]), 0.0, (end - start) / SAMPLE_RATE) for start, end in limits.tolist()]


def passages(words: Sequence[Spoken], phases: int, after: float = AFTER_SECONDS) -> Iterator[PlayedWord]:
    """Yield every word in a quiet room `phases` times, starting at evenly spaced positions within a chunk."""
    for index, word in enumerate(words):
        for phase in range(phases):
            random = np.random.default_rng([SEED, index, phase])
            first = round(BEFORE_SECONDS * SAMPLE_RATE) + CHUNK_SAMPLES * phase // phases
            count = first + len(word.samples) + round(after * SAMPLE_RATE)
            samples = room_noise(count + -count % CHUNK_SAMPLES, random)
            samples[first : first + len(word.samples)] += word.samples
            begin = first / SAMPLE_RATE
            yield PlayedWord(to_microphone(to_symmetric_int16(samples)), begin + word.start, begin + word.end)


def chunks(samples: Int16, rate: int) -> Iterator[Int16]:
    """Yield samples of a rate (hertz) in chunks of 80 ms, without an incomplete last one."""
    length = round(CHUNK_SECONDS * rate)
    for start in range(0, len(samples) - length + 1, length):
        yield samples[start : start + length]


def as_int16(samples: Array) -> Int16:
    """Golden audio, which is stored as int16 or float, as int16."""
    return samples if samples.dtype == np.int16 else to_int16(samples)


def camera_picture(width: int, height: int, number: int) -> npt.NDArray[np.uint8]:
    """A picture `(height, width, 3)` of coloured tiles with noise, computed in integers only."""
    random = np.random.default_rng([SEED, width, height, number])
    tiles = random.integers(0, 256, (height // TILE, width // TILE, 3), dtype=np.int16)
    noise = random.integers(-TEXTURE, TEXTURE + 1, (height, width, 3), dtype=np.int16)
    return (tiles.repeat(TILE, axis=0).repeat(TILE, axis=1) + noise).clip(0, 255).astype(np.uint8)


def to_ppm(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A picture `(height, width, 3)` as a PPM file."""
    height, width, _ = pixels.shape
    return b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes()


def write_pictures(folder: Path) -> list[Path]:
    """Write the pictures as files (20 MB) with alternating sizes; return their paths."""
    files = []
    for number in range(PICTURES_PER_SIZE):
        for name, (width, height) in PICTURE_SIZES.items():
            files.append(folder / f"{name}-{number}.ppm")
            files[-1].write_bytes(to_ppm(camera_picture(width, height, number)))
    return files


def picture_hash(files: Sequence[Path], golden: npt.NDArray[np.uint8]) -> str:
    """SHA-256 of all pictures that are shown."""
    return sha256_of(b"".join([*(file.read_bytes() for file in files), golden.tobytes()]))
