"""The adaptation itself, and the comparison of the adapted detector with the old one on what neither adaptation has learned from.

All clips and everything that is remembered are divided into folds. For every fold a layer is adapted without it and compared with
the old layer on it; the layer that is shipped is adapted with everything, as a wake word is trained and calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress

import numpy as np

from speechtl.adapt.alike import Known
from speechtl.adapt.clips import Inbox, Labelled, tell_alike, tell_unlike
from speechtl.adapt.compare import LEVEL, NEAR, PRICE, Counts, Line, chance, fires, words_found
from speechtl.adapt.detector import Adaptable
from speechtl.adapt.layer import Heard, Layer, hear
from speechtl.adapt.memory import FOLDS, Bags, Memory, best, highest
from speechtl.adapt.solve import Example, Held, adapted, peak
from speechtl.audio.data.recordings import Recording
from speechtl.audio.evaluation.streams import Condition, Passage, without_words, words_in_background
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.errors import CheckFailedError
from speechtl.progress import Log, tracked
from speechtl.runtime.listen.clips import NOT_WORD
from speechtl.runtime.samples import SAMPLE_RATE, Floats
from speechtl.runtime.trigger import find_events, refractory_steps
from speechtl.text import counted

SEED = 14
CLIPS = "new clips"  # begins the lines of the table about them
SNR_DB = (15.0, 5.0)  # of the noisy copies of clips that are learned
ALIGNMENTS = 3  # of the steps to a clip of anything else, at which it is played: the next time a programme begins at another sample
MOST_COPIED = 200  # clips, beyond which there are no noisy copies
UNLIKE = 8.0  # log-odds below the threshold at which nothing in a clip resembles the word
MOST_ALIKE = 0.2  # share of the clips of anything else that may sound like the word itself: beyond it the labels are in doubt
HELD = 600  # moments without the word that hold the layer
TAIL = 20  # highest scores without the word: the threshold rises with their mean
REMEMBERED = 100  # of the new clips of each label, for the next adaptation
SILENCED = 0.1  # share of the false alarms that may still fire, if words allow it
WEIGHTS = (3.0, 1.0, 0.3, 0.1, 0.03)  # of all clips of a label, however few: the first with which nothing gets worse
ROOM = {0.0: 1.0, NEAR: 2.0}  # log-odds above the threshold at which words are counted, and how many times the price they may cost
HIGHER, TRIED = 3.0, 31  # log-odds by which the threshold may rise to silence alarms, and values that are tried


@dataclass(frozen=True)
class Outcome:
    """The adapted layer, its threshold in log-odds, the table, and the memory for the next time."""

    layer: Layer
    threshold: float
    rise: float  # the part of its change that makes up for higher scores
    lines: list[Line]
    memory: Memory
    held_back: bool
    weight: float  # of the clips

    @property
    def reasons(self) -> list[str]:
        """Why the new detector is worse; empty where it is not."""
        return [line.reason for line in self.lines if line.reason]

    @property
    def improved(self) -> bool:
        """Whether any clip got better: also one of the only occasion of its kind, which no other could teach."""
        return any(line.better > line.worse for line in self.lines if line.what.startswith(CLIPS))

    @property
    def wrong(self) -> int:
        """The number of new clips that are still wrong, each heard by a layer that has not learned it where clips could be held back."""
        words, alarms = (line for line in self.lines if line.what.startswith(f"{CLIPS}, held back" if self.held_back else CLIPS))
        return words.of - words.new + alarms.new

    @property
    def lost(self) -> int:
        """By how many words of the training it finds fewer than the old detector."""
        return self.lines[0].old - self.lines[0].new


@dataclass(frozen=True)
class Study:
    """A detector and the features of the clips that it is adapted to."""

    old: Adaptable
    clips: Sequence[Labelled]
    examples: Sequence[Example]
    folds: Sequence[int]  # of the clips
    held_back: bool

    def run(self) -> Outcome:
        """Adapt with every weight: the best outcome that makes nothing worse, or that of the strongest if there is none."""
        outcomes = [self._outcome(weight) for weight in WEIGHTS]
        good = [one for one in outcomes if not one.reasons and one.improved]
        return min(good, key=lambda one: (one.wrong, one.lost)) if good else outcomes[0]

    def _outcome(self, weight: float) -> Outcome:
        """Adapt, choose the threshold, and compare."""
        layers = [self._adapted(fold, weight) for fold in range(FOLDS)]
        everything = self._adapted(None, weight)
        rise = max(self._rise(layers), 0.0)
        threshold = self._threshold(layers, rise)
        lines = self._compare(layers, threshold)
        if self.held_back:
            lines += self._compare_clips(f"{CLIPS}, learned from", [everything] * FOLDS, threshold)
        return Outcome(everything, threshold, rise, lines, _extended(self.old.memory, everything, self.examples), self.held_back, weight)

    @cached_property
    def _found_before(self) -> dict[float, Counts]:
        """In how many conditions the old layer finds each remembered recording, with this much room to spare (log-odds)."""
        return {room: self._words([self.old.layer] * FOLDS, self.old.threshold + room) for room in ROOM}

    @cached_property
    def _fired_before(self) -> dict[bool, Counts]:
        """Whether each clip of a label fires with the old layer."""
        return {is_word: self._fired([self.old.layer] * FOLDS, self.old.threshold, is_word=is_word) for is_word in (True, False)}

    def _adapted(self, without: int | None, weight: float) -> Layer:
        memory, layer = self.old.memory, self.old.layer
        # What is remembered of one recording alone cannot be held back.
        words = [best(layer, bag) for bag in _without(memory.words, memory.word_folds, without)]
        streams = _without(memory.others, memory.other_folds, without)
        others = highest(layer, streams, self.old.scorer.step_seconds, HELD)
        learned = [one for one, fold in zip(self.examples, self.folds, strict=True) if fold != without or not self.held_back]
        return adapted(layer, self.old.threshold, learned, Held(np.concatenate(words), np.concatenate(others)), weight)

    def _threshold(self, layers: Sequence[Layer], rise: float) -> float:
        """The new threshold: anything else fires no more often than before, and, where it can, false alarms hardly at all."""
        chosen, fewest = self.old.threshold + rise, len(self.examples) + 1
        most = SILENCED * self._fired_before[False].sum()
        for more in np.linspace(0.0, HIGHER, TRIED) if most else ():
            tried = self.old.threshold + rise + float(more)
            if self.old.threshold + more > self.old.highest_threshold:
                break
            if self._lost(layers, tried):
                continue
            alarms, missed = self._fired(layers, tried).sum(), (1 - self._fired(layers, tried, is_word=True)).sum()
            if alarms + missed < fewest:
                chosen, fewest = tried, alarms + missed
            if alarms <= most:
                break
        return chosen

    def _rise(self, layers: Sequence[Layer]) -> float:
        """By how much the highest scores without the word rise, in log-odds, with layers that have not learned from them."""
        return self._tail(layers) - self._tail([self.old.layer] * FOLDS)

    def _tail(self, layers: Sequence[Layer]) -> float:
        """The mean of the highest scores without the word, each second's by the layer of its fold."""
        memory, seconds = self.old.memory, self.old.scorer.step_seconds
        peaks: list[float] = []
        for fold, layer in enumerate(layers):
            own = [stream for stream, of in zip(memory.others, memory.other_folds, strict=True) if of == fold]
            peaks += [float(layer.logits(moment)[0]) for moment in highest(layer, own, seconds, TAIL)]
        return float(np.mean(sorted(peaks)[-TAIL:]))

    def _compare(self, layers: Sequence[Layer], threshold: float) -> list[Line]:
        before = [self.old.layer] * FOLDS
        limits = self.old.threshold, threshold
        memory = self.old.memory
        near = tuple(limit - NEAR for limit in limits)
        clips = f"{CLIPS}, held back" if self.held_back else f"{CLIPS}, learned from"
        remembered = self._found_before[0.0], self._words(layers, threshold)
        return [
            words_found("training: words found", *remembered, len(memory.words), self._price(layers, threshold)),
            fires("training: false accepts", self._events(before, limits[0]), self._events(layers, limits[1]), memory.hours),
            fires("training: near misses", self._events(before, near[0]), self._events(layers, near[1]), memory.hours),
            *self._compare_clips(clips, layers, threshold),
        ]

    def _compare_clips(self, title: str, layers: Sequence[Layer], threshold: float) -> list[Line]:
        """The new clips: each heard by the old layer, and by the new one of its fold."""
        words, others = ((self._fired_before[is_word], self._fired(layers, threshold, is_word=is_word)) for is_word in (True, False))
        return [words_found(f"{title}: words found", *words, len(words[0])), fires(f"{title}: false alarms", *others)]

    def _lost(self, layers: Sequence[Layer], threshold: float) -> bool:
        """Whether a threshold loses words, also of those that were found with room to spare: words of strangers have less room."""
        price, of = self._price(layers, threshold), len(self.old.memory.words)
        return any(
            words_found("", self._found_before[room], self._words(layers, threshold + room), of, times * price).reason
            for room, times in ROOM.items()
        )

    def _price(self, layers: Sequence[Layer], threshold: float) -> float:
        """The share of the remembered words that may be lost: none, or what earlier adaptations have left of the price of silence.

        It is paid where there are fewer false alarms in the new clips, by the test that tells what is worse.
        """
        before, after = self._fired_before[False], self._fired(layers, threshold)
        silenced = chance(int((after < before).sum()), int((after > before).sum())) < LEVEL
        return max(PRICE - self.old.spent, 0.0) if silenced else 0.0

    def _words(self, layers: Sequence[Layer], threshold: float) -> Counts:
        """In how many conditions each remembered recording of the word is found."""
        memory = self.old.memory
        counts = np.zeros(max(memory.of) + 1, np.int64)
        for bag, recording, fold in zip(memory.words, memory.of, memory.word_folds, strict=True):
            counts[recording] += layers[fold].logits(bag).max() >= threshold
        return counts

    def _events(self, layers: Sequence[Layer], threshold: float) -> Counts:
        """The number of events in every remembered stream without the word."""
        refractory = refractory_steps(self.old.trigger, self.old.scorer.step_seconds)
        memory = self.old.memory
        streams = zip(memory.others, memory.other_folds, strict=True)
        return np.array([len(find_events(layers[fold].logits(stream), threshold, refractory)) for stream, fold in streams])

    def _fired(self, layers: Sequence[Layer], threshold: float, *, is_word: bool = False) -> Counts:
        """Whether each clip of a label fires."""
        own = [(one, fold) for one, fold in zip(self.examples, self.folds, strict=True) if one.is_word == is_word]
        return np.array([int(peak(layers[fold], one) >= threshold) for one, fold in own], np.int64)


def _without(bags: Bags, folds: Sequence[int], fold: int | None) -> Bags:
    """The bags that are not in a fold; all where it holds all of them."""
    return [bag for bag, own in zip(bags, folds, strict=True) if own != fold] or bags


def study(old: Adaptable, inbox: Inbox, log: Log, *, sure: bool = False) -> Study:
    """Listen to the clips with a detector, and leave out those whose labels are in doubt.

    These are clips of the word that do not resemble it at all, and clips of anything else that sound like the word itself; raises
    `CheckFailedError` where so many are of the second kind that the labels of the others are in doubt, too. With `sure` none is.
    """
    examples = _examples(old, inbox.clips)
    known = Known.of(old.memory, old.layer, old.threshold, old.scorer.step_seconds)
    clips = inbox.clips
    unlike = [one.is_word and not sure and peak(old.layer, one) < old.threshold - UNLIKE for one in examples]
    wrong = [not (sure or one.is_word) and known.is_word(one) for one in examples]
    tell_unlike(list(compress(clips, unlike)), log)
    tell_alike(list(compress(clips, wrong)), log)
    others = sum(not one.is_word for one in examples)
    if sum(wrong) > MOST_ALIKE * others:
        sound = "sounds" if sum(wrong) == 1 else "sound"
        doubts = ", so the labels of the others are in doubt, too" if sum(wrong) < others else ""
        raise CheckFailedError(
            f"{sum(wrong)} of {counted(others, 'clip')} labelled {NOT_WORD} {sound} like the word itself{doubts}. "
            "Listen again; if all labels are right, speechtl adapt --sure learns them all the same."
        )
    used = [not (odd or doubtful) for odd, doubtful in zip(unlike, wrong, strict=True)]
    kept = replace(inbox, clips=list(compress(clips, used)))
    return Study(old, kept.clips, list(compress(examples, used)), kept.folds, kept.held_back)


def _examples(old: Adaptable, clips: Sequence[Labelled]) -> list[Example]:
    """The features of clips, as they are and, if they are few, in noise; those of anything else at several alignments to the steps."""
    few = len(clips) <= MOST_COPIED
    noises = synthetic_noises(SEED)
    noisy = [Condition("noise", snr, noises) for snr in SNR_DB if few]
    copies: dict[int, list[Floats]] = {index: [] for index in range(len(clips))}
    alignments = {True: 1, False: ALIGNMENTS if few else 1}
    for is_word, aligned in alignments.items():
        own = [index for index, clip in enumerate(clips) if clip.is_word == is_word]
        recordings = [clips[index].recording for index in own]
        played = [(Condition(), number / aligned) for number in range(aligned)] + [(condition, 0.0) for condition in noisy]
        for condition, later in played if own else ():
            for index, heard in zip(own, _heard(old, recordings, condition, is_word, later), strict=True):
                copies[index].append(heard.of_word if is_word else heard.features)
    return [Example(clip.is_word, copies[index], alignments[clip.is_word]) for index, clip in enumerate(clips)]


def _heard(old: Adaptable, recordings: Sequence[Recording], condition: Condition, is_word: bool, later: float) -> list[Heard]:
    """The clips as one stream, which begins `later` by a part of a step."""
    play = words_in_background if is_word else without_words
    silence = np.zeros(round(later * old.scorer.step_seconds * SAMPLE_RATE), np.float32)
    passages = tracked("listening to the clips", play(recordings, condition, SEED), len(recordings))
    return list(hear(old.scorer, [Passage(recordings[0], silence), *passages], old.trigger.smoothing))[1:]


def _extended(memory: Memory, layer: Layer, examples: Sequence[Example]) -> Memory:
    """The memory with the moments of the new clips first."""
    words = [best(layer, one.copies[0]) for one in examples if one.is_word][:REMEMBERED]
    others = [best(layer, one.copies[0]) for one in examples if not one.is_word][:REMEMBERED]
    fresh: Bags = [*words, *memory.words]
    first = max(memory.of) + 1
    return Memory(fresh, [*range(first, first + len(words)), *memory.of], [*others, *memory.others], memory.hours)
