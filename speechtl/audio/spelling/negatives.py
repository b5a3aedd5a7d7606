"""Recordings to train against where none are given: read speech, single words, noise and music under CC-BY, by their manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from speechtl.audio.data.download import pull_clips
from speechtl.audio.data.manifest import Clip, read_manifests
from speechtl.audio.spelling.manifests import manifest_path
from speechtl.errors import CheckFailedError, ManifestError, SpeechtlError
from speechtl.files import in_megabytes
from speechtl.progress import Log, progress

SETS: Mapping[str, tuple[str, ...]] = {
    "negatives": ("speechocean762", "librispeech", "speech_commands"),
    "noise": ("noise_esc10", "noise_gsc"),
    "music": ("music_librosa",),
}
ENOUGH = 0.4  # of the seconds of negatives: with these at hand, training goes on where the others cannot be downloaded
BYTES_PER_SECOND = {".wav": 32_000, ".flac": 18_000, ".ogg": 16_000, ".mp3": 8_000}  # about
OWN = "Or give recordings of your own: --negatives FOLDER."


def default_recordings(log: Log) -> dict[str, list[Path]]:
    """The manifests of negatives, noise and music, whose recordings are downloaded first where they are not on this machine.

    Raises `SpeechtlError` that says what to do where that is not possible.
    """
    paths = manifests()
    every = [path for kind in paths.values() for path in kind]
    if missing := [str(path) for path in every if not path.is_file()]:
        raise ManifestError(f"The manifests of the default negatives are missing: {', '.join(missing)}. {OWN}")
    clips = _for_training(every)
    absent = [clip for clip in clips if clip.path is None]
    if absent:
        _fetch(clips, absent, set(paths["negatives"]), log)
    return paths


def manifests() -> dict[str, list[Path]]:
    """The manifests of negatives, noise and music, wherever their recordings are."""
    return {kind: [manifest_path(name) for name in names] for kind, names in SETS.items()}


def are_at_hand() -> bool:
    """Whether enough of the default negatives are on this machine."""
    paths = manifests()["negatives"]
    return all(path.is_file() for path in paths) and _share_at_hand(_for_training(paths)) >= ENOUGH


def _for_training(paths: Sequence[Path]) -> list[Clip]:
    return [clip for clip in read_manifests(paths) if clip.split != "test"]


def _fetch(clips: Sequence[Clip], absent: Sequence[Clip], negatives: set[Path], log: Log) -> None:
    size, hours = in_megabytes(expected_bytes(absent)), sum(clip.duration for clip in absent) / 3600.0
    log(f"Downloading the default negatives, {hours:.1f} h of speech, noise and music: about {size}, once.")
    try:
        pull_clips(absent[:1], attempts=1)  # without a network, all of them would take an hour to fail
        with progress("downloading, recording") as advance:
            pull_clips(absent, progress=advance)
    except CheckFailedError as error:
        reason = str(error).splitlines()[1].split(": ", 2)[-1]
        if _share_at_hand([clip for clip in clips if clip.manifest in negatives]) >= ENOUGH:
            log(f"{len(absent):,} of the default recordings could not be downloaded ({reason}) Training goes on with the others.")
            return
        raise SpeechtlError(
            f"The default negatives are not on this machine (about {size}), and could not be downloaded: {reason} "
            f"Connect once and repeat the command, or set SPEECHTL_DATA to a folder that has them. {OWN}"
        ) from error


def _share_at_hand(clips: Sequence[Clip]) -> float:
    return sum(clip.duration for clip in clips if clip.path) / sum(clip.duration for clip in clips)


def expected_bytes(clips: Sequence[Clip]) -> int:
    """About how much the originals of clips take."""
    rates = (BYTES_PER_SECOND.get(Path(urlsplit(clip.url or "").path).suffix.lower(), 32_000) for clip in clips)
    return round(sum(rate * clip.duration for rate, clip in zip(rates, clips, strict=True)))
