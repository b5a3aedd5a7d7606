"""Backgrounds of training examples: the share of each kind, and talk of the same fold."""

from __future__ import annotations

import numpy as np
import pytest

from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording
from speechtl.audio.training.surroundings import Surroundings, enough_talkers
from speechtl.runtime.samples import SAMPLE_RATE


def said(hertz: float, seconds: float = 6.0, speaker: str | None = None) -> Recording:
    wave = np.sin(2 * np.pi * hertz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)
    return Recording(Clip("a.wav", seconds, speaker=speaker), (wave * 8000).astype(np.int16), (0.0, seconds))


def heard(samples: np.ndarray, hertz: float) -> bool:
    spectrum = np.abs(np.fft.rfft(samples))
    return bool(spectrum[round(hertz * len(samples) / SAMPLE_RATE)] > 0.05 * spectrum.max())


@pytest.fixture(scope="module")
def surroundings() -> Surroundings:
    """Noise is 1, music is 2, everything else is talk: of 200 Hz and 400 Hz in fold 0, of 800 Hz and 1600 Hz in fold 1."""
    noise, music = np.ones(SAMPLE_RATE, np.float32), np.full(SAMPLE_RATE, 2.0, np.float32)
    return Surroundings([noise], [music], {0: [said(200), said(400)], 1: [said(800), said(1600)]})


def kinds(drawing, times: int = 300) -> dict[str, float]:
    random = np.random.default_rng(0)
    drawn = [drawing(100, random)[0] for _ in range(times)]
    names = ["noise" if (one == 1).all() else "music" if (one == 2).all() else "talk" for one in drawn]
    return {name: names.count(name) / times for name in ("noise", "music", "talk")}


def test_each_kind_gets_its_share_and_negatives_less_talk(surroundings):
    assert kinds(surroundings.behind(0, words=True)[0]) == pytest.approx({"noise": 0.45, "music": 0.2, "talk": 0.35}, abs=0.08)
    assert kinds(surroundings.behind(0, words=False)[0])["talk"] == pytest.approx(0.175 / 0.825, abs=0.07)


def test_kinds_without_recordings_leave_their_share_to_the_others():
    noise = np.ones(SAMPLE_RATE, np.float32)
    assert kinds(Surroundings([noise]).drawing())["noise"] == 1.0
    assert kinds(Surroundings([noise], negatives={0: [said(200)]}).behind(0, words=True)[0]) == pytest.approx(
        {"noise": 0.45 / 0.55, "music": 0.0, "talk": 0.1 / 0.55}, abs=0.08
    )
    assert Surroundings([]).drawing() is None


def test_talk_is_of_people_of_the_same_fold(surroundings):
    for fold, own in ((0, (200, 400)), (1, (800, 1600))):
        for kind in surroundings.talk(fold, number=0):
            for sound in kind.sounds:
                assert any(heard(sound, hertz) for hertz in own)
                assert not any(heard(sound, hertz) for hertz in (200, 400, 800, 1600) if hertz not in own)


def test_a_round_has_talk_of_its_own_and_always_the_same(surroundings):
    first, again, next_one = (surroundings.talk(0, number)[0].sounds for number in (0, 0, 1))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(first[0], next_one[0])


def test_half_of_the_talk_is_in_a_room():
    echo = np.zeros(4000, np.float32)
    echo[-1] = 1.0  # so that talk in this room begins with silence
    talk = Surroundings([], negatives={0: [said(200), said(400)]}, rooms=[echo]).talk(0, 0)
    placed = [not np.abs(sound[:3900]).max() > 1e-3 for kind in talk for sound in kind.sounds]
    assert 0 < sum(placed) < len(placed)


def test_who_says_a_few_words_only_talks_where_there_are_too_few_others():
    words = [said(200, 1.0, speaker=f"word{number}") for number in range(5)]
    readers = [said(200, 3.0, speaker=f"reader{number // 2}") for number in range(16)]
    assert [len(own) for own in enough_talkers([*words, *readers])] == [2] * 8
    assert len(enough_talkers([*words, *readers[:4]])) == 7
