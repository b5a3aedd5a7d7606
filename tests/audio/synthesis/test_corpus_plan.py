"""Which voices say which texts in a spoken corpus."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from speechtl.audio.synthesis.corpus import PITCHES, RATES, draw_plan, used_voices
from speechtl.audio.synthesis.speak import find_synthesizers, voices
from tests.audio.synthesis.tiny_kokoro import tiny_kokoro

pytest.importorskip("espeakng_loader")


def shares() -> Counter[str]:
    counted: Counter[str] = Counter()
    for voice, share in used_voices().items():
        counted[voice.synthesizer] += share
    return counted


@pytest.mark.slow
def test_every_voice_on_the_machine_has_a_share() -> None:
    assert set(used_voices()) == set(voices())
    assert sum(used_voices().values()) == pytest.approx(1.0)
    assert min(used_voices().values()) > 0


@pytest.mark.slow
@pytest.mark.skipif(len(find_synthesizers()) < 3, reason="flite or festival is not installed (apt install flite festival)")
def test_recorded_people_get_more_than_their_number() -> None:
    assert 0.25 <= shares()["flite"] + shares()["festival"] <= 0.30


def test_without_recorded_people_espeak_speaks_everything() -> None:
    espeak = [synthesizer for synthesizer in find_synthesizers() if synthesizer.name == "espeak"]
    assert sum(used_voices(espeak).values()) == pytest.approx(1.0)
    assert {voice.synthesizer for voice in used_voices(espeak)} == {"espeak"}


def test_utterances_are_drawn_from_seed_and_index() -> None:
    plan = draw_plan(5, ("lamp", "zebra"), ())
    assert plan.utterances(2, 20) == draw_plan(5, ("zebra", "lamp"), ()).utterances(2, 20)
    assert plan.utterances(2, 20)[:10] == plan.utterances(2, 10)
    assert plan.utterances(2, 20) != plan.utterances(3, 20)
    assert plan.utterances(2, 20) != draw_plan(6, ("lamp", "zebra"), ()).utterances(2, 20)


def test_rates_and_pitches_fill_their_ranges_and_voices_follow_their_shares() -> None:
    utterances = draw_plan(0, (), ()).utterances(0, 3000)
    for limits, drawn in ((RATES, [each.rate for each in utterances]), (PITCHES, [each.pitch for each in utterances])):
        assert limits[0] <= min(drawn) < limits[0] + 0.01
        assert limits[1] >= max(drawn) > limits[1] - 0.01
    spoken = Counter(each.voice.synthesizer for each in utterances)
    for name, share in shares().items():
        assert spoken[name] / 3000 == pytest.approx(share, abs=4 * np.sqrt(share / 3000))


@pytest.mark.slow
def test_settings_name_what_a_corpus_depends_on() -> None:
    given: list[tuple[int, tuple[str, ...], tuple[str, ...]]] = [(0, (), ()), (1, (), ()), (0, ("lamp",), ()), (0, (), ("lamp",))]
    settings = [draw_plan(*each).settings() for each in given]
    assert len({tuple(map(str, each.values())) for each in settings}) == 4
    assert settings[0]["synthesizers"] == sorted(synthesizer.name for synthesizer in find_synthesizers())


def test_natural_voices_say_half_and_narrow_the_limits_only_for_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = draw_plan(3, (), ()).settings()
    natural = tiny_kokoro(tmp_path, monkeypatch)
    found = [*find_synthesizers()]
    assert any(synthesizer.name == "kokoro" for synthesizer in found)
    monkeypatch.setattr("speechtl.audio.synthesis.corpus.find_synthesizers", lambda: found)
    assert sum(share for voice, share in used_voices().items() if voice.is_natural) == pytest.approx(0.5)
    assert sum(used_voices([natural]).values()) == pytest.approx(1.0)
    plan = draw_plan(3, (), ())
    spoken = [each for each in plan.utterances(0, 1000) if each.voice.is_natural]
    assert 400 < len(spoken) < 600
    assert 0.85 <= min(each.rate for each in spoken) < 0.87 < 1.18 < max(each.rate for each in spoken) <= 1.2
    assert set(plan.settings()) - set(before) == {"natural_recipe"}
    assert plan.settings()["drawn_from"] != before["drawn_from"]
