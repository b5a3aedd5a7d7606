"""A folder of takes: `<folder>/<speaker>/<number>.wav` (16 kHz, 16 bits) and `manifest.jsonl` with what is known about each of them.

Every change leaves the folder whole: a file gets its name when it is complete, and the manifest is replaced in one step. Several
programs may record into one folder.
"""

from __future__ import annotations

import re
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from speechtl.audio.data.folder import MANIFEST
from speechtl.audio.data.manifest import Clip, read_manifest, write_manifest
from speechtl.audio.phrases import name_key
from speechtl.errors import SpeechtlError
from speechtl.files import check_room, locked, sha256_of, writing
from speechtl.runtime.samples import SAMPLE_RATE, Array, Int16, to_int16
from speechtl.runtime.sound.files import describe, load_soundfile

CONSENT = "training and testing of wake-word detectors"  # what a speaker agrees to
OWN_LICENCE = "LicenseRef-own-recordings"  # recorded for this detector, and not published
LONGEST_NAME = 60  # characters of a speaker's name
LOCK_SECONDS = 10.0  # that another program may take for a change
_changes = threading.Lock()


@dataclass(frozen=True)
class Speaker:
    """A speaker's name, what he or she agreed to, and the licence (SPDX) of the recordings; both are empty if unknown."""

    name: str
    consent: str = CONSENT
    licence: str = OWN_LICENCE


@dataclass(frozen=True)
class Circumstances:
    """How a take was recorded: the device (empty if unknown) and its rate (hertz); `more` are other keys of the manifest."""

    device: str
    rate: int
    more: dict[str, Any] = field(default_factory=dict)


def speaker_name(given: str) -> str:
    """A speaker's name without superfluous spaces; raises `SpeechtlError` for one that cannot be the name of a folder."""
    name = " ".join(unicodedata.normalize("NFC", given).split())
    signs = "".join(sign for sign in name if not (sign.isalnum() or unicodedata.category(sign).startswith("M") or sign in " -_."))
    if signs or not any(sign.isalnum() for sign in name) or name.startswith(".") or name.endswith(".") or len(name) > LONGEST_NAME:
        raise SpeechtlError(
            f"The speaker's name {given!r} cannot be used, because it becomes the name of a folder: give letters, digits, spaces, - and _, "
            f"up to {LONGEST_NAME} of them. A name such as speaker-1 does as well."
        )
    return name


class TakeFolder:
    """The takes in a folder, which is created with the first of them.

    `label` is the word; for sound without the word it is None.
    """

    def __init__(self, folder: Path, label: str | None) -> None:
        self.folder = folder
        self.label = label

    def clips(self, speaker: str | None = None) -> list[Clip]:
        """The takes that the manifest lists, in their order: all, or those of one speaker; raises `ManifestError`."""
        manifest = self.folder / MANIFEST
        clips = read_manifest(manifest) if manifest.exists() else []
        return [clip for clip in clips if speaker is None or clip.person == name_key(speaker)]

    def speaker(self, name: str) -> Speaker | None:
        """The speaker of that name as recorded before; None for a new one."""
        known = self.clips(name)
        if not known or known[-1].speaker is None:
            return None
        last = known[-1]
        return Speaker(str(last.speaker), str(last.extra.get("consent", "")), last.license or "")

    def check_label(self) -> None:
        """Raise `SpeechtlError` where the folder has takes of another word."""
        others = {clip.label for clip in self.clips() if name_key(clip.label or "") != name_key(self.label or "")}
        if others:
            there = "takes of " + ", ".join(sorted(map(str, others - {None}))) if others - {None} else "sound without a word"
            raise SpeechtlError(f"{self.folder} has {there}; give another folder with --out.")

    def add(self, samples: Array, speaker: Speaker, how: Circumstances, word: tuple[float, float] | None = None) -> Clip:
        """Keep 16 kHz mono samples, float or int16, as the speaker's next take; the line of the manifest, whose `path` is the file."""
        pcm: Int16 = samples if samples.dtype == "int16" else to_int16(samples)
        with self._changing():
            clips = self.clips()
            name = self._next_name(clips, speaker.name, str(how.more.get("kind", "")))
            path = self.folder / name
            check_room(path, pcm.nbytes)
            with writing(path) as beside:
                load_soundfile().write(beside, pcm, SAMPLE_RATE, subtype="PCM_16", format="WAV")
            clip = self._line(name, len(pcm) / SAMPLE_RATE, speaker, how, word)
            write_manifest(self.folder / MANIFEST, [*clips, clip])
        return clip

    def describe(self, path: Path, speaker: Speaker, how: Circumstances) -> None:
        """Add the line of a file that another program put into the folder of its speaker; nothing to do where it has one."""
        name = path.relative_to(self.folder).as_posix()
        with self._changing():
            clips = self.clips()
            if all(clip.audio_filepath != name for clip in clips):
                write_manifest(self.folder / MANIFEST, [*clips, self._line(name, describe(path)[2], speaker, how, None)])

    def remove(self, clip: Clip) -> None:
        """Remove a take, its line and then its file."""
        with self._changing():
            left = [one for one in self.clips() if one.audio_filepath != clip.audio_filepath]
            if left:
                write_manifest(self.folder / MANIFEST, left)
            else:
                (self.folder / MANIFEST).unlink(missing_ok=True)  # an empty one would be an error
            (self.folder / clip.audio_filepath).unlink(missing_ok=True)

    def _line(self, name: str, seconds: float, speaker: Speaker, how: Circumstances, word: tuple[float, float] | None) -> Clip:
        path = self.folder / name
        about = {"consent": speaker.consent, "device": how.device, "rate": how.rate, "recorded": _now(), **how.more}
        about = {key: value for key, value in about.items() if value != ""}
        clip = Clip(name, round(seconds, 4), text=self.label, label=self.label, speaker=speaker.name)
        clip = replace(clip, license=speaker.licence or None)
        clip = replace(clip, sha256=sha256_of(path), extra=about, path=path, manifest=self.folder / MANIFEST)
        return clip if word is None else replace(clip, word_start=round(word[0], 3), word_end=round(word[1], 3))

    def _next_name(self, clips: Sequence[Clip], speaker: str, kind: str) -> str:
        """The next free name of a file: `ann/004.wav`, or with a kind `ann/room-001.wav`."""
        prefix = f"{kind}-" if kind else ""
        taken = [Path(clip.audio_filepath) for clip in clips if Path(clip.audio_filepath).parent.name == speaker]
        if (self.folder / speaker).is_dir():
            taken += (self.folder / speaker).iterdir()
        found = (re.fullmatch(rf"{re.escape(prefix)}(\d+)", path.stem) for path in taken)
        return f"{speaker}/{prefix}{max((int(number[1]) for number in found if number), default=0) + 1:03d}.wav"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the folder for a moment, so that no other thread or program changes it."""
        with _changes, _waiting_lock(self.folder):
            yield


@contextmanager
def _waiting_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, waiting for the program that has it."""
    until = time.monotonic() + LOCK_SECONDS
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(locked(folder / ".lock", f"{folder} is being written to", "record into another folder"))
                break
            except SpeechtlError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.05)
        yield


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")
