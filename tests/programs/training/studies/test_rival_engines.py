import sys

import numpy as np
import pytest

from speechtl.audio.evaluation.scoring import ScoredStream, score_stream
from speechtl.audio.evaluation.streams import Condition, words_in_background
from speechtl.bench.process import WorkerError
from speechtl.errors import SpeechtlError
from speechtl.runtime.detector import Detector
from speechtl.runtime.samples import to_int16


@pytest.fixture
def program(load_program):
    return load_program("training/studies/rival_engines")


@pytest.fixture
def words(recording_of, bursts):
    return [recording_of(bursts((0.3,), 1.2), (0.3, 0.7)) for _ in range(2)]


@pytest.fixture
def piece(program, words, tmp_path):
    return program.Piece(tmp_path / "clean", lambda: words_in_background(words, Condition(), 0))


def test_a_bundle_gives_the_scores_that_its_detector_compares(program, tiny_bundle, bursts):
    samples = to_int16(bursts((1.0,), 2.0))
    engine = program.shipped(tiny_bundle, "burst")
    heard = engine.hear(samples)
    detector = Detector.open(tiny_bundle)
    scores = []
    detector.on_score = lambda event, threshold: scores.append(event.score)
    detector.reset(detector.scorer.lead(0.08))
    detector.feed(samples)
    assert np.allclose(heard.scores, np.reshape(scores, (25, -1)).max(axis=1), atol=1e-6)
    assert heard.scores.max() > heard.threshold == detector.words[0].trigger.threshold


def test_a_network_in_this_process_hears_what_it_hears_streaming(program, tiny_network, tiny_bundle, bursts, monkeypatch):
    monkeypatch.setattr(program, "BLOCK", 5 * program.CHUNK_SAMPLES)
    samples = to_int16(bursts((1.0,), 2.0))
    here = program.in_process("tiny", tiny_network, "0")
    scorer = program.scorer_of(tiny_network, streaming=True)
    scorer.reset(scorer.lead(0.08))
    assert np.allclose(here.hear(samples).scores, scorer.feed(samples).reshape(25, -1).max(axis=1), atol=1e-5)
    assert here.hear(samples).threshold is None


def test_a_stream_is_heard_once_and_scores_are_where_its_words_are(program, piece, words):
    calls = []

    def hear(samples):
        calls.append(len(samples))
        return program.Heard(np.arange(len(samples) // 1280, dtype=np.float32), 0.75)

    engine = program.Engine("peer 1", "peer-1", hear)
    assert piece.hear([engine]) == []
    assert piece.hear([engine]) == []
    assert len(calls) == 1
    stream, threshold = piece.heard(engine)
    assert threshold == 0.75
    tape = program.Tape()
    laid_out = score_stream(tape, words_in_background(words, Condition(), 0))
    assert stream.words == laid_out.words
    assert stream.passages == [tuple(passage) for passage in laid_out.passages]
    assert len(stream.scores) == sum(map(len, tape.parts)) // 1280 == calls[0] // 1280
    assert stream.times[:2] == pytest.approx([0.08, 0.16])


def test_an_engine_that_fails_is_told_and_the_others_hear(program, piece):
    def fails(samples):
        raise WorkerError("its process ended with -11")

    engines = [program.Engine("bad", "bad", fails), program.Engine("good", "good", lambda samples: program.Heard(np.zeros(2)))]
    assert piece.hear(engines) == [(engines[0], "its process ended with -11")]
    assert piece.heard(engines[1])[1] is None


def test_streams_are_joined_one_after_the_other(program):
    def stream(scores, path):
        return ScoredStream(np.array(scores), np.zeros(0), 0.08, 0.2, passages=[(0.0, path, -0.1)])

    whole = program.joined([stream([0.1, 0.2], "a"), stream([0.3], "b")])
    assert whole.scores.tolist() == [0.1, 0.2, 0.3]
    assert whole.times == pytest.approx([0.08, 0.16, 0.24])
    assert whole.seconds == pytest.approx(0.4)
    assert whole.passages == [(0.0, "a", -0.1), (0.16, "b", pytest.approx(0.06))]


def test_a_peer_that_cannot_be_installed_is_one_sentence(program, monkeypatch, tmp_path):
    monkeypatch.setattr(
        program, "installed", lambda kind, about: sys.modules["peers"].Contender("pymicro-wakeword alexa", reason="no wheel")
    )
    with pytest.raises(SpeechtlError, match="pymicro-wakeword alexa: no wheel"):
        program.peer("pymicro", "alexa")
