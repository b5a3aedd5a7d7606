from types import SimpleNamespace

import numpy as np
import pytest

from speechtl.audio.evaluation.scoring import PlayedWord, ScoredStream
from speechtl.runtime.trigger import TriggerSettings


@pytest.fixture
def program(load_program):
    return load_program("training/studies/rival_curves")


@pytest.fixture
def played():
    """Two words, in quiet with scores of 0.9 and 0.6 and elsewhere of 0.4, and an hour with peaks of 0.7 and 0.3."""

    def words(*scores):
        stream = np.full(100, 0.01, np.float32)
        stream[[20, 70]] = scores
        return ScoredStream(stream, np.arange(100.0), 1.0, 0.0, words=[PlayedWord(19.5, 20.0, 0), PlayedWord(69.5, 70.0, 1)])

    others = np.full(3600, 0.01, np.float32)
    others[[100, 2000]] = [0.7, 0.3]
    streams = {"clean": words(0.9, 0.6), "noise at 5 dB": words(0.4, 0.01)}
    return SimpleNamespace(
        words=streams, others=ScoredStream(others, np.arange(3600.0), 1.0, 3600.0), material=SimpleNamespace(spoken=[1, 2])
    )


def test_a_curve_has_the_rates_just_above_every_score_of_the_negatives(program, played):
    curve = program.curve_of("a", played, TriggerSettings(0.5), delivered=True)
    assert [(point.events, point.found[program.CLEAN], point.found[program.ELSEWHERE]) for point in curve.points[:3]] == [
        (0, 1, 0.0),
        (1, 2, 1.0),
        (2, 2, 1.0),
    ]
    assert (curve.delivered.events, curve.delivered.found[program.CLEAN]) == (1, 2)
    assert program.curve_of("a", played, TriggerSettings(0.5), delivered=False).delivered is None


def test_curves_are_drawn(program, played, tmp_path):
    curve = program.curve_of("a", played, TriggerSettings(0.5), delivered=True)
    program.draw(tmp_path / "a.png", "burst", [curve])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
