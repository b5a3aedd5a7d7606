"""Shares of kinds of negatives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechtl.audio.data.recordings import Recording
from speechtl.audio.training.kinds import by_kind, drawn, kind_names, shares

A, B, C = Path("a.jsonl"), Path("b.jsonl"), Path("c")


def test_what_fits_is_taken_whole():
    assert shares({A: 10.0, B: 30.0}, 100.0) == {A: 10.0, B: 30.0}
    assert shares({A: 0.0, B: 30.0}, 10.0) == {A: 0.0, B: 10.0}
    assert shares({}, 10.0) == {}


def test_shares_go_with_the_square_root_and_small_kinds_leave_the_rest_to_large_ones():
    assert shares({A: 100.0, B: 900.0}, 40.0) == pytest.approx({A: 10.0, B: 30.0})
    taken = shares({A: 1.0, B: 100.0, C: 900.0}, 41.0)
    assert taken[A] == 1.0
    assert taken == pytest.approx({A: 1.0, B: 10.0, C: 30.0})


def test_manifests_that_end_alike_are_named_in_full():
    names = kind_names([Path("a/talk.jsonl"), Path("b/talk.jsonl"), Path("b/radio.jsonl"), Path("b/radio.jsonl")])
    assert names == {
        Path("a/talk.jsonl"): str(Path("a/talk.jsonl")),
        Path("b/talk.jsonl"): str(Path("b/talk.jsonl")),
        Path("b/radio.jsonl"): "radio",
    }


def test_recordings_are_drawn_until_every_kind_has_its_share(recording_of):
    def of(kind: Path) -> Recording:
        recording = recording_of(np.zeros(16_000, np.float32))
        return replace(recording, clip=replace(recording.clip, manifest=kind))

    recordings = [of(A)] * 100 + [of(B)] * 4
    chosen = by_kind(drawn(recordings, np.random.default_rng(0).permutation(104), 12.0))
    assert {kind: len(own) for kind, own in chosen.items()} == {A: 10, B: 2}
