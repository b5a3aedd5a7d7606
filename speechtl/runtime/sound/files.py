"""Reading recordings: any format of libsndfile, any rate, any number of channels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from speechtl.errors import AudioError
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.silence import silent_library
from speechtl.runtime.sound import media
from speechtl.runtime.sound.length import FLAC_UNKNOWN, counted_seconds, with_length
from speechtl.text import counted

if TYPE_CHECKING:
    import soundfile
    import soxr

MU_LAW = {".ulaw", ".ul"}  # headerless telephone speech: by definition mu-law, one channel, 8 kHz
MU_LAW_RATE = 8000  # hertz
SUFFIXES = {".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".au"} | MU_LAW
HEADERS = (b".snd", b"RIFF", b"fLaC", b"OggS", b"ID3")  # of files that only are named like headerless ones
SoundFile: TypeAlias = "soundfile.SoundFile | media.MediaFile"
UNREAD_SECONDS = 0.25  # tolerated at the end: encoders pad the last frames, and decoders cut the padding off
STREAMED_BYTES = 0x7F000000  # or more is announced by programs that cannot know the length in advance
FLAT_TO = 5000.0  # hertz, up to which the faster resampling has a flat response
HELD_BACK = 0.022  # seconds of sound that it holds back at most, from 44.1, 48 and 96 kHz
BLOCK_SECONDS = 10.0  # read at a time, so that a recording of a day needs no more memory than one of a minute


def readable() -> set[str]:
    """The suffixes of recordings that can be read here; with PyAV also those of phones."""
    return SUFFIXES | media.SUFFIXES if media.installed() else SUFFIXES


def read_blocks(
    path: Path | str,
    offset: float = 0.0,
    duration: float | None = None,
    block_seconds: float = BLOCK_SECONDS,
    channel: int | None = None,
) -> Iterator[Samples]:
    """Yield a recording as mono float32 blocks at 16 kHz: one `channel`, counted from 1, or the average of all.

    `offset` and `duration` (seconds) choose a part. Raises `AudioError` when the file is missing, empty, not audio,
    shorter than its header says, lacks the channel, or contains samples that are not numbers.
    """
    path = Path(path)
    with _open(path) as file:
        rate = file.samplerate
        _check_length(file, path)
        if channel is not None and channel > file.channels:
            raise AudioError(f"{path} has {counted(file.channels, 'channel')}; channel {channel} was asked for.")
        start = round(offset * rate)
        frames = _frames(file, path)
        wanted = max(frames - start, 0)
        if duration is not None:
            wanted = min(round(duration * rate), wanted)
        if wanted == 0:
            raise AudioError(f"{path} is {frames / rate:.2f} s long; the requested part from {offset:.2f} s on is empty.")
        _seek(file, path, start)
        convert = resampler(rate)
        done = 0
        while done < wanted:
            block = _read(file, path, min(round(block_seconds * rate), wanted - done))
            done += len(block)
            mono = _to_mono(block, path, channel)
            if convert is not None:
                mono = convert.resample_chunk(mono, last=done >= wanted)
            if len(mono):
                yield mono


def resampler(rate: int, *, highest: float | None = None) -> soxr.ResampleStream | None:
    """A streaming resampler from `rate` (hertz) to 16 kHz, or None for 16 kHz.

    Where nothing above `highest` (hertz) is used, it may hold back less sound: at the usual rates `HELD_BACK` in place of
    twice as much.
    """
    if rate == SAMPLE_RATE:
        return None
    try:
        import soxr
    except ImportError as error:  # there is no wheel for every 32-bit ARM system
        raise AudioError(
            f"Sound of {rate} Hz needs the package soxr, which is not installed: pip install soxr. Or give 16000 Hz."
        ) from error
    quality = "LQ" if highest is not None and highest <= FLAT_TO else "HQ"
    return soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality=quality)


def load_soundfile() -> Any:
    """Import soundfile; raise `AudioError` where it, or libsndfile, is not installed."""
    try:
        import soundfile
    except ImportError as error:
        raise AudioError(
            "Sound files need the package soundfile, which is not installed. Install it with: pip install soundfile"
        ) from error
    except OSError as error:  # 32-bit ARM's package comes without the library
        raise AudioError(f"Sound files need libsndfile ({error}). Install it with: sudo apt-get install libsndfile1") from error
    return soundfile


def read_audio(path: Path | str, offset: float = 0.0, duration: float | None = None, channel: int | None = None) -> Samples:
    """Read a recording, a part or a channel of it, as mono float32 samples `(samples,)` at 16 kHz in [-1, 1]."""
    blocks = list(read_blocks(path, offset, duration, channel=channel))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def describe(path: Path | str) -> tuple[int, int, float]:
    """Sample rate (hertz), channels and duration (seconds), as they will be read."""
    with _open(Path(path)) as file:
        return file.samplerate, file.channels, _frames(file, Path(path)) / file.samplerate


def _open(path: Path) -> SoundFile:
    if path.is_dir():
        raise AudioError(f"{path} is a folder; give an audio file.")
    if not path.exists():
        raise AudioError(f"{path} does not exist.")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes).")
    soundfile = load_soundfile()
    try:
        with _silence(path):
            # A name may not be UTF-8.
            file = soundfile.SoundFile(with_length(path) or (os.fsencode(path) if os.name == "posix" else path), **_headerless(path))
    except soundfile.SoundFileError as error:
        if media.installed() and path.suffix.lower() in media.SUFFIXES:
            return media.MediaFile(path)
        what = f"{path} is not an audio file that can be read (WAV, FLAC, MP3, Ogg/Opus)"
        raise AudioError(
            f"{what}. {media.advice(path)}" if path.suffix.lower() in media.SUFFIXES else f"{what}: {_reason(error)}"
        ) from error
    return _whole(file, path)


def _headerless(path: Path) -> dict[str, Any]:
    """What soundfile has to be told about a file that has no header; nothing about any other."""
    if path.suffix.lower() not in MU_LAW:
        return {}
    with path.open("rb") as file:
        if file.read(4).startswith(HEADERS):
            return {}
    return {"samplerate": MU_LAW_RATE, "channels": 1, "format": "RAW", "subtype": "ULAW"}


def _whole(file: soundfile.SoundFile, path: Path) -> SoundFile:
    """The file as libsndfile reads it, or as PyAV does where libsndfile would end early; raises `AudioError` without PyAV."""
    counted = counted_seconds(path) if file.format in ("MP3", "MPEG", "OGG") else None
    announced = file.frames / file.samplerate
    if counted is None or counted[0] <= announced + UNREAD_SECONDS:
        return file
    file.close()
    if media.installed():
        return media.MediaFile(path)
    raise AudioError(
        f"{path} contains {counted[0]:.1f} s of sound, of which the last {counted[0] - announced:.1f} s cannot be read "
        f"(joined files, or MP3 of variable bit rate without the length in its header). {media.advice(path)}"
    )


def _frames(file: SoundFile, path: Path) -> int:
    """Number of frames to read; for MP3 whose header does not give it, as counted."""
    if not isinstance(file, media.MediaFile) and file.format in ("MP3", "MPEG") and (counted := counted_seconds(path)) and not counted[1]:
        return int(min(file.frames, counted[0] * file.samplerate))
    if file.frames >= FLAC_UNKNOWN:
        raise AudioError(f"{path} is damaged: its header does not give the length, and no whole frame was found at its end.")
    return int(file.frames)


def _silence(path: Path) -> AbstractContextManager[None]:
    """A context in which libmpg123 does not write to the terminal."""
    with path.open("rb") as file:
        beginning = file.read(3)
    is_mp3 = beginning == b"ID3" or (len(beginning) > 1 and beginning[0] == 0xFF and beginning[1] & 0xE0 == 0xE0)
    return silent_library() if is_mp3 else nullcontext()


def _check_length(file: SoundFile, path: Path) -> None:
    """Refuse a file without audio, and a WAV or AIFF file that was cut short, which libsndfile only reports in its log."""
    if file.frames <= 0:
        raise AudioError(f"{path} contains no audio: its header announces 0 samples.")
    cut = re.search(r"^\s*(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if cut and int(cut[2]) < int(cut[1]) < STREAMED_BYTES:
        raise AudioError(f"{path} is cut short: its header announces {cut[1]} bytes of audio, and the file has {cut[2]}.")


def _seek(file: SoundFile, path: Path, start: int) -> None:
    if start == 0:
        return
    soundfile = load_soundfile()
    try:
        with _silence(path):
            file.seek(start)
    except soundfile.SoundFileError as error:
        raise AudioError(f"{path} is damaged: {_reason(error)}") from error


def _read(file: SoundFile, path: Path, frames: int) -> Samples:
    soundfile = load_soundfile()
    try:
        with _silence(path):
            block: Samples = file.read(frames, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise AudioError(f"{path} is damaged: {_reason(error)}") from error
    if len(block) < frames:
        raise AudioError(
            f"{path} is cut short: its header announces {file.frames} samples, of which at least {frames - len(block)} are missing."
        )
    return block


def _to_mono(block: Samples, path: Path, channel: int | None) -> Samples:
    if not np.isfinite(block).all():
        raise AudioError(f"{path} contains samples that are not numbers (NaN or infinity).")
    if channel is not None or block.shape[1] == 1:
        return block[:, (channel or 1) - 1]
    return block.mean(axis=1, dtype=np.float32)


def _reason(error: Exception) -> str:
    said = str(error).split(": ", 1)[-1].strip().rstrip(".")
    return "Format not recognised." if "possibly a pipe" in said else f"{said}."  # of a file that is there and is no MP3
