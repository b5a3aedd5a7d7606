"""Thresholds from all kinds of negatives but one."""

from __future__ import annotations

import numpy as np
import pytest

from speechtl.audio.evaluation.scoring import PlayedWord, ScoredStream
from speechtl.audio.training.calibrate import Copies
from speechtl.audio.training.validation import Validation
from speechtl.errors import SpeechtlError


def stream(logits: np.ndarray, words: list[PlayedWord] = []) -> ScoredStream:  # noqa: B006
    scores = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
    return ScoredStream(scores, np.arange(len(scores)) * 0.08, 0.08, len(scores) * 0.08, words)


def noise(seed: int, start: float = -8.0, hours: float = 1.0) -> ScoredStream:
    random = np.random.default_rng(seed)
    logits = np.full(round(hours * 45_000), -12.0)
    logits[::12] = start + random.exponential(1.0, len(logits[::12]))
    return stream(logits)


@pytest.fixture
def heard() -> Validation:
    word = np.full(100, -12.0)
    word[50] = 9.0
    words = [stream(word, [PlayedWord(3.5, 4.0, 0)])]
    kinds = {"a": [noise(1)], "a, rooms": [noise(2)], "b": [noise(3)], "c": [noise(4)], "loud": [noise(5, start=-4.0)]}
    return Validation(words, kinds, Copies())


def test_a_kind_that_is_left_out_has_no_part_in_its_threshold(load_program, heard):
    found = load_program("training/studies/thresholds").leave_one_out(heard, 1.0, None, 1)
    events = {one.left_out: one.events for one in found}
    assert [one.left_out for one in found] == ["a", "b", "c", "loud"]
    assert {one.left_out: round(one.hours) for one in found} == {"a": 2, "b": 1, "c": 1, "loud": 1}
    assert max(events[kind] for kind in "abc") <= 4
    assert events["loud"] > 20  # nothing among the others is as loud
    assert [one.within(1.0) for one in found][-1] is False
    assert all(one.recall == 1.0 for one in found)


def test_more_kinds_keep_the_aim_with_a_higher_probability(load_program, heard):
    program = load_program("training/studies/thresholds")
    loud = [program.leave_one_out(heard, 1.0, kept, 1)[-1].events for kept in (0.5, 0.8, 0.95)]
    assert loud[0] > loud[1] > loud[2]


def test_one_manifest_alone_is_an_error(load_program, heard):
    only = Validation(heard.words, {"a": heard.others["a"], "a, rooms": heard.others["a, rooms"]}, Copies())
    with pytest.raises(SpeechtlError, match="All negatives are of one manifest, a"):
        load_program("training/studies/thresholds").leave_one_out(only, 1.0, 0.8, 1)


@pytest.mark.slow
def test_the_table_of_a_small_training(load_program, corpus, known_tiny, capsys):
    for path in (corpus / "positives.jsonl", corpus / "negatives.jsonl"):
        path.write_text(path.read_text().replace('"split": "validation"', '"split": "train"'))
    lines = (corpus / "negatives.jsonl").read_text().splitlines(keepends=True)
    (corpus / "negatives.jsonl").write_text("".join(lines[:4]))
    (corpus / "other.jsonl").write_text("".join(lines[4:8]))
    recipe = corpus / "word.toml"
    recipe.write_text(recipe.read_text().replace('["negatives.jsonl"]', '["negatives.jsonl", "other.jsonl"]'))
    load_program("training/studies/thresholds").main([str(recipe), "--epochs", "1", "--aims", "1", "--kept", "0.9"])
    shown = capsys.readouterr().out
    assert "one kind" in shown
    assert "negatives" in shown
    assert "other" in shown
