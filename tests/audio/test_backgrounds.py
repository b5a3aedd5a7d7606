"""Talk behind a voice, and backgrounds drawn by kind."""

from __future__ import annotations

import numpy as np

from speechtl.audio.augment import active_level
from speechtl.audio.backgrounds import Background, drawn, mixtures, talk, talkers
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording
from speechtl.runtime.samples import SAMPLE_RATE


def said(speaker: str | None, hertz: float, seconds: float = 1.0) -> Recording:
    wave = np.sin(2 * np.pi * hertz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)
    return Recording(Clip("a.wav", seconds, speaker=speaker), (wave * 8000).astype(np.int16), (0.0, seconds))


def spectrum_at(samples: np.ndarray, hertz: float) -> float:
    return float(np.abs(np.fft.rfft(samples))[round(hertz * len(samples) / SAMPLE_RATE)]) / len(samples)


def test_talkers_are_grouped_by_speaker_and_the_unnamed_stay_apart() -> None:
    assert [len(one) for one in talkers([said("a", 200), said("b", 300), said("a", 400), said(None, 500), said(None, 600)])] == [2, 1, 1, 1]


def test_talk_contains_everybody_at_similar_levels_for_the_whole_time() -> None:
    people = talkers([said("a", 200), said("b", 400), said("c", 800)])
    together = talk(people, 3, np.random.default_rng(0), seconds=6.0)
    assert len(together) == 6 * SAMPLE_RATE
    heard = [spectrum_at(together, hertz) for hertz in (200, 400, 800)]
    assert max(heard) < 4 * min(heard)
    assert min(active_level(part) for part in np.split(together, 3)) > 0.01


def test_talk_of_one_person_is_that_person_alone() -> None:
    people = talkers([said("a", 200), said("b", 400)])
    alone = talk(people, 1, np.random.default_rng(1))
    loud, faint = sorted((spectrum_at(alone, 200), spectrum_at(alone, 400)), reverse=True)
    assert loud > 50 * faint


def test_mixtures_depend_on_the_seed_alone() -> None:
    people = talkers([said("a", 200), said("b", 400), said("c", 800)])
    first, again = (mixtures(people, (2, 3), 2, np.random.default_rng(4)) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


def test_kinds_are_drawn_by_their_share_and_not_by_their_number_of_sounds() -> None:
    ones, zeros = np.ones(100, np.float32), np.zeros(100, np.float32)
    kinds = [Background("many", [zeros] * 50, 1.0, (0.0, 1.0)), Background("one", [ones], 3.0, (10.0, 20.0))]
    random = np.random.default_rng(0)
    found = [drawn(kinds, 10, random) for _ in range(400)]
    assert 260 < sum(bool(samples.any()) for samples, _ in found) < 340
    assert all((snr >= 10.0) == bool(samples.any()) for samples, snr in found)
