"""Microphones that another program holds, as Linux tells them: PortAudio leaves those out of its list."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
OWNER = re.compile(r"^owner_pid\s*:\s*(\d+)", re.MULTILINE)
PLACE = re.compile(r"card(\d+)/pcm(\d+)c/")


@dataclass(frozen=True)
class HeldMicrophone:
    """A microphone, named as PortAudio would name it, and the process that has it open."""

    name: str
    process: int
    program: str  # empty where the system does not tell

    @property
    def holder(self) -> str:
        """Who holds it, for people."""
        return f"{self.program} (process {self.process})" if self.program else f"process {self.process}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        how = "End it (the service with: sudo systemctl stop speechtl)" if self.program == "speechtl" else "End it"
        return f"{how}, or give another --device."


def held_microphones(root: Path = ROOT) -> list[HeldMicrophone]:
    """Return the microphones that are open in some program; `root` is the folder that stands for /."""
    cards = _text(root / "proc/asound/cards")
    found: dict[str, HeldMicrophone] = {}
    for status in sorted((root / "proc/asound").glob("card[0-9]*/pcm*c/sub*/status")):
        owner, place = OWNER.search(_text(status)), PLACE.search(status.as_posix())
        if owner is None or place is None:
            continue
        card, device = place.groups()
        name = f"{_card(cards, card)}: {_pcm(_text(status.with_name('info')))} (hw:{card},{device})"
        found[name] = HeldMicrophone(name, int(owner[1]), _text(root / "proc" / owner[1] / "comm"))
    return list(found.values())


def _card(cards: str, number: str) -> str:
    named = re.search(rf"^\s*{number} \[[^\]]*\]: .*? - (.*)$", cards, re.MULTILINE)
    return named[1].strip() if named else f"card {number}"


def _pcm(info: str) -> str:
    named = re.search(r"^name: (.*)$", info, re.MULTILINE)
    return named[1].strip() if named else "-"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # gone by now, or of a kernel that does not tell
        return ""
