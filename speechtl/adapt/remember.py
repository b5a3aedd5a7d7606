"""Make the memory of a run: play recordings of its training to its network."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speechtl.adapt.layer import features_of_network, hear, layer_of_network, members_of_network
from speechtl.adapt.memory import Bags, Memory, best, highest
from speechtl.audio.backgrounds import BABBLE, mixtures
from speechtl.audio.data.clips import read_clips, says
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording, load_recordings
from speechtl.audio.evaluation.streams import Condition, Passage, without_words, words_in_background
from speechtl.audio.network.model import WakeWordNetwork
from speechtl.audio.run import Run
from speechtl.audio.synthetic_music import with_synthetic_music
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.audio.training.kinds import drawn
from speechtl.audio.training.surroundings import enough_talkers
from speechtl.errors import SpeechtlError
from speechtl.progress import tracked
from speechtl.runtime.samples import Floats

SEED = 12
SNR_DB = (10.0, 0.0)  # of words in noise
BABBLE_SNR_DB = 5.0
MIXTURES = 6  # of 20 s


@dataclass(frozen=True)
class Amount:
    """How much of a training is played: recordings of the word, and minutes of anything else.

    Of all this `moments` are kept: the best step of each word, and the highest peaks of anything else; without a number everything.
    """

    words: int
    minutes: float
    moments: int | None = None


SMALL, LARGE = Amount(80, 30.0, 400), Amount(200, 60.0)


def remember(run: Run, amount: Amount) -> Memory:
    """The memory of a run whose recordings are on this machine; raises `SpeechtlError` where they are not."""
    spoken, silent = _recordings(run, amount)
    scorer, layer, smoothing = features_of_network(run.network), layer_of_network(run.network), run.trigger.smoothing
    bags: list[Floats] = []
    of: list[int] = []
    for condition in _around_words(silent):
        passages = _told("words", words_in_background(spoken, condition, SEED), len(spoken))
        heard = [one.of_word for one in hear(scorer, passages, smoothing)]
        bags += [steps if amount.moments is None else best(layer, steps) for steps in heard]
        of += range(len(heard))
    streams: list[Floats] = []
    for condition, part in _around_others(silent):
        passages = _told("anything else", without_words(part, condition, SEED), len(part))
        streams += [one.features for one in hear(scorer, passages, smoothing) if len(one.features)]
    if amount.moments is not None:
        streams = _moments(run.network, streams, scorer.step_seconds, amount.moments)
    return Memory(bags, of, streams, sum(recording.seconds for recording in silent) / 3600.0)


def _moments(network: WakeWordNetwork, streams: Bags, step_seconds: float, most: int) -> Bags:
    """The moments with the highest scores, and as many with the highest of one member: other weights may raise them."""
    members = members_of_network(network)
    chosen = highest(layer_of_network(network), streams, step_seconds, most // 2)
    own = [highest(member, streams, step_seconds, most // 2 // len(members)) for member in members]
    # The kinds alternate, so that of every kind some are kept where not all of them fit.
    apart = [moment for several in zip(*own, strict=True) for moment in several]
    return [moment for both in zip(chosen, apart, strict=False) for moment in both] if apart else chosen


def _told(what: str, passages: Iterator[Passage], total: int) -> Iterator[Passage]:
    return tracked(f"remembering the training, {what}", passages, total)


def _around_words(silent: Sequence[Recording]) -> list[Condition]:
    """Clean, where clips of the word with the wrong label take score from it first, and conditions in which words are hard to find."""
    made = [Condition(), *(Condition("noise", snr, synthetic_noises(SEED)) for snr in SNR_DB)]
    people = enough_talkers(silent)
    if len(people) >= BABBLE[0]:
        made.append(Condition("babble", BABBLE_SNR_DB, mixtures(people, BABBLE, MIXTURES, np.random.default_rng(SEED))))
    return made


def _around_others(silent: Sequence[Recording]) -> Iterator[tuple[Condition, list[Recording]]]:
    """The recordings without the word: a third as they are, one in noise, one with music."""
    conditions = [Condition(), Condition("noise", SNR_DB[0], synthetic_noises(SEED + 1))]
    conditions.append(Condition("music", SNR_DB[0], with_synthetic_music([], SEED)))
    for index, condition in enumerate(conditions):
        if part := list(silent[index :: len(conditions)]):
            yield condition, part


def _recordings(run: Run, amount: Amount) -> tuple[list[Recording], list[Recording]]:
    """Recordings of the word and of anything else that the run was trained on, chosen by seed."""
    data, phrases = run.about["recipe"].get("data", {}), run.about["phrases"]
    learned = set(run.about["data"].get("recordings", "").split())
    random = np.random.default_rng(SEED)
    words = _present(data.get("positives", ()), learned, random)
    others = [clip for clip in _present(data.get("negatives", ()), learned, random) if not says(clip, phrases)]
    if not words or not others:
        raise SpeechtlError(
            f"The recordings of {run.folder} are not on this machine; set SPEECHTL_DATA, or give a bundle that has a memory."
        )
    spoken = load_recordings(words[: amount.words], find_words=True, phrases=phrases, on_skip=lambda _: None)
    candidates = load_recordings(_some(others, amount.minutes), on_skip=lambda _: None)
    return spoken, drawn(candidates, range(len(candidates)), amount.minutes * 60.0)


def _present(paths: Sequence[str], learned: Collection[str], random: np.random.Generator) -> list[Clip]:
    """The clips that the run was trained on and that are on this machine, in random order."""
    read = read_clips([Path(path) for path in paths], lambda _: None) if paths else []
    clips = [clip for clip in read if clip.path and clip.short_hash in learned]
    return [clips[index] for index in random.permutation(len(clips))]


def _some(clips: Sequence[Clip], minutes: float) -> list[Clip]:
    """The first clips of every kind that are enough for `minutes`, with parts of the long ones."""
    most = 2.0 * minutes * 60.0 / max(len({clip.manifest for clip in clips}), 1)
    left: dict[Path, float] = {}
    chosen = []
    for clip in clips:
        if left.setdefault(clip.manifest, most) > 0.0:
            chosen.append(replace(clip, duration=min(clip.duration, most / 4)))
            left[clip.manifest] -= chosen[-1].duration
    return chosen
