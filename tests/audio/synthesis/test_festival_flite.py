"""festival, and what happens when it breaks down among many texts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from speechtl.audio.synthesis.base import SpokenText
from speechtl.audio.synthesis.festival_flite import Festival, find_festival
from speechtl.errors import AudioError

FESTIVAL = shutil.which("festival")
pytestmark = pytest.mark.skipif(FESTIVAL is None, reason="festival is not installed (on Debian and Ubuntu: apt install festival)")


def breaking_festival(path: Path, word: str) -> Festival:
    """Return a festival that ends, with everything before it done, when it meets a word."""
    path.write_text(
        f"#!/bin/sh\ncat > {path}.in\nsed '/{word}/q' {path}.in | sed '/{word}/d' | {FESTIVAL} \"$@\"\n! grep -q {word} {path}.in\n"
    )
    path.chmod(0o755)
    return Festival(str(path))


def test_a_crash_costs_one_sentence(tmp_path: Path) -> None:
    synthesizer = breaking_festival(tmp_path / "festival", "crash")
    voice = synthesizer.voices()[0]
    texts = ["hello", "good day", "crash", "good night", "crash"]
    spoken = synthesizer.speak_many([SpokenText(text, voice) for text in texts])
    assert [isinstance(speech, AudioError) for speech in spoken] == [False, False, True, False, True]


def test_only_voices_that_are_installed_are_found(tmp_path: Path) -> None:
    program = tmp_path / "festival"
    program.write_text("#!/bin/sh\necho '(ked_diphone hindi_NSK_diphone)'\n")
    program.chmod(0o755)
    assert [voice.name for voice in Festival(str(program)).voices()] == ["festival:ked"]


def test_without_the_program_there_is_no_festival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_festival() is None
