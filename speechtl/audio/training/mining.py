"""Hard negatives: the moments of all negatives at which a network in training takes something else for the word.

A round is too short for hours of negatives. So a network that has learned for a while hears all of them once, and later rounds
repeat the moments with the highest scores. Each fold is heard by the members that are held out from it, which have not learned
its moments by heart. Recordings to mine, of which there may be far more, are heard in `training.hours`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from speechtl.audio.data.recordings import Recording
from speechtl.audio.evaluation.scoring import score_stream
from speechtl.audio.evaluation.streams import Condition, without_words
from speechtl.audio.network.model import WakeWordNetwork, scorer_of
from speechtl.audio.training.hours.search import Mined
from speechtl.audio.training.kinds import drawn
from speechtl.errors import RunError
from speechtl.files import read_json, write_json
from speechtl.progress import Tally, progress
from speechtl.runtime.samples import Doubles, Floats

MOMENTS = 200  # that are repeated in a round, which has about 1,500 windows of an hour of negatives
SYNTHESISED_MOMENTS = 50  # beside them, of synthesised negatives
EACH = 3  # of one recording
APART = 1.0  # seconds in which only the highest score counts
MOST_SECONDS = 24 * 3600.0  # of negatives that are heard


@dataclass(frozen=True)
class Moment:
    """A time in a recording, in seconds; `recording` is its index among the negatives."""

    recording: int
    seconds: float


@dataclass(frozen=True)
class Hard:
    """What later rounds repeat: moments of the negatives, and what was mined."""

    moments: Sequence[Moment]
    mined: Mined | None = None


def listeners(network: WakeWordNetwork, held_out: Sequence[int], negatives: Sequence[Recording]) -> dict[int, WakeWordNetwork]:
    """For every fold of negatives the members that are held out from it, or all where there are none, on a copy of the encoder."""
    encoder = copy.deepcopy(network.encoder)
    made = {}
    for fold in sorted({recording.fold for recording in negatives}):
        members = [member for member, out in enumerate(held_out) if out == fold] or list(range(len(held_out)))
        made[fold] = WakeWordNetwork(encoder, network.head.only(members).to(network.device))
    return made


def hard_moments(listening: Mapping[int, WakeWordNetwork], negatives: Sequence[Recording]) -> list[Moment]:
    """The moments with the highest scores, by the network for the fold of each recording."""
    order: Sequence[int] = range(len(negatives))
    if sum(recording.seconds for recording in negatives) > MOST_SECONDS:
        order = np.random.default_rng(0).permutation(len(negatives)).tolist()
    index_of = {id(recording): index for index, recording in enumerate(negatives)}
    chosen = drawn(negatives, order, MOST_SECONDS)
    found: dict[bool, list[tuple[float, Moment]]] = {False: [], True: []}  # in recordings, and in synthesised speech
    with progress("looking for hard negatives, recording") as advance:
        tally = Tally(advance, len(chosen))
        for fold, network in listening.items():
            own = [recording for recording in chosen if recording.fold == fold]
            stream = score_stream(scorer_of(network), tally(without_words(own, Condition(), fold)))
            starts = np.array([start for start, _, _ in stream.passages])
            for score, time in _peaks(stream.scores, stream.times, round(APART / stream.step_seconds)):
                place = int(np.searchsorted(starts, time, side="right")) - 1
                moment = Moment(index_of[id(own[place])], round(time - float(starts[place]), 3))
                found[own[place].synthesised].append((score, moment))
    # Synthesised words that sound like the word score high, and would leave no room for what people say.
    return _highest(found[False], MOMENTS) + _highest(found[True], SYNTHESISED_MOMENTS if found[False] else MOMENTS)


def _peaks(scores: Floats, times: Doubles, window: int) -> list[tuple[float, float]]:
    """The highest score of each window, and its time."""
    whole = scores[: len(scores) // window * window].reshape(-1, window)
    steps = whole.argmax(axis=1) + np.arange(len(whole)) * window
    return list(zip(scores[steps].tolist(), times[steps].tolist(), strict=True))


def _highest(found: Sequence[tuple[float, Moment]], most: int) -> list[Moment]:
    taken: Counter[int] = Counter()
    moments = []
    for _, moment in sorted(found, key=lambda one: -one[0]):
        if taken[moment.recording] < EACH:
            taken[moment.recording] += 1
            moments.append(moment)
        if len(moments) == most:
            break
    return moments


def save_hard(path: Path, hard: Hard) -> None:
    """Write hard negatives, for a training that is resumed."""
    write_json(path, {"moments": [asdict(moment) for moment in hard.moments], "mined": hard.mined and hard.mined.to_json()})


def load_hard(path: Path) -> Hard:
    """The hard negatives of a training; raises `RunError` if they are missing or damaged."""
    try:
        found = read_json(path, RunError)
        moments = [Moment(int(moment["recording"]), float(moment["seconds"])) for moment in found["moments"]]
        return Hard(moments, Mined.from_json(found["mined"]) if found["mined"] else None)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is missing or damaged; start again without --resume.") from error
