import sys

import numpy as np
import pytest

from speechtl.errors import MissingExtraError
from speechtl.runtime.bundle.choice import Choice, PerWord
from speechtl.runtime.listen.hearing import Hearing
from speechtl.runtime.microphone.stream import Block
from speechtl.runtime.microphone.voice_gate import BEFORE_SECONDS, Gate

RATE = 16_000


@pytest.fixture(scope="module")
def words():
    """Words of synthetic voices, each with where it starts and ends, in 60 s of soft noise."""
    pytest.importorskip("webrtcvad", reason="the gate's package is not installed: pip install 'speechtl[vad]'")
    pytest.importorskip("espeakng_loader")
    from speechtl.audio.synthesis.speak import speak, voices

    samples = np.random.default_rng(0).normal(0, 0.0005, 60 * RATE).astype(np.float32)
    limits = []
    for index, voice in enumerate(voices()[:8]):
        spoken = speak("computer", voice)
        start = (6 + 7 * index) * RATE
        samples[start : start + len(spoken)] += spoken * 0.5
        limits.append((start, start + len(spoken)))
    return samples, limits


def passed(gate: Gate, samples: np.ndarray, block: int = 640) -> np.ndarray:
    """Return which samples came through, each position counted as often as it came."""
    times = np.zeros(len(samples), int)
    for first in range(0, len(samples), block):
        heard, anew = gate.feed(samples[first : first + block])
        end = min(first + block, len(samples))
        assert np.array_equal(heard, samples[end - len(heard) : end])
        assert anew or len(heard) in (0, end - first)
        times[end - len(heard) : end] += 1
    return times


@pytest.mark.parametrize("block", [160, 640, 1280, 5000])
def test_words_pass_whole_with_what_came_before_and_nothing_passes_twice(words, block):
    samples, limits = words
    times = passed(Gate(), samples, block)
    assert times.max() == 1
    for start, end in limits:
        assert times[start - RATE : end + RATE // 2].all()


def test_between_words_the_gate_is_closed(words):
    samples, _ = words
    assert passed(Gate(), samples).mean() < 0.6


def test_noise_alone_stays_outside(words):
    noise = np.random.default_rng(1).normal(0, 0.0005, 30 * RATE).astype(np.float32)
    assert passed(Gate(), noise).mean() < 0.2


def test_events_keep_their_times_behind_the_gate(words, tiny_bundle):
    samples, _ = words

    def events(gate):
        hearing = Hearing([tiny_bundle], gate=gate, choice=Choice(PerWord(0.3)))
        return [e for first in range(0, len(samples), 640) for e in hearing.feed(Block(samples[first : first + 640, None], RATE)).events]

    with_gate, without = events(Gate()), events(None)
    assert len(without) >= 6
    assert [event.time for event in with_gate] == pytest.approx([event.time for event in without], abs=0.17)


def test_what_is_kept_before_speech_is_bounded(words):
    gate = Gate()
    gate.feed(np.zeros(100 * RATE, np.float32))
    for _ in range(1000):
        gate.feed(np.zeros(640, np.float32))
    assert gate._kept < BEFORE_SECONDS * RATE + 2 * 640


def test_without_its_package_the_pip_command_is_printed(monkeypatch):
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'speechtl\[vad\]'"):
        Gate()
