"""Checks of takes on real recordings: how often each flags a good take, and how often another word among takes is found.

    python training/studies/takes.py wake_computer=computer wake_jarvis=jarvis "wake_smart_mirror=smart mirror" wake_alexa=alexa

Each manifest of `data_manifests` is given with its word. A trial compares a take with others of the word: of the same speaker, of the same
speaker with another word among them, or of other speakers. The take is a good one, a take of another word (by the same speaker where there
is one), or the first half of the word.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from speechtl.audio.data.clips import read_clips
from speechtl.audio.recording.agreement import OTHERS_LIMIT, OWN_LIMIT, TakeEncoder, disagreement
from speechtl.audio.recording.checks import check_take
from speechtl.console import PlainTable, measurement_table, plain_console
from speechtl.errors import reported
from speechtl.progress import tracked
from speechtl.runtime.samples import SAMPLE_RATE, Floats
from speechtl.runtime.sound.files import read_audio

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
TRIALS = 6  # of each speaker and word
COMPARED = (3, 5, 8)


@dataclass(frozen=True)
class Take:
    """Embeddings of a take and of the first half of its word."""

    speaker: str
    word: str
    whole: Floats
    half: Floats


def main(argv: Sequence[str] | None = None) -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="MANIFEST=WORD", help="a manifest of data_manifests, and its word")
    parser.add_argument("--split", default="train", help="lines of this split (default train)")
    arguments = parser.parse_args(argv)
    encoder, flags = TakeEncoder(), Counter[str]()
    takes: list[Take] = []
    for name, _, word in (given.partition("=") for given in arguments.words):
        clips = [clip for clip in read_clips([MANIFESTS / f"{name}.jsonl"]) if clip.path and clip.split == arguments.split]
        for clip in tracked(f"reading {word}", clips, len(clips)):
            assert clip.path is not None
            samples = read_audio(clip.path, clip.offset, clip.duration, clip.channel)
            check = check_take(samples, [word])
            flags.update(check.kinds)
            if check.word is None:
                continue
            start, end = check.word
            half = encoder.embed(samples[: round((start + end) / 2 * SAMPLE_RATE)], (start, (start + end) / 2))
            takes.append(Take(str(clip.person), word, encoder.embed(samples, check.word), half))
    table = measurement_table("check", "flagged")
    for kind, number in flags.most_common():
        table.add_row(kind, f"{number} of {len(takes)}")
    plain_console().print(table)
    plain_console().print(_comparisons(takes))


def _comparisons(takes: Sequence[Take]) -> PlainTable:
    table = measurement_table("compared with", "trials", "good take", "another word", "half of the word")
    for count in COMPARED:
        table.add_row(f"{count} of the speaker", *_row(takes, partial(_own, takes, count=count), OWN_LIMIT))
    for count in COMPARED[1:]:
        mixed = partial(_own, takes, count=count, wrong=1)
        table.add_row(f"{count} of the speaker, one of them another word", *_row(takes, mixed, OWN_LIMIT))
        table.add_row(f"{count} of other speakers", *_row(takes, partial(_others, takes, count=count), OTHERS_LIMIT))
    return table


def _own(takes: Sequence[Take], take: Take, chosen: random.Random, count: int, wrong: int = 0) -> list[Take]:
    own = [one for one in takes if one is not take and (one.speaker, one.word) == (take.speaker, take.word)]
    return [*chosen.sample(own, count - wrong), *chosen.sample(_wrong(takes, take), wrong)] if len(own) >= count - wrong else []


def _others(takes: Sequence[Take], take: Take, chosen: random.Random, count: int) -> list[Take]:
    return chosen.sample([one for one in takes if one.word == take.word and one.speaker != take.speaker], count)


def _wrong(takes: Sequence[Take], take: Take) -> list[Take]:
    """Takes of other words, by the same speaker where there are any."""
    wrong = [one for one in takes if one.word != take.word]
    return [one for one in wrong if one.speaker == take.speaker] or wrong


def _row(takes: Sequence[Take], compared: Callable[[Take, random.Random], list[Take]], limit: float) -> list[str]:
    by_speaker = defaultdict(list)
    for take in takes:
        by_speaker[take.speaker, take.word].append(take)
    chosen = random.Random(0)
    flagged: list[list[bool]] = []
    for own in by_speaker.values():
        for _ in range(TRIALS):
            take = chosen.choice(own)
            others = [one.whole for one in compared(take, chosen)]
            if others:
                tried = (take.whole, chosen.choice(_wrong(takes, take)).whole, take.half)
                flagged.append([disagreement(one, others) > limit for one in tried])
    shares = np.mean(flagged, axis=0) if flagged else np.zeros(3)
    return [str(len(flagged)), *(f"{100 * share:.1f} %" for share in shares)]


if __name__ == "__main__":
    sys.exit(reported(main))
