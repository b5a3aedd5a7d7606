"""Confusables that give an event are told from those that do not."""

import json

import pytest
import soundfile

from speechtl.audio.evaluation.model import open_model
from speechtl.audio.spelling import fired
from speechtl.audio.spelling.fired import taken_for

pytest.importorskip("torch", reason="torch is not installed")


def test_the_words_that_fire_come_first(tiny_bundle, monkeypatch, bursts):
    def speak(phrases, folder, count, each):
        assert list(phrases) == ["burst"]
        lines = []
        for index, (text, starts) in enumerate([("bust", ()), ("first", (1.0,)), ("first", ()), ("thirst", (0.5, 2.0))]):
            samples = bursts(starts, 4.0)
            soundfile.write(folder / f"{index}.wav", samples, 16_000)
            lines.append({"audio_filepath": f"{index}.wav", "duration": 4.0, "text": text, "label": "confusable"})
        (folder / "confusables.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder / "confusables.jsonl"

    monkeypatch.setattr(fired, "speak_confusables", speak)
    found = taken_for(open_model(tiny_bundle))
    assert found == [
        {"text": "first", "takes": 2, "events": 1},
        {"text": "thirst", "takes": 1, "events": 1},
        {"text": "bust", "takes": 1, "events": 0},
    ]


def test_there_may_be_none(tiny_bundle, monkeypatch, capsys):
    monkeypatch.setattr(fired, "speak_confusables", lambda *_: None)
    assert taken_for(open_model(tiny_bundle)) == []
    assert "English spellings only" in capsys.readouterr().err
