import shutil
from pathlib import Path

import numpy as np
import pytest
import soxr

from speechtl.errors import BundleError
from speechtl.runtime.detector import Detector
from speechtl.runtime.listen import hearing as module
from speechtl.runtime.listen.hearing import Hearing
from speechtl.runtime.microphone.stream import Block
from speechtl.runtime.sound.files import HELD_BACK


def play(hearing: Hearing, samples: np.ndarray, rate: int = 16_000, gap: float = 0.0, block: float = 0.04) -> list:
    frames = (samples[:, None] if samples.ndim == 1 else samples).astype(np.float32)
    size = round(block * rate)
    events = []
    for first in range(0, len(frames), size):
        events += hearing.feed(Block(frames[first : first + size], rate, gap if first == 0 else 0.0)).events
    return events


def test_blocks_give_the_events_of_the_samples(tiny_bundle, bursts):
    samples = bursts((0.5, 2.0), 3.0)
    detector = Detector.open(tiny_bundle)
    detector.reset(detector.scorer.lead(0.04))
    assert play(Hearing([tiny_bundle]), samples) == detector.feed(samples)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 96_000])
def test_no_score_waits_for_more_of_its_block_than_the_resampler_holds_back(tiny_bundle, rate):
    """Every step ends at most that much before the end of the block that completes it."""
    scored = []
    hearing = Hearing([tiny_bundle], on_score=lambda event, threshold: scored.append(event.time))
    waited = []
    for number in range(100):
        hearing.feed(Block(np.zeros((round(0.04 * rate), 1), np.float32), rate, 0.0))
        waited += [0.04 * (number + 1) - time for time in scored]
        scored.clear()
    assert len(waited) == pytest.approx(100, abs=2)
    assert max(waited) < (0.001 if rate == 16_000 else HELD_BACK + 0.001)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 96_000])
def test_any_rate_gives_the_events_at_their_time(tiny_bundle, bursts, rate):
    events = play(Hearing([tiny_bundle]), soxr.resample(bursts((0.5, 2.0), 3.0), 16_000, rate), rate)
    assert [event.time for event in events] == pytest.approx([0.7, 2.2], abs=0.15)


def test_one_channel_is_heard(tiny_bundle, bursts):
    both = np.stack([bursts((0.5, 2.0), 3.0), bursts((1.2,), 3.0)], axis=1)
    assert len(play(Hearing([tiny_bundle], channel=1), both)) == 2
    assert [event.time for event in play(Hearing([tiny_bundle], channel=2), both)] == pytest.approx([1.4], abs=0.15)


@pytest.mark.parametrize("gap", [0.3, 2.0, 2.1, 3600.0])
def test_times_go_on_over_a_gap(tiny_bundle, bursts, gap):
    hearing = Hearing([tiny_bundle])
    first = play(hearing, bursts((0.5,), 1.5))
    second = play(hearing, bursts((0.5,), 1.5), gap=gap)
    assert second[0].time - first[0].time == pytest.approx(1.5 + gap, abs=0.09)


def test_a_microphone_that_comes_back_with_another_rate_is_heard(tiny_bundle, bursts):
    hearing = Hearing([tiny_bundle])
    play(hearing, bursts((0.5,), 1.5))
    events = play(hearing, soxr.resample(bursts((0.5,), 1.5), 16_000, 48_000), 48_000, gap=5.0)
    assert [event.time for event in events] == pytest.approx([7.2], abs=0.15)


def test_what_is_heard_is_16_khz_and_says_where_it_ends(tiny_bundle):
    hearing = Hearing([tiny_bundle])
    assert hearing.feed(Block(np.zeros((640, 2), np.float32), 16_000)).end == 640
    heard = hearing.feed(Block(np.zeros((640, 2), np.float32), 16_000, gap_seconds=0.5))
    assert (len(heard.samples), heard.end) == (8640, 9280)
    heard = hearing.feed(Block(np.zeros((640, 2), np.float32), 16_000, gap_seconds=100.0))
    assert (len(heard.samples), heard.end) == (640, 9280 + 1_600_640)


def test_scores_are_told_with_times_since_the_start(tiny_bundle, bursts):
    told = []
    hearing = Hearing([tiny_bundle], on_score=lambda scored, threshold: told.append((scored, threshold)))
    play(hearing, bursts((0.5,), 1.5))
    play(hearing, bursts((0.5,), 1.5), gap=10.0)
    assert {threshold for _, threshold in told} == {0.5}
    assert max(scored.score for scored, _ in told) > 0.5
    assert told[-1][0].time == pytest.approx(13.0, abs=0.1)
    assert told[0][0].name == "burst"


def test_a_reload_opens_what_now_stands_there_and_a_broken_file_leaves_the_old(remake, bursts, tmp_path):
    path = remake(name="word.wake")
    hearing = Hearing([path], on_score=lambda *_: None)
    play(hearing, bursts((0.5,), 1.5))
    remake({"name": "new"}, name="other.wake").replace(path)
    hearing.reload()
    (event,) = play(hearing, bursts((0.5,), 1.5))
    assert (event.name, event.time) == ("new", pytest.approx(2.2, abs=0.15))
    assert hearing.detectors[0].on_score is not None
    path.write_bytes(b"broken")
    with pytest.raises(BundleError):
        hearing.reload()
    assert len(play(hearing, bursts((0.5,), 1.5))) == 1


def test_a_reload_that_gives_two_bundles_one_word_leaves_the_old(tiny_bundle, remake):
    path = remake({"name": "other"})
    hearing = Hearing([tiny_bundle, path])
    remake()
    with pytest.raises(BundleError, match="Two bundles have the word 'burst'"):
        hearing.reload()
    assert hearing.names == ["burst", "other"]


def test_a_bundle_that_comes_into_a_folder_is_heard_from_then_on_and_those_that_are_there_just_go_on(
    tiny_bundle, remake, bursts, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    folder = tmp_path / "words"
    folder.mkdir()
    shutil.copy(tiny_bundle, folder)
    sound = bursts((0.5, 2.0), 3.0)
    expected = play(Hearing([folder]), sound)
    said, told = [], []
    hearing = Hearing([folder], on_score=lambda scored, _: told.append(scored), log=said.append)
    half = round(0.68 * 16_000)  # within the first word, and within a step
    events = play(hearing, sound[:half])
    assert not hearing.look()
    shutil.copy(remake({"name": "other"}), folder / "other.wake")
    assert [hearing.look(), hearing.look()] == [False, True]
    events += play(hearing, sound[half:])
    assert [event for event in events if event.name == "burst"] == expected
    assert [event.time for event in events if event.name == "other"][-1] == pytest.approx(expected[1].time, abs=0.09)
    assert told[-1].time == pytest.approx(3.0, abs=0.1)
    assert said == [f"{folder}/other.wake was opened: other."]


def test_an_empty_folder_is_waited_for_in_silence(tmp_path, bursts, tiny_bundle, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    hearing = Hearing([tmp_path], log=lambda _: None)
    samples = soxr.resample(bursts((0.5,), 1.5), 16_000, 48_000)
    assert play(hearing, samples, 48_000) == []
    shutil.copy(tiny_bundle, Path(tmp_path))
    hearing.look(), hearing.look()
    assert [event.time for event in play(hearing, samples, 48_000)] == pytest.approx([2.2], abs=0.15)


def test_the_folders_are_looked_at_once_a_second(tiny_bundle, tmp_path, monkeypatch):
    looks = []
    hearing = Hearing([tmp_path], log=lambda _: None)
    monkeypatch.setattr(hearing.bundles, "look", lambda: looks.append(1))
    for _ in range(50):
        hearing.look()
    assert looks == [1]
