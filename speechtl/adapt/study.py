"""The adaptation itself, and the comparison of the adapted detector with the old one on what neither adaptation has learned from.

All clips and everything that is remembered are divided into folds. For every fold a layer is adapted without it and compared with
the old layer on it; the layer that is shipped is adapted with everything, as a wake word is trained and calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from speechtl.adapt.clips import Inbox, Labelled, doubtful
from speechtl.adapt.compare import NEAR, Counts, Line, fires, words_found
from speechtl.adapt.detector import Adaptable
from speechtl.adapt.layer import Heard, Layer, hear
from speechtl.adapt.memory import FOLDS, Bags, Memory, best, highest
from speechtl.adapt.solve import Example, Held, adapted
from speechtl.audio.data.recordings import Recording
from speechtl.audio.evaluation.streams import Condition, without_words, words_in_background
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.progress import Log, tracked
from speechtl.runtime.samples import Floats
from speechtl.runtime.trigger import find_events, refractory_steps

SEED = 14
SNR_DB = (15.0, 5.0)  # of the noisy copies of clips that are learned
MOST_COPIED = 200  # clips, beyond which there are no noisy copies
UNLIKE = 8.0  # log-odds below the threshold at which nothing in a clip resembles the word
HELD = 600  # moments without the word that hold the layer
TAIL = 20  # highest scores without the word: the threshold rises with their mean
REMEMBERED = 100  # of the new clips of each label, for the next adaptation
SILENCED = 0.1  # share of the false alarms that may still fire, if words allow it
HIGHER, TRIED = 3.0, 31  # log-odds by which the threshold may rise to silence alarms, and values that are tried


@dataclass(frozen=True)
class Outcome:
    """The adapted layer, its threshold in log-odds, the table, and the memory for the next time."""

    layer: Layer
    threshold: float
    lines: list[Line]
    memory: Memory
    held_back: bool

    @property
    def reasons(self) -> list[str]:
        """Why the new detector is worse; empty where it is not."""
        return [line.reason for line in self.lines if line.reason]

    @property
    def improved(self) -> bool:
        """Whether any clip got better."""
        return any(line.better > line.worse for line in self.lines[-2:])


@dataclass(frozen=True)
class Study:
    """A detector and the features of the clips that it is adapted to."""

    old: Adaptable
    clips: Sequence[Labelled]
    examples: Sequence[Example]
    folds: Sequence[int]  # of the clips
    held_back: bool

    def run(self) -> Outcome:
        """Adapt, choose the threshold, and compare."""
        layers = [self._adapted(fold) for fold in range(FOLDS)]
        everything = self._adapted(None)
        moved = self._threshold(layers)
        lines = self._compare(layers, moved)
        return Outcome(everything, moved, lines, _extended(self.old.memory, everything, self.examples), self.held_back)

    def _adapted(self, without: int | None) -> Layer:
        memory, layer = self.old.memory, self.old.layer
        words = [best(layer, bag) for bag, fold in zip(memory.words, memory.word_folds, strict=True) if fold != without]
        streams = [stream for stream, fold in zip(memory.others, memory.other_folds, strict=True) if fold != without]
        others = highest(layer, streams, self.old.scorer.step_seconds, HELD)
        learned = [one for one, fold in zip(self.examples, self.folds, strict=True) if fold != without or not self.held_back]
        return adapted(layer, self.old.threshold, learned, Held(np.concatenate(words), np.concatenate(others)))

    def _threshold(self, layers: Sequence[Layer]) -> float:
        """The new threshold: anything else fires no more often than before, and, where it can, false alarms hardly at all."""
        threshold = self.old.threshold
        rise = self._rise(layers)
        alarms = [index for index, one in enumerate(self.examples) if not one.is_word and self._peak(self.old.layer, one) >= threshold]
        if not alarms:
            return threshold + max(rise, 0.0)
        heard = np.array([self._peak(layers[self.folds[index]], self.examples[index]) for index in alarms])
        wanted = SILENCED * len(alarms)
        before = self._words([self.old.layer] * FOLDS, threshold)
        chosen = start = threshold + max(rise, 0.0)
        for tried in np.linspace(start, start + HIGHER, TRIED):
            if words_found("", before, self._words(layers, float(tried)), len(self.old.memory.words)).reason:
                break
            chosen = float(tried)
            if (heard >= tried).sum() <= wanted:
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
        clips = "new clips" if self.held_back else "new clips (learned from)"
        words = self._clips(before, limits[0], True), self._clips(layers, limits[1], True)
        others = self._clips(before, limits[0], False), self._clips(layers, limits[1], False)
        remembered = self._words(before, limits[0]), self._words(layers, limits[1])
        return [
            words_found("training: words found", *remembered, len(memory.words)),
            fires("training: false accepts", self._events(before, limits[0]), self._events(layers, limits[1]), memory.hours),
            fires("training: near misses", self._events(before, near[0]), self._events(layers, near[1]), memory.hours),
            words_found(f"{clips}: words found", *words, len(words[0])),
            fires(f"{clips}: false alarms", *others),
        ]

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

    def _clips(self, layers: Sequence[Layer], threshold: float, is_word: bool) -> Counts:
        """Whether each clip of a label fires."""
        own = [(one, fold) for one, fold in zip(self.examples, self.folds, strict=True) if one.is_word == is_word]
        return np.array([int(self._peak(layers[fold], one) >= threshold) for one, fold in own], np.int64)

    def _peak(self, layer: Layer, example: Example) -> float:
        return float(layer.logits(example.copies[0]).max())


def study(old: Adaptable, inbox: Inbox, log: Log) -> Study:
    """Listen to the clips with a detector; clips of the word that do not resemble it at all are left out."""
    examples = _examples(old, inbox.clips)
    lowest = old.threshold - UNLIKE
    unlike = [one.is_word and float(old.layer.logits(one.copies[0]).max()) < lowest for one in examples]
    doubtful([clip for clip, odd in zip(inbox.clips, unlike, strict=True) if odd], log)
    kept = replace(inbox, clips=[clip for clip, odd in zip(inbox.clips, unlike, strict=True) if not odd])
    used = [one for one, odd in zip(examples, unlike, strict=True) if not odd]
    return Study(old, kept.clips, used, kept.folds, kept.held_back)


def _examples(old: Adaptable, clips: Sequence[Labelled]) -> list[Example]:
    """The features of clips, as they are and, if they are few, in noise."""
    noises = synthetic_noises(SEED)
    conditions = [Condition(), *(Condition("noise", snr, noises) for snr in SNR_DB)]
    if len(clips) > MOST_COPIED:
        conditions = conditions[:1]
    copies: dict[int, list[Floats]] = {index: [] for index in range(len(clips))}
    for is_word in (True, False):
        own = [index for index, clip in enumerate(clips) if clip.is_word == is_word]
        for condition in conditions if own else ():
            recordings = [clips[index].recording for index in own]
            for index, heard in zip(own, _heard(old, recordings, condition, is_word), strict=True):
                copies[index].append(heard.of_word if is_word else heard.features)
    return [Example(clip.is_word, copies[index]) for index, clip in enumerate(clips)]


def _heard(old: Adaptable, recordings: Sequence[Recording], condition: Condition, is_word: bool) -> list[Heard]:
    play = words_in_background if is_word else without_words
    passages = tracked("listening to the clips", play(recordings, condition, SEED), len(recordings))
    return list(hear(old.scorer, passages, old.trigger.smoothing))


def _extended(memory: Memory, layer: Layer, examples: Sequence[Example]) -> Memory:
    """The memory with the moments of the new clips first."""
    words = [best(layer, one.copies[0]) for one in examples if one.is_word][:REMEMBERED]
    others = [best(layer, one.copies[0]) for one in examples if not one.is_word][:REMEMBERED]
    fresh: Bags = [*words, *memory.words]
    first = max(memory.of) + 1
    return Memory(fresh, [*range(first, first + len(words)), *memory.of], [*others, *memory.others], memory.hours)
