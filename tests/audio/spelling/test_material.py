"""What a recipe leaves to the program is spoken once, and bad phrases are refused before anything is spoken."""

import json
from pathlib import Path

import pytest

from speechtl.audio.recipe import make_recipe
from speechtl.audio.spelling import material, takes
from speechtl.audio.spelling.confusables import Confusable
from speechtl.audio.spelling.material import check_phrases, completed, speak_confusables, spoken_material
from speechtl.audio.synthesis import kokoro_files
from speechtl.audio.synthesis.espeak import find_espeak
from speechtl.errors import SpeechtlError, WeightsError

pytest.importorskip("espeakng_loader")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Few takes by one synthesiser, one confusable, and a cache of its own."""
    espeak = find_espeak()
    monkeypatch.setattr(takes, "find_synthesizers", lambda: [espeak])
    monkeypatch.setattr(takes, "voices", espeak.voices)
    monkeypatch.setattr(material, "TAKES", 4)
    monkeypatch.setattr(material, "TAKES_EACH", 2)
    monkeypatch.setattr(material, "nearest", lambda phrases, count: [Confusable("martin", 0.2)])
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def recipe_of(folder: Path, **data):
    given = {"name": "marvin", "data": {"synthesise": True, **data}, "transfer": {"encoder": "conv-ctc-tiny"}}
    return make_recipe(given, base=folder, source="test")


def test_a_recipe_gets_takes_and_confusables_once(small, monkeypatch):
    said = []
    recipe = recipe_of(small, negatives=["n.jsonl"], positives=["mine"])
    whole = completed(recipe, said.append)
    assert whole.data.positives[0] == small / "mine"
    assert whole.data.negatives[0] == small / "n.jsonl"
    positives, negatives = (
        [json.loads(line) for line in paths[1].read_text().splitlines()] for paths in (whole.data.positives, whole.data.negatives)
    )
    assert [line["text"] for line in positives] == ["marvin"] * 4
    assert [(line["text"], line["label"]) for line in negatives] == [("martin", "confusable")] * 2
    assert any("no natural voices on this machine: espeak speak instead" in text for text in said)
    monkeypatch.setattr(material, "make_takes", lambda *_: pytest.fail("spoken again"))
    assert completed(recipe, said.append) == completed(whole, said.append) == whole


def test_nothing_is_spoken_where_the_negatives_cannot_be_had(small, monkeypatch):
    def offline(log):
        raise SpeechtlError("no network")

    monkeypatch.setattr(material, "default_recordings", offline)
    monkeypatch.setattr(material, "make_takes", lambda *_: pytest.fail("spoken"))
    with pytest.raises(SpeechtlError, match="no network"):
        completed(recipe_of(small))


def test_a_phrase_is_checked_before_anything_is_downloaded(small, monkeypatch):
    monkeypatch.setattr(material, "default_recordings", lambda log: pytest.fail("downloaded"))
    with pytest.raises(SpeechtlError, match="has 1 sound"):
        completed(make_recipe({"name": "a", "data": {"synthesise": True}}, base=small, source="test"))


def test_a_recipe_with_everything_stays_as_it_is(tmp_path):
    recipe = make_recipe({"name": "a", "data": {"positives": ["p"], "negatives": ["n"]}}, base=tmp_path, source="test")
    assert completed(recipe) is recipe


def test_default_negatives_come_with_noise_and_music_unless_these_are_given(tmp_path, monkeypatch):
    found = {kind: [tmp_path / kind] for kind in ("negatives", "noise", "music")}
    monkeypatch.setattr(material, "default_recordings", lambda log: found)
    data = completed(make_recipe({"name": "a", "data": {"positives": ["p"], "noise": ["mine"]}}, base=tmp_path, source="test")).data
    assert (data.negatives, data.noise, data.music) == ([tmp_path / "negatives"], [tmp_path / "mine"], [tmp_path / "music"])


@pytest.mark.parametrize(
    ("phrase", "sentence"),
    [
        ("...", "There is nothing to say in the phrase '...'"),
        ("a", "The phrase 'a' has 1 sound ("),
        ("/ɑː/", "The phrase '/ɑː/' has 1 sound (ɑː)"),
        ("word " * 40, "has 40 words; a wake phrase has at most 6"),
        ("ᚠᚢᚦ", "No voice reads the Runic script"),
        ("/mɮavɪn/", "no sound 'ɮ'"),
    ],
)
def test_a_phrase_that_cannot_be_a_wake_word_is_refused_in_one_sentence(phrase, sentence, small):
    with pytest.raises(SpeechtlError) as caught:
        spoken_material(recipe_of(small).model_copy(update={"phrases": [phrase]}))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (small / "cache").exists()


@pytest.mark.parametrize("phrase", ["marvin", "hey marvin", "mar-vin", "/mɑːvɪn/", "你好"])
def test_other_phrases_are_not(phrase):
    check_phrases([phrase])


def test_voice_files_of_another_model_are_named(tmp_path, monkeypatch):
    for published in (kokoro_files.NETWORK, kokoro_files.VOICES):
        (tmp_path / Path(published.cached).name).write_bytes(b"another")
    monkeypatch.setenv(kokoro_files.PLACE, str(tmp_path))
    with pytest.raises(WeightsError, match="is not the published voices of Kokoro: its SHA-256 is"):
        check_phrases(["marvin"])


def test_confusables_for_a_test_are_other_takes_than_those_of_training(small):
    training = spoken_material(recipe_of(small), lambda text: None)[1]
    (small / "test").mkdir()
    tested = speak_confusables(["marvin"], small / "test", 3, 2)
    lines = [[json.loads(line) for line in path.read_text().splitlines()] for path in (training, tested)]
    assert not {line["sha256"] for line in lines[0]} & {line["sha256"] for line in lines[1]}


def test_of_a_language_without_a_dictionary_numbers_by_the_same_voices_are_negatives(small, monkeypatch):
    monkeypatch.setattr(material, "nearest", lambda phrases, count: [])
    monkeypatch.setattr(material, "OTHER_MINUTES", 0.2)
    recipe = recipe_of(small).model_copy(update={"name": "stop", "phrases": ["стоп"]})
    positives, others = (
        [json.loads(line) for line in path.read_text().splitlines()] for path in spoken_material(recipe, lambda text: None)
    )
    assert {line["text"] for line in positives} == {"стоп"}
    assert {line["split"] for line in others} == {"train"}
    assert all((small / "cache" / "spelling" / line["audio_filepath"]).is_file() for line in others)
    assert any(line["text"][0].isdigit() for line in others)
