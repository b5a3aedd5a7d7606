import dataclasses

import numpy as np
import pytest

from speechtl.audio.evaluation.hours.hearing import AFTER, hear, matter
from speechtl.audio.evaluation.hours.parts import Part
from speechtl.audio.evaluation.streams import Condition, without_words
from speechtl.errors import SpeechtlError


def test_scores_that_matter_are_kept_with_their_neighbours():
    scores = np.zeros(30, np.float32)
    scores[[0, 10, 13]] = 0.5
    assert matter(scores, 0.5, 2).tolist() == [0, 1, 2, 8, 9, 10, 11, 12, 13, 14, 15]
    assert matter(scores, 0.6, 2).tolist() == []


def test_a_recording_gives_the_same_alone_and_after_others(ears, listed):
    all_kept = dataclasses.replace(ears, floor=0.0, key="all")
    together = hear(all_kept, Part(0, 0, listed.lines(0, 3)))
    alone = hear(all_kept, Part(0, 2, listed.lines(2, 3)))
    assert together.seconds.tolist() == [20.0] * 3
    assert together.counts.tolist() == [together.counts[0]] * 3
    np.testing.assert_array_equal(together.scores[-alone.counts[0] :], alone.scores)
    assert together.counts[0] * 0.04 == pytest.approx(20.0 + AFTER, abs=0.1)


def test_scores_are_those_of_the_detector(ears, listed, model, recording_of):
    from speechtl.runtime.sound.files import read_audio

    all_kept = dataclasses.replace(ears, floor=0.0, key="all")
    heard = hear(all_kept, Part(0, 0, listed.lines(0, 1)))
    model.scorer.reset()
    (passage,) = without_words([recording_of(read_audio(listed.clip(0).path))], Condition(), 1)
    expected = model.scorer.feed(passage.samples)[:, 0]
    np.testing.assert_allclose(heard.scores[:495], expected[:495], atol=1e-6)


def test_a_recording_that_has_gone_away_or_is_cut_is_skipped(ears, listed):
    listed.clip(1).path.unlink()
    content = listed.clip(2).path.read_bytes()
    listed.clip(2).path.write_bytes(content[: len(content) // 2])
    heard = hear(ears, Part(0, 0, listed.lines(0, 3)))
    assert np.isnan(heard.seconds).tolist() == [False, True, True]
    assert [(one.recording, one.gone) for one in heard.skipped] == [(1, True), (2, False)]
    assert "is missing" in heard.skipped[0].why
    assert "is cut short" in heard.skipped[1].why
    assert not heard.whole


def test_a_disk_that_has_gone_away_ends_the_work(ears, listed):
    lines = listed.lines(0, 6) * 2
    for index in range(6):
        listed.clip(index).path.unlink()
    with pytest.raises(SpeechtlError, match="None of the 12 recordings can be used any more; the first:"):
        hear(ears, Part(0, 0, lines))


def test_another_version_is_refused(ears, listed):
    with pytest.raises(SpeechtlError, match=r"speechtl 0\.0\.1 asks"):
        hear(dataclasses.replace(ears, version="0.0.1", key="old"), Part(0, 0, listed.lines(0, 1)))


def test_a_bundle_comes_along(ears, listed, tmp_path):
    elsewhere = dataclasses.replace(ears, model=tmp_path / "none.wake", key="elsewhere")
    assert hear(elsewhere, Part(0, 0, listed.lines(0, 1))).seconds.tolist() == [20.0]
