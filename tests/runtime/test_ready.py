from pathlib import Path

import pytest

from speechtl.errors import BundleError
from speechtl.files import sha256_of
from speechtl.runtime import ready
from speechtl.runtime.bundle.choice import Choice
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector
from speechtl.runtime.listen.hearing import Hearing

NAMES = ["alexa", "computer", "jarvis", "smart_mirror"]


def test_every_ready_word_is_in_the_bundle_and_has_a_card():
    assert ready.names() == NAMES
    assert sorted(word.name for word in open_bundle(ready.BUNDLE).words) == NAMES
    assert ready.BUNDLE.stat().st_size <= 2_500_000
    for name in NAMES:
        assert ready.summary(name).startswith(f"{name}: ")
        assert "## Repeat it" in ready.card(name)
        assert f"SHA-256 `{sha256_of(ready.BUNDLE)}`" in ready.card(name)


def test_ready_words_have_no_golden_audio_and_say_so():
    with pytest.raises(BundleError, match=r"cannot be verified or benchmarked; see: speechtl doctor"):
        open_bundle("computer").golden()


def test_a_ready_word_opens_by_its_name_and_only_it_is_reported(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    bundle = open_bundle("computer")
    detector = Detector.of(bundle, Choice())
    assert detector.names == ["computer"]
    assert bundle.columns == len(NAMES)
    assert detector.words[0].column == [word.name for word in open_bundle(ready.BUNDLE).words].index("computer")


def test_a_file_of_that_name_comes_before_the_ready_word(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "computer").write_bytes(b"no bundle")
    with pytest.raises(BundleError, match="is not a bundle"):
        open_bundle("computer")


@pytest.mark.parametrize("place", ["computr", "computer+marvin", "marvin.wake"])
def test_an_unknown_word_is_refused_with_the_words_there_are(place, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=f"{place.replace('+', '.')} does not exist.*alexa, computer, jarvis, smart_mirror"):
        open_bundle(place)


def test_several_ready_words_are_heard_in_one_pass(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own.wake"
    assert ready.together([Path("computer"), own, Path("alexa"), Path("computer")]) == [own, Path("computer+alexa")]
    assert Detector.open("computer+alexa").names == ["alexa", "computer"]


def test_a_service_hears_ready_words_in_one_pass(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    hearing = Hearing([Path("smart_mirror"), Path("alexa")])
    assert hearing.names == ["alexa", "smart_mirror"]
    assert len(hearing.detectors) == 1
