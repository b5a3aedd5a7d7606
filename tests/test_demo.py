import json

import pytest

from speechtl import demo
from speechtl.errors import SpeechtlError

pytest.importorskip("espeakng_loader")


@pytest.fixture
def small(monkeypatch, embedding_path, tmp_path):
    """Make the demo's work small: it need not learn the word."""
    little = {"EPOCHS": 1, "SYNTHETIC_CLIPS": 24, "SYNTHETIC_TESTS": 6, "CONFUSABLES": 2, "SYNTHETIC_MINUTES": 5.0, "MIXED_SECONDS": 20.0}
    for name, value in little.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECHTL_DATA", raising=False)


@pytest.mark.slow
def test_the_synthetic_demo_goes_from_recordings_to_a_table_of_detections(small, tmp_path, capsys):
    demo.run_demo(tmp_path / "demo", "marvin", real=None)
    assert (tmp_path / "demo" / "marvin.wake").is_file()
    assert len(list((tmp_path / "demo").rglob("mixed.wav"))) == 1
    assert json.loads((tmp_path / "demo" / "run" / "run.json").read_text())["phrases"] == ["marvin"]
    printed = capsys.readouterr().out
    assert "words detected" in printed
    assert "speechtl detect" in printed


def test_insisting_on_real_recordings_that_are_not_there_says_how_to_fetch_them(tmp_path, monkeypatch):
    monkeypatch.delenv("SPEECHTL_DATA", raising=False)
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SpeechtlError, match="speechtl data pull"):
        demo.run_demo(tmp_path / "demo", "computer", real=True)


@pytest.mark.parametrize(
    ("word", "name"), [("你好小智", "你好小智"), ("Hey, Computer!", "hey_computer"), ("café", "café"), ("...", "word")]
)
def test_the_bundle_is_named_after_the_word(word, name):
    recipe = demo._recipe(word, {"positives": ["positives.jsonl"], "negatives": ["negatives.jsonl"]})
    assert (recipe.name, recipe.phrases) == (name, [word])
