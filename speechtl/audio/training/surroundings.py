"""What is heard behind the examples of a training: noise, talk and music, each kind with its share.

Talk is made of negatives; behind an example of a fold only of that fold's, so that an out-of-fold head does not hear the speakers
on which it is validated in the background either. Every round has new mixtures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from speechtl.audio.augment import Drawing, Sound, in_room
from speechtl.audio.backgrounds import BABBLE, Background, drawn, mixtures, talkers
from speechtl.audio.data.recordings import Recording
from speechtl.runtime.samples import Samples

NOISE = Background("noise", (), 0.45, (-5.0, 20.0))
TALK = Background("babble", (), 0.25, (-2.0, 20.0))
ONE_TALKER = Background("one talker", (), 0.1, (3.0, 20.0))
MUSIC = Background("music", (), 0.2, (-3.0, 20.0))
BEHIND_OTHERS = 0.5  # of the share of talk, behind negatives: there it is more of the same
MIXTURES = {TALK.name: 6, ONE_TALKER.name: 4}  # of 20 s, in a fold and round
ENOUGH_SECONDS = 5.0  # of a talker: a word again and again is no talk
ENOUGH_PEOPLE = 8  # with that much, to leave out all others
IN_ROOMS = 0.5  # of the mixtures


class Surroundings:
    """The backgrounds of every fold; a kind without recordings leaves its share to the others."""

    def __init__(
        self,
        noises: Sequence[Sound],
        music: Sequence[Sound] = (),
        negatives: Mapping[int, Sequence[Recording]] | None = None,
        rooms: Sequence[Samples] = (),
        seed: int = 0,
    ) -> None:
        self._everywhere = [replace(NOISE, sounds=noises), replace(MUSIC, sounds=music)]
        self._people = {fold: enough_talkers(recordings) for fold, recordings in (negatives or {}).items()}
        self._rooms = rooms
        self._seed = seed
        self._talk: tuple[int, dict[int, list[Background]]] = (-1, {})

    def behind(self, number: int, *, words: bool) -> dict[int, Drawing | None]:
        """The drawing of backgrounds in each fold with negatives, in round `number`, behind words or behind negatives."""
        if self._talk[0] != number:
            self._talk = number, {fold: self.talk(fold, number) for fold in self._people}
        share = 1.0 if words else BEHIND_OTHERS
        return {fold: self.drawing([replace(kind, share=kind.share * share) for kind in talk]) for fold, talk in self._talk[1].items()}

    def drawing(self, talk: Sequence[Background] = ()) -> Drawing | None:
        """A drawing from noise, music and `talk`; None where there is nothing to draw from."""
        kinds = [kind for kind in (*self._everywhere, *talk) if len(kind.sounds)]
        return partial(drawn, kinds) if kinds else None

    def talk(self, fold: int, number: int) -> list[Background]:
        """Babble, and one talker at a time, of the negatives of a fold; empty without enough people."""
        people = self._people[fold]
        random = np.random.default_rng([self._seed, number, fold, 5])
        made = []
        for kind, voices in ((TALK, BABBLE), (ONE_TALKER, (1, 1))):
            sounds = mixtures(people, voices, MIXTURES[kind.name], random) if len(people) >= voices[0] else []
            made.append(replace(kind, sounds=[self._placed(sound, random) for sound in sounds]))
        return made

    def _placed(self, sound: Samples, random: np.random.Generator) -> Samples:
        if not self._rooms or random.random() >= IN_ROOMS:
            return sound
        return in_room(sound, self._rooms[int(random.integers(len(self._rooms)))])


def enough_talkers(recordings: Sequence[Recording]) -> list[list[Recording]]:
    """The talkers of recordings; those with a few words only are left out where there are others."""
    people = talkers(recordings)
    enough = [own for own in people if sum(recording.seconds for recording in own) >= ENOUGH_SECONDS]
    return enough if len(enough) >= ENOUGH_PEOPLE else people
