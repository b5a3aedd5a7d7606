from types import SimpleNamespace

import numpy as np
import pytest

from speechtl.audio.evaluation import scoring
from speechtl.audio.evaluation.scoring import PlayedWord, ScoredStream, count, score_stream
from speechtl.audio.evaluation.streams import Condition, without_words, words_in_background
from speechtl.audio.network.model import scorer_of
from speechtl.runtime.bundle.wake_word import Word
from speechtl.runtime.detector import Detector
from speechtl.runtime.trigger import TriggerSettings

STEP = 0.1
TRIGGER = TriggerSettings(0.5, smoothing=1, refractory=0.3)


def stream(events: list[float], words: list[tuple[float, float]], seconds: float = 20.0) -> ScoredStream:
    """Return a stream whose score is high at single moments."""
    scores = np.zeros(round(seconds / STEP), np.float32)
    for time in events:
        scores[round(time / STEP)] = 0.9
    times = np.arange(len(scores)) * STEP
    return ScoredStream(scores, times, STEP, seconds, [PlayedWord(start, end, index) for index, (start, end) in enumerate(words)])


@pytest.mark.parametrize(
    ("events", "detected"),
    [([2.0], True), ([2.5], True), ([3.0], True), ([4.4], True), ([4.6], False), ([1.9], False), ([], False), ([19.0], False)],
)
def test_an_event_belongs_to_a_word_from_its_start_to_one_and_a_half_seconds_after_its_end(events, detected):
    counts = count(stream(events, [(2.0, 3.0)]), TRIGGER)
    assert (counts.detected[0] is not None) == detected
    assert len(counts.false_accepts) == len(events) - detected


def test_the_delay_is_from_the_words_end_to_the_event():
    assert count(stream([3.4], [(2.0, 3.0)]), TRIGGER).detected == [pytest.approx(0.4)]
    assert count(stream([2.5], [(2.0, 3.0)]), TRIGGER).detected == [pytest.approx(-0.5)]


def test_a_word_counts_once_and_every_other_event_is_a_false_accept():
    counts = count(stream([2.5, 3.2, 4.0, 9.0], [(2.0, 3.0), (12.0, 13.0)]), TRIGGER)
    assert counts.detected == [pytest.approx(-0.5), None]
    assert counts.false_accepts == pytest.approx([3.2, 4.0, 9.0])


def test_one_event_is_not_counted_for_two_words():
    counts = count(stream([3.3], [(2.0, 3.0), (3.2, 4.0)]), TRIGGER)
    assert [delay is not None for delay in counts.detected] == [True, False]


def test_smoothing_and_refractory_time_are_the_detectors():
    assert count(stream([2.5], [(2.0, 3.0)]), TriggerSettings(0.5, smoothing=2, refractory=0.3)).detected == [None]
    assert len(count(stream([5.0, 5.2, 5.4], []), TRIGGER).false_accepts) == 2


def test_only_recordings_without_the_word_count_as_time_for_false_accepts(tiny_network, recording_of, bursts):
    word, others = recording_of(bursts((0.2,), 1.2), (0.2, 0.6)), [recording_of(bursts((), seconds)) for seconds in (3.0, 1.5)]
    passages = [*words_in_background([word], Condition(), 1), *without_words(others, Condition(), 1)]
    assert score_stream(scorer_of(tiny_network), passages).hours == pytest.approx(4.5 / 3600)


def test_what_is_counted_is_what_the_shipped_detector_does(tiny_network, recording_of, bursts):
    words = [recording_of(bursts((start,), 1.2), (start, start + 0.4)) for start in (0.2, 0.5)]
    passages = list(words_in_background(words, Condition(), seed=1))
    trigger = TriggerSettings(0.5, 2, 0.5)
    scored = score_stream(scorer_of(tiny_network), passages)
    counts = count(scored, trigger)
    events = Detector(scorer_of(tiny_network, streaming=True), [Word("burst", ("burst",), trigger)]).feed(
        np.concatenate([passage.samples for passage in passages])
    )
    ends = [word.end for word in scored.words]
    assert [event.time - end for event, end in zip(events, ends, strict=True)] == pytest.approx(counts.detected)
    assert counts.false_accepts == []
    assert len(scored.scores) == len(scored.times)


def test_passages_are_scored_together_and_the_rest_at_the_end(monkeypatch):
    """Of each block, a network computes what precedes it again."""
    fed = []

    class Engine:
        words, step_seconds, steps = 1, 1.0, 0

        def reset(self): ...

        def feed(self, samples):
            fed.append(len(samples))
            return np.zeros((len(samples) // 4, 1), np.float32)

        def time(self, step):
            return float(step)

    monkeypatch.setattr(scoring, "BLOCK", 20)
    clip = SimpleNamespace(audio_filepath="a.wav", offset=0.0)
    passage = SimpleNamespace(samples=np.zeros(8, np.float32), word=None, recording=SimpleNamespace(clip=clip, seconds=0.5))
    heard = score_stream(Engine(), [passage] * 4)
    assert fed == [24, 8]
    assert (len(heard.scores), len(heard.passages), heard.seconds) == (8, 4, 2.0)
