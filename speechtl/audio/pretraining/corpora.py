"""The speech of a pretraining recipe: recordings, synthesised sentences and words, and noises."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from speechtl.audio.backgrounds import talkers
from speechtl.audio.data.manifest import Clip, read_manifests
from speechtl.audio.data.recordings import Recording, heard_only, load_recordings
from speechtl.audio.pretraining.data import (
    LONGEST,
    OFTEN,
    Utterance,
    read_tested,
    read_utterances,
    with_words,
    word_classes,
)
from speechtl.audio.pretraining.phones import transcribe
from speechtl.audio.pretraining.recipe import PretrainingRecipe, SpeechSection, WordsSection
from speechtl.audio.pretraining.shards import cores
from speechtl.audio.synthesis.corpus import draw_plan, make_corpus
from speechtl.audio.synthesis.sentences import contains_phrase, plain
from speechtl.audio.synthesis.speak import missing_synthesizers
from speechtl.audio.synthesis.texts import usable_words
from speechtl.errors import RecipeError
from speechtl.progress import Log, progress
from speechtl.text import counted

TALKED = 1500  # recordings that are mixed to babble
TALK_SECONDS = 1.5  # of such a recording at least
WORD_PHONES = (4, 11)  # of the words to classify: shorter ones are too similar


@dataclass(frozen=True)
class Corpora:
    """The data of a pretraining; `classes` are the words to classify."""

    recorded: list[Utterance]
    synthesised: list[Utterance]
    validation: list[Utterance]
    tested: list[Utterance]
    noises: list[Recording]
    music: list[Recording]
    classes: dict[str, int]

    @property
    def taught(self) -> list[Utterance]:
        """The utterances to train on."""
        return [*self.recorded, *self.synthesised]

    @property
    def background(self) -> list[Clip]:
        """The clips of noise and music behind them."""
        return [recording.clip for recording in (*self.noises, *self.music)]

    def people(self, seed: int, log: Log) -> list[list[Recording]]:
        """Some speakers of the training data, with a few recordings each, to talk behind others."""
        spoken = [one.clip for one in self.recorded or self.synthesised if one.clip.duration >= TALK_SECONDS]
        order = np.random.default_rng([seed, 8]).permutation(len(spoken))[:TALKED]
        clips = [spoken[index] for index in order]
        return talkers(load_recordings(clips, on_skip=log)) if clips else []


@dataclass(frozen=True)
class CorporaReader:
    """Reads what a recipe asks for, and makes the synthesised speech that is not in the cache yet.

    Only the first process of `fabric` synthesises.
    """

    recipe: PretrainingRecipe
    cache: Path
    fabric: Fabric
    log: Log

    def read(self) -> Corpora:
        """All corpora of the recipe; raises `RecipeError` where there are no words to classify."""
        recipe = self.recipe
        tested = read_tested(recipe.data.test, longest=LONGEST, log=self.log) if recipe.data.test else []
        noises, music = self._sounds(recipe.data.noise), self._sounds(recipe.data.music)
        recorded, validation = self._recordings(tested)
        if (recipe.speech.hours or recipe.words.hours) and (absent := missing_synthesizers()):
            self.log(f"Synthesised without {' and '.join(absent)}, which this machine does not have.")
        synthesised = [*self._sentences(), *self._words()]
        classes = word_classes([*recorded, *synthesised]) if recipe.tasks.words else {}
        if recipe.tasks.words and not classes:
            raise RecipeError(f"tasks.words is {recipe.tasks.words:g}, but no word occurs alone {OFTEN} times; set words.hours.")
        recorded, synthesised, validation = (with_words(several, classes) for several in (recorded, synthesised, validation))
        return Corpora(recorded, synthesised, validation, tested, noises, music, classes)

    def _sounds(self, manifests: Sequence[Path]) -> list[Recording]:
        clips = [clip for clip in read_manifests(manifests) if clip.split != "test"] if manifests else []
        return heard_only(load_recordings(clips, on_skip=self.log), "any sound", self.log) if clips else []

    def _recordings(self, tested: Sequence[Utterance]) -> tuple[list[Utterance], list[Utterance]]:
        """The recordings to train on and, of other speakers, those to validate on."""
        data = self.recipe.data
        if not data.transcribed and not data.unlabelled:
            return [], []
        found = read_utterances(data.transcribed, data.unlabelled, longest=LONGEST, log=self.log, tested=tested)
        usable = [one for one in found if not (one.clip.text and contains_phrase(one.clip.text, data.without))]
        if len(usable) < len(found):
            self.log(f"Left out {counted(len(found) - len(usable), 'recording')} in which one of these is said: {', '.join(data.without)}.")
        kept_out = _validated(usable, data.validation, self.recipe.train.seed)
        learned = [one for one, out in zip(usable, kept_out, strict=True) if not out]
        validation = [one for one, out in zip(usable, kept_out, strict=True) if out and one.phones]
        if not validation:
            self.log(
                "There is no error rate on validation speakers: too few speakers of the manifests have transcripts, so none is held out."
            )
        if mute := sum(kept_out) - len(validation):
            self.log(f"Left out {mute} recordings without a transcript, of speakers held out for validation.")
        return learned, validation

    def _sentences(self) -> list[Utterance]:
        speech = self.recipe.speech
        return self._spoken(speech, self._vocabulary()) if speech.hours else []

    def _words(self) -> list[Utterance]:
        words = self.recipe.words
        if not words.hours:
            return []
        usable = usable_words(self._vocabulary(), self.recipe.data.without)
        by_sound = {
            tuple(phones): word
            for word, phones in zip(usable, transcribe(usable), strict=True)
            if phones and WORD_PHONES[0] <= len(phones) <= WORD_PHONES[1]
        }
        distinct = sorted(by_sound.values())
        drawn = np.random.default_rng(words.seed).permutation(len(distinct))[: words.vocabulary]
        return self._spoken(words, sorted(distinct[index] for index in drawn), alone=True)

    def _vocabulary(self) -> list[str]:
        """The words of all transcripts but those of tests."""
        manifests = self.recipe.data.transcribed
        clips = read_manifests(manifests) if manifests else []
        return sorted({word for clip in clips if clip.split != "test" and clip.text for word in plain(clip.text).split()})

    def _spoken(self, section: SpeechSection | WordsSection, words: Sequence[str], *, alone: bool = False) -> list[Utterance]:
        """Hours of synthesised speech; what is not in the cache is made."""
        without = self.recipe.data.without
        plan = draw_plan(section.seed, words, without, alone=alone).settings()  # another synthesiser makes another corpus
        folder = self.cache / "speech" / hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
        if self.fabric.is_global_zero:
            skipped: list[str] = []
            with progress("synthesising words" if alone else "synthesising speech") as advance:
                make_corpus(
                    folder,
                    section.hours,
                    seed=section.seed,
                    words=words,
                    without=without,
                    alone=alone,
                    workers=cores(),
                    on_skip=skipped.append,
                    progress=advance,
                )
            if skipped:
                self.log(f"Left out {len(skipped)} utterances that could not be synthesised; the first: {skipped[0]}")
        self.fabric.barrier()
        spoken = read_utterances([folder / "manifest.jsonl"], [], longest=LONGEST, log=self.log)
        up_to = np.cumsum([one.clip.duration for one in spoken]) / 3600.0
        return spoken[: int(np.searchsorted(up_to, section.hours)) + 1]


def _validated(utterances: Sequence[Utterance], share: float, seed: int) -> list[bool]:
    """For each utterance whether it is held out with its speaker.

    Those are the speakers of split "validation" where a manifest has it, and of the other manifests speakers drawn at random.
    """
    marked = {one.clip.manifest for one in utterances if one.clip.split == "validation"}
    held_out = {one.clip.person for one in utterances if one.clip.split == "validation"} - {None}
    people = sorted({one.clip.person for one in utterances if one.phones and one.clip.person and one.clip.manifest not in marked})
    order = np.random.default_rng([seed, 6]).permutation(len(people))
    held_out |= {people[index] for index in order[: round(share * len(people))]}
    return [one.clip.split == "validation" or one.clip.person in held_out for one in utterances]
