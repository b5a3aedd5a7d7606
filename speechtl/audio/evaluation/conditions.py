"""The conditions in which words are played: backgrounds by kind, rooms, distances, lines and levels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from speechtl.audio.augment import Sound, simulate_rooms
from speechtl.audio.backgrounds import BABBLE, mixtures
from speechtl.audio.data.recordings import Recording
from speechtl.audio.evaluation.channels import codec, telephone
from speechtl.audio.evaluation.streams import Condition
from speechtl.runtime.samples import SAMPLE_RATE, Samples

SEED = 1
SNR_DB = (20.0, 10.0, 5.0, 0.0, -5.0)
ROOM_SNR_DB = 5.0  # of backgrounds in rooms
MIXTURES = 24  # of babble, and of one talker, 20 s each
ROOM_SEED = 3_000_000  # far from the seeds of training and validation
ROOMS, FAR_ROOMS = 48, 8  # simulated, and those of them with the weakest direct sound
DIRECT = 16 + SAMPLE_RATE // 400  # samples: the 1 ms that `normalize_room` leaves before the direct sound, and 2.5 ms from it on
FAR_DBFS = -40.0
LEVELS_DBFS = (-50.0, -40.0, -30.0, -20.0, -12.0, -6.0)

NOISE, BABBLE_NAME, TALKER, MUSIC = "noise", "babble", "one talker", "music"
SIMULATED, MEASURED = "simulated rooms", "measured rooms"


@dataclass(frozen=True)
class Surroundings:
    """Backgrounds by kind, and measured rooms, that the model was not trained on."""

    backgrounds: Mapping[str, Sequence[Sound]] = field(default_factory=dict)
    rooms: Sequence[Samples] = ()


def talk_backgrounds(people: Sequence[Sequence[Recording]]) -> dict[str, Sequence[Sound]]:
    """Mixtures of two to eight people, where there are two, and of one person."""
    random = np.random.default_rng([SEED, 2])
    made: dict[str, Sequence[Sound]] = {BABBLE_NAME: mixtures(people, BABBLE, MIXTURES, random)} if len(people) > 1 else {}
    return made | {TALKER: mixtures(people, (1, 1), MIXTURES, random)}


def conditions(around: Surroundings, snr_db: Sequence[float], *, world: bool) -> Iterator[Condition]:
    """The conditions beside clean: each background at each signal-to-noise ratio, measured rooms, and those of the `world`."""
    for kind, sounds in around.backgrounds.items():
        for snr in snr_db:
            yield Condition(at(kind, snr), snr, sounds)
    simulated = sorted(simulate_rooms(ROOMS, ROOM_SEED), key=_direct_share) if world else []
    far, near = simulated[:FAR_ROOMS], simulated[FAR_ROOMS:]
    if near:
        yield Condition(SIMULATED, rooms=near)
    if around.rooms:
        yield Condition(MEASURED, rooms=around.rooms)
    if world:
        yield from _in_rooms(around, near)
        yield from _elsewhere(far)


def at(kind: str, snr_db: float) -> str:
    """The name of a background at a signal-to-noise ratio: "babble at 5 dB"."""
    return f"{kind} at {snr_db:g} dB"


def kind_and_snr(name: str) -> tuple[str, str]:
    """The kind of a background and its ratio in a condition's name, without a ratio an empty text."""
    kind, _, snr = name.rpartition(" at ")
    return (kind, snr) if kind and snr.endswith(" dB") else (name, "")


def _in_rooms(around: Surroundings, simulated: Sequence[Samples]) -> Iterator[Condition]:
    """Noise and babble behind a word in a room, a measured one if there are any."""
    for kind in (NOISE, BABBLE_NAME):
        if sounds := around.backgrounds.get(kind):
            yield Condition(at(f"room and {kind}", ROOM_SNR_DB), ROOM_SNR_DB, sounds, around.rooms or simulated)


def _elsewhere(far: Sequence[Samples]) -> Iterator[Condition]:
    yield Condition("far field", rooms=far, level_dbfs=FAR_DBFS)
    yield Condition("telephone", channel=telephone)
    yield Condition("codec", channel=codec)
    for level in LEVELS_DBFS:
        yield Condition(f"level {level:g} dBFS", level_dbfs=level)


def _direct_share(room: Samples) -> float:
    """The energy of the direct sound, as a share of that of the whole response, which is 1."""
    return float(np.sum(room[:DIRECT].astype(np.float64) ** 2))
