"""eSpeak NG's library, and what happens when it breaks down among many texts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from speechtl.audio.synthesis import espeak_process as espeak
from speechtl.audio.synthesis.base import SpokenText, Voice
from speechtl.audio.synthesis.espeak import EspeakLibrary, find_espeak
from speechtl.audio.synthesis.speak import speak_many
from speechtl.errors import AudioError

pytest.importorskip("espeakng_loader")

VOICE = Voice("espeak", "en-us", "f1")


def breaking_library(folder: Path, word: str) -> EspeakLibrary:
    """Return the library in a process that dies without a word, as after a segmentation fault, when it meets a word."""
    found = find_espeak()
    assert isinstance(found, EspeakLibrary)
    script = folder / "espeak.py"
    source = Path(espeak.__file__).read_text(encoding="utf-8")
    script.write_text(
        source.replace(
            "        sound = library", f"        if {word!r} in text:\n            import os; os._exit(139)\n        sound = library"
        )
    )
    found._command[3] = str(script)
    return found


def test_a_crash_costs_one_sentence(tmp_path: Path) -> None:
    synthesizer = breaking_library(tmp_path, "crash")
    spoken = speak_many(synthesizer, [SpokenText(text, VOICE) for text in ("crash", "hello", "crash", "good day", "good night")])
    assert [isinstance(speech, AudioError) for speech in spoken] == [True, False, True, False, False]
    assert "exit code 139" in str(spoken[0])


def test_many_texts_take_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    synthesizer = find_espeak()
    assert isinstance(synthesizer, EspeakLibrary)
    started = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *given, **settings: started.append(given) or run(*given, **settings))
    first, second = speak_many(synthesizer, [SpokenText("hello", VOICE), SpokenText("hello", Voice("espeak", "en-gb", "m3"))])
    assert len(started) == 1
    assert not np.array_equal(first, second)


def test_line_breaks_and_tabs_do_not_break_the_list_up() -> None:
    synthesizer = find_espeak()
    assert synthesizer is not None
    spoken = speak_many(synthesizer, [SpokenText("good\nday\tsir", VOICE), SpokenText("hello", VOICE)])
    assert all(isinstance(speech, np.ndarray) for speech in spoken)
