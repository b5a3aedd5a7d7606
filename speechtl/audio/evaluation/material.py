"""The recordings to evaluate on: those that the model was not trained on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechtl.audio.augment import Sound, normalize_room
from speechtl.audio.backgrounds import talkers
from speechtl.audio.data.clips import read_clips, says
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording, heard_only, load_recordings, log_cuts, log_silent, sounds_of
from speechtl.audio.evaluation.conditions import MUSIC, NOISE, SNR_DB, Surroundings, conditions, talk_backgrounds
from speechtl.audio.evaluation.model import Model
from speechtl.audio.evaluation.streams import Condition
from speechtl.errors import ManifestError, SpeechtlError, did_you_mean
from speechtl.progress import Log
from speechtl.text import counted, first_few

GIVEN, WORLD = PRESETS = ("given", "world")
Paths = Sequence[Path]


@dataclass(frozen=True)
class Plan:
    """Manifests and folders to evaluate on, and the conditions to play the word in."""

    positives: Paths
    negatives: Paths
    noise: Paths = ()
    talk: Paths = ()
    music: Paths = ()
    rooms: Paths = ()  # impulse responses
    snr_db: Sequence[float] = ()  # of the backgrounds; () for 10 dB, or 20 to -5 dB in the world
    preset: str = GIVEN  # conditions: those of the recordings given, or all of the world
    split: str = "test"  # of manifests with splits
    others: str | None = None  # split of everything but the positives; None for the same
    strangers: bool = False  # leave out negatives of all people whom the model was trained on

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            hint = did_you_mean(self.preset, PRESETS)
            raise SpeechtlError(f"Conditions must be {' or '.join(PRESETS)}; got {self.preset!r}{hint}.")
        if self.snr_db and not (self.noise or self.talk or self.music):
            raise SpeechtlError("A signal-to-noise ratio needs recordings to play behind the word: noise, talk or music.")
        if not all(map(math.isfinite, self.snr_db)):
            raise SpeechtlError(f"A signal-to-noise ratio must be a number of dB; got {', '.join(f'{snr:g}' for snr in self.snr_db)}.")

    @property
    def ratios(self) -> list[float]:
        """The signal-to-noise ratios, each once."""
        return list(dict.fromkeys(self.snr_db or (SNR_DB if self.preset == WORLD else (10.0,))))


@dataclass(frozen=True)
class Material:
    """Recordings of the word and of anything else, and the conditions that the word is played in."""

    spoken: list[Recording]
    silent: Sequence[Recording]  # without the word
    conditions: list[Condition]  # clean first


def gather(plan: Plan, model: Model, note: Log) -> Material:
    """Load the recordings of a plan that the model was not trained on; whatever is left out is noted."""
    spoken = spoken_of(plan, model, note)
    split, phrases = plan.others or plan.split, model.phrases
    silent = choose(plan.negatives, split, model, note, without=phrases, apart=spoken, strangers=plan.strangers)
    return Material(spoken, silent, conditions_of(plan, model, note))


def spoken_of(plan: Plan, model: Model, note: Log) -> list[Recording]:
    """The recordings of the word."""
    spoken = choose(plan.positives, plan.split, model, note, find_words=True)
    log_silent(spoken, note)
    log_cuts(spoken, note)
    return spoken


def conditions_of(plan: Plan, model: Model, note: Log, heard: list[Clip] | None = None) -> list[Condition]:
    """The conditions of a plan, clean first; the recordings of backgrounds and rooms are added to `heard`."""
    around = _surroundings(plan, model, note, [] if heard is None else heard)
    return [Condition(), *conditions(around, plan.ratios, world=plan.preset == WORLD)]


def _surroundings(plan: Plan, model: Model, note: Log, heard: list[Clip]) -> Surroundings:
    """Backgrounds and rooms of a plan; their recordings are added to `heard`."""

    def load(paths: Paths, **choice: Any) -> list[Recording]:
        recordings = _heard(paths, plan, model, note, **choice)
        heard.extend(one.clip for one in recordings)
        return recordings

    kinds: dict[str, Sequence[Sound]] = {}
    if plan.noise:
        kinds[NOISE] = sounds_of(load(plan.noise))
    if plan.talk:
        people = talkers(load(plan.talk, without=model.phrases, strangers=True))
        if len(people) == 1:
            note("The talk has one talker, so there is no babble.")
        kinds |= talk_backgrounds(people)
    if plan.music:
        kinds[MUSIC] = sounds_of(load(plan.music))
    rooms = load(plan.rooms) if plan.rooms else []
    return Surroundings(kinds, [normalize_room(room.samples()) for room in rooms])


def _heard(paths: Paths, plan: Plan, model: Model, note: Log, **choice: Any) -> list[Recording]:
    """The recordings of a background that are not silent; raises `ManifestError` if there is none."""
    heard = heard_only(choose(paths, plan.others or plan.split, model, note, **choice), "any sound", note)
    if not heard:
        raise ManifestError(f"{', '.join(map(str, paths))}: every recording is silent; leave it out, or give others.")
    return heard


def choose(
    paths: Paths,
    split: str,
    model: Model,
    note: Log,
    *,
    find_words: bool = False,
    without: Sequence[str] = (),
    apart: Sequence[Recording] = (),
    strangers: bool = False,
) -> list[Recording]:
    """The recordings of a split that the model was not trained on.

    Recordings in which a phrase of `without` is said, and those that are in `apart`, are left out. `strangers` leaves out all
    recordings of people whom the model was trained on. Raises `ManifestError` if nothing is left.
    """
    clips = read_clips(paths, note)
    known = people_known(clips, model) if strangers else set()
    sieve = Sieve(model, split, without=without, apart=apart, known=known)
    clips = [clip for clip in clips if sieve.keeps(clip)]
    if not clips:
        raise sieve.nothing_left(paths)
    sieve.report(note)
    return _load(clips, model, note, find_words)


def people_known(clips: Iterable[Clip], model: Model) -> set[str]:
    """The people whom the model was trained on."""
    return {clip.person for clip in clips if clip.person and clip.short_hash in model.trained_on}


class Sieve:
    """What decides which recordings are evaluated on, and counts the others by reason."""

    def __init__(
        self,
        model: Model,
        split: str,
        *,
        without: Sequence[str] = (),
        apart: Sequence[Recording] = (),
        known: Collection[str] = (),
    ) -> None:
        played = _Played(apart)
        self._reasons: dict[str, Callable[[Clip], bool]] = {
            f"of another split than {split!r}": lambda clip: clip.split not in (split, None),
            f"that {model.name} was trained or validated on": lambda clip: clip.short_hash in model.trained_on,
            f"of people whom {model.name} was trained on": lambda clip: clip.person in known,
            "that are also given as positives": lambda clip: clip in played,
            "whose text has the wake word": lambda clip: says(clip, without),
        }
        self._left_out: Counter[str] = Counter()

    def keeps(self, clip: Clip) -> bool:
        """Whether a recording is evaluated on."""
        reason = next((reason for reason, holds in self._reasons.items() if holds(clip)), None)
        if reason is not None:
            self._left_out[reason] += 1
        return reason is None

    def report(self, note: Log) -> None:
        """Note what was left out, except for other splits."""
        for sentence in self._sentences():
            if "another split" not in sentence:
                note(f"Left out {sentence}.")

    def nothing_left(self, paths: Paths) -> ManifestError:
        """The error for manifests of which everything was left out."""
        return ManifestError(
            f"No recording of {', '.join(map(str, paths))} is left to evaluate on. Left out: {', '.join(self._sentences())}."
        )

    def _sentences(self) -> list[str]:
        return [f"{counted(self._left_out[reason], 'recording')} {reason}" for reason in self._reasons if self._left_out[reason]]


def _load(clips: Sequence[Clip], model: Model, note: Log, find_words: bool) -> list[Recording]:
    skipped: list[str] = []
    phrases = model.phrases if find_words else ()
    recordings = load_recordings(clips, find_words=find_words, phrases=phrases, on_skip=skipped.append)
    for problem in first_few(skipped):
        note(f"Skipped: {problem}")
    return recordings


class _Played:
    """The parts of files that recordings are."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._parts: dict[str, list[tuple[float, float]]] = {}
        for recording in recordings:
            for name in recording.clip.names:
                self._parts.setdefault(name, []).append(_part(recording.clip))

    def __contains__(self, clip: Clip) -> bool:
        first, last = _part(clip)
        return any(start < last and first < end for name in clip.names for start, end in self._parts.get(name, ()))


def _part(clip: Clip) -> tuple[float, float]:
    return clip.offset, clip.offset + clip.duration
