"""Cost and benefit of the voice-activity gate of `speechtl listen --gate`: recall and CPU with and without it.

    python training/studies/gate_study.py computer.wake --positives data_manifests/wake_computer.jsonl \\
        --noise data_manifests/noise_esc10.jsonl

Words of the test split are placed in a stream with pauses, in a quiet room and, with --noise, in noise. The same stream is
processed with and without the gate, block by block as in `speechtl listen`. CPU is that of the process, in milliseconds
per second of sound.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechtl.audio.augment import active_level
from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.recordings import Recording, load_recordings
from speechtl.audio.evaluation.streams import Condition, quiet, surround
from speechtl.console import PlainTable, measurement_table, plain_console
from speechtl.errors import reported
from speechtl.progress import say
from speechtl.runtime.listen.hearing import Hearing
from speechtl.runtime.microphone.stream import BLOCK_SECONDS, Block
from speechtl.runtime.microphone.voice_gate import Gate
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.trigger import GRACE

SEED = 1


@dataclass(frozen=True)
class Heard:
    """Result of a run over a stream."""

    detected: int
    others: int
    cpu_ms: float  # per second of sound
    passed: float  # share of the sound that reached the network


class CountingGate(Gate):
    """A gate that counts the samples that it passes."""

    passed = 0

    def feed(self, samples: Samples) -> tuple[Samples, bool]:
        """Pass samples on as the gate does."""
        heard, anew = super().feed(samples)
        self.passed += len(heard)
        return heard, anew


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--positives", nargs="+", type=Path, required=True, help="manifests or folders of the word")
    parser.add_argument("--noise", nargs="+", type=Path, default=[], help="manifests or folders of noise")
    parser.add_argument("--snr", type=float, default=10.0, help="of the word in noise, dB (default 10)")
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between words (default 10)")
    arguments = parser.parse_args(argv)
    words = _recordings(arguments.positives)
    conditions = [Condition("quiet room")]
    if arguments.noise:
        noises = [one.samples() for one in _recordings(arguments.noise, find_words=False) if one.heard]
        conditions.append(Condition(f"noise at {arguments.snr:g} dB", arguments.snr, noises))
    plain_console().print(_table(arguments.bundle, words, conditions, arguments.pause))


def _recordings(paths: Sequence[Path], find_words: bool = True) -> list[Recording]:
    clips = read_clips(paths)
    clips = [clip for clip in clips if clip.split in ("test", None)]
    return load_recordings(clips, find_words=find_words, on_skip=lambda problem: say(f"Skipped: {problem}"))


def _table(bundle: Path, words: Sequence[Recording], conditions: Sequence[Condition], pause: float) -> PlainTable:
    table = measurement_table("", "sound", "gate", "detected", "other events", "CPU, ms per s", "heard by the network")
    for condition in conditions:
        samples, limits = _stream(words, condition, pause)
        for gate in (None, CountingGate()):
            heard = _run(bundle, samples, limits, gate)
            table.add_row(
                condition.name,
                f"{len(samples) / SAMPLE_RATE:.0f} s",
                "no" if gate is None else "yes",
                f"{heard.detected} of {len(limits)}",
                str(heard.others),
                f"{heard.cpu_ms:.2f}",
                f"{100 * heard.passed:.0f} %",
            )
    return table


def _stream(words: Sequence[Recording], condition: Condition, pause: float) -> tuple[Samples, list[tuple[float, float]]]:
    """The words with pauses before them, and the limits of each word (seconds)."""
    parts: list[Samples] = []
    limits, at = [], 0
    for index, word in enumerate(words):
        random = np.random.default_rng([SEED, index])
        clip = word.samples()
        samples = quiet(int(pause * SAMPLE_RATE) + len(clip), random)
        samples[-len(clip) :] += clip
        start = at + len(samples) - len(clip)
        limits.append((start / SAMPLE_RATE + word.word[0], start / SAMPLE_RATE + word.word[1]))
        parts.append(surround(samples, condition, random, active_level(clip)))
        at += len(samples)
    parts.append(quiet(int(GRACE * SAMPLE_RATE), np.random.default_rng(SEED)))
    return np.concatenate(parts), limits


def _run(bundle: Path, samples: Samples, limits: Sequence[tuple[float, float]], gate: CountingGate | None) -> Heard:
    hearing = Hearing([bundle], gate=gate)
    before = time.process_time()
    times = [event.time for block in _blocks(samples) for event in hearing.feed(block).events]
    cpu = time.process_time() - before
    seconds = len(samples) / SAMPLE_RATE
    detected = sum(any(start <= at <= end + GRACE for at in times) for start, end in limits)
    passed = 1.0 if gate is None else gate.passed / len(samples)
    return Heard(detected, len(times) - detected, 1000.0 * cpu / seconds, passed)


def _blocks(samples: Samples) -> Iterator[Block]:
    size = round(BLOCK_SECONDS * SAMPLE_RATE)
    for first in range(0, len(samples), size):
        yield Block(samples[first : first + size, None], SAMPLE_RATE)


if __name__ == "__main__":
    sys.exit(reported(main))
