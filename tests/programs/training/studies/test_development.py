"""Recall of people that a head has not heard, at an equal rate of false accepts."""

from __future__ import annotations

import numpy as np
import pytest

from speechtl.audio.evaluation.scoring import PlayedWord, ScoredStream, count
from speechtl.runtime.trigger import TriggerSettings


def stream(logits: np.ndarray, words: list[PlayedWord] = []) -> ScoredStream:  # noqa: B006
    scores = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
    return ScoredStream(scores, np.arange(len(scores)) * 0.08, 0.08, len(scores) * 0.08, words)


@pytest.fixture
def negatives() -> list[ScoredStream]:
    logits = np.full(90_000, -12.0)  # two hours
    logits[::900] = np.random.default_rng(0).exponential(1.0, 100)
    return [stream(logits)]


@pytest.mark.parametrize("rate", [0.5, 3.0, 20.0])
def test_the_threshold_has_the_rate_and_a_lower_one_more(load_program, negatives, rate):
    program = load_program("training/studies/development")
    trigger = program.trigger_at(negatives, rate, TriggerSettings(0.5))
    assert len(count(negatives[0], trigger).false_accepts) == round(rate * 2)
    logit = float(np.log(trigger.threshold / (1.0 - trigger.threshold)))
    lower = TriggerSettings(float(1.0 / (1.0 + np.exp(-(logit - 0.3)))))
    assert len(count(negatives[0], lower).false_accepts) > rate * 2


def test_recall_counts_words_and_not_streams(load_program):
    word, silence = np.full(100, -12.0), np.full(100, -12.0)
    word[50] = 9.0
    streams = [stream(word, [PlayedWord(3.5, 4.0, 0)]), stream(silence, [PlayedWord(1.0, 1.5, 0), PlayedWord(3.5, 4.0, 1)])]
    assert load_program("training/studies/development").recall(streams, TriggerSettings(0.5)) == pytest.approx(1 / 3)


@pytest.mark.slow
def test_the_table_of_a_small_training(load_program, corpus, known_tiny, capsys):
    recipe = corpus / "small.toml"
    recipe.write_text('name = "word"\n[data]\npositives = ["positives.jsonl"]\nnegatives = ["negatives.jsonl"]\n[train]\nsteps = 2\n')
    rows = load_program("training/studies/development").main([str(recipe), "--encoder", "tiny", "--epochs", "1", "--snr", "5"])
    (row,) = rows.values()
    assert {"clean", "noise at 5 dB", "music at 5 dB", "simulated rooms", "telephone"} <= set(row)
    assert all(0.0 <= value <= 1.0 for value in row.values())
    assert "| clean |" in capsys.readouterr().out
