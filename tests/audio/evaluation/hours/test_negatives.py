import dataclasses
from contextlib import contextmanager

import numpy as np
import pytest

from speechtl.audio.evaluation.evaluate import evaluate
from speechtl.audio.evaluation.hours.hearing import hear
from speechtl.audio.evaluation.hours.negatives import Machines, hear_negatives
from speechtl.audio.evaluation.scoring import count, score_stream
from speechtl.audio.evaluation.streams import Passage
from speechtl.errors import ManifestError, SpeechtlError, StoppedError
from speechtl.runtime.trigger import TriggerSettings


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(("smoothing", "refractory"), [(1, 0.2), (3, 1.0)])
def test_events_are_those_of_every_recording_alone(loud, model, threshold, smoothing, refractory):
    trigger = TriggerSettings(threshold, smoothing, refractory)
    listening = dataclasses.replace(model, trigger=trigger)
    with hear_negatives(loud, listening, [], 0.01, Machines(1), print) as (recordings, stream):
        expected = []
        for index, recording in enumerate(recordings):
            quiet = np.random.default_rng(1).standard_normal(8000, dtype=np.float32) * np.float32(10.0 ** (-75.0 / 20.0))
            passage = Passage(recording, np.concatenate([recording.samples(), quiet]))
            alone = score_stream(model.scorer, [passage])
            expected += [stream.passages[index][0] + time for time in count(alone, trigger).false_accepts]
        assert count(stream, trigger).false_accepts == pytest.approx(expected)
        assert stream.hours == pytest.approx(20.0 / 3600)
        assert [passage[1] for passage in stream.passages] == ["a.wav", "b.wav", "c.wav", "d.wav"]
    assert threshold > 0.5 or expected


def test_scores_that_matter_nowhere_are_not_in_memory(plan, model):
    with hear_negatives(plan, model, [], 0.5, Machines(1), print) as (recordings, stream):
        assert (len(recordings), len(stream.scores)) == (6, 0)
        assert stream.seconds == 120.0


class Stopping:
    """Hears parts here until something happens after some of them."""

    def __init__(self, after=9, problem=KeyboardInterrupt, before=lambda: None):
        self.after, self.problem, self.before = after, problem, before
        self.heard = []

    @contextmanager
    def hearing(self, ears, seconds, note):
        def some(parts):
            for part in parts:
                if len(self.heard) == self.after:
                    raise self.problem
                self.heard.append(part.number)
                yield hear(ears, part)

        self.before()
        yield some


def test_an_interrupted_evaluation_continues(loud, model, corpus):
    whole = evaluate(model, loud, print)
    first, second, notes = Stopping(2), Stopping(), []
    with pytest.raises(StoppedError, match="the same command continues from here"):
        evaluate(model, loud, print, first)
    with pytest.raises(SpeechtlError, match="gone away"):
        evaluate(model, loud, print, Stopping(0, SpeechtlError("gone away")))
    assert evaluate(model, loud, notes.append, second) == whole
    assert (first.heard, second.heard) == ([0, 1], [2, 3])
    assert any(note.endswith("hours of the negatives were heard before, and are not heard again.") for note in notes)
    assert not list((corpus / "cache" / "evaluations").iterdir())


def test_other_settings_and_other_recordings_begin_anew(loud, model, corpus):
    with pytest.raises(StoppedError):
        evaluate(model, loud, print, Stopping(2))
    louder = dataclasses.replace(model, trigger=TriggerSettings(0.5, 1, 0.5))
    again = Stopping()
    evaluate(louder, loud, print, again)
    assert again.heard == [0, 1, 2, 3]


def test_recordings_that_had_gone_away_are_heard_when_they_are_back(loud, model, corpus):
    content = (corpus / "b.wav").read_bytes()
    with pytest.raises(StoppedError):
        evaluate(model, loud, print, Stopping(3, before=(corpus / "b.wav").unlink))
    (corpus / "b.wav").write_bytes(content)
    back = Stopping()
    evaluate(model, loud, print, back)
    assert back.heard == [1, 3]


def test_what_is_skipped_is_noted_and_not_counted(loud, model, corpus):
    (corpus / "b.wav").write_bytes(b"no sound")
    notes = []
    made = evaluate(model, loud, notes.append)
    assert made["negatives"]["hours"] == pytest.approx(15.0 / 3600)
    assert [note for note in notes if note.startswith("Skipped: ") and "b.wav is not an audio file" in note]
    assert {event["file"] for event in made["false_accepts"]} == {"a.wav", "d.wav"}
    for name in "acd":
        (corpus / f"{name}.wav").write_bytes(b"no sound")
    with pytest.raises(ManifestError, match="None of the 4 recordings can be used"):
        evaluate(model, loud, print)


def test_a_run_is_heard_like_its_bundle(loud, model, recorded_run, known_tiny, tmp_path):
    from speechtl.audio.evaluation.model import open_model
    from speechtl.audio.run import save_run

    run = recorded_run()
    (tmp_path / "run").mkdir()
    save_run(tmp_path / "run", run.network, run.about)
    plan = dataclasses.replace(loud, split="test")
    given, expected = (evaluate(one, plan, print) for one in (open_model(tmp_path / "run"), model))
    assert given["negatives"] == expected["negatives"]
    assert given["det"] == expected["det"]
