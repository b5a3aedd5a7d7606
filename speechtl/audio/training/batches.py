"""Batches for `fit`: rounds of examples, rendered epoch by epoch, with the outputs of the frozen layers cached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import torch
from torch import Tensor

from speechtl.audio.augment import mask
from speechtl.audio.data.recordings import Recording
from speechtl.audio.recipe import TrainSection
from speechtl.audio.training.examples import TAPE_SECONDS, ExampleMaker, Round
from speechtl.audio.training.mining import MOMENTS, Hard, load_hard, save_hard
from speechtl.audio.training.rounds import Kept, Stored, TensorOnDisk, in_layout, read_if_whole, write_round
from speechtl.progress import say, tracked
from speechtl.runtime.features import Features, WaveformSettings
from speechtl.transfer import Batch, TransferNetwork

FROZEN_BATCH = 4  # examples that run through the frozen layers at a time: small enough for the processor's cache
MASKED_BATCH = 64 * FROZEN_BATCH  # examples that are masked at a time
MINED = 0.3  # of the epochs, after which the network looks for hard negatives
HARD_FILE = "hard.json"

Search = Callable[[Event], Hard]  # ends early when the event is set


class RoundBatches:
    """An epoch renders one more round of examples and draws balanced batches from all rounds so far.

    The outputs of the frozen layers are cached in half precision: with `folder` on disk, so that memory holds no more than
    a batch and a resumed run does not compute them again, otherwise in memory. SpecAugment masks the inputs of the frozen
    layers. While an epoch is drawn, the next round is rendered in the background; as a context manager, this waits for it
    at the end. After a third of the epochs `mine` begins a search for hard negatives with the network as it is then, which also runs
    in the background; all later rounds contain what it finds. The epoch does not end before the search does: whatever a checkpoint is
    resumed with has been found by then, or the epoch that looks for it is repeated.
    """

    def __init__(
        self,
        maker: ExampleMaker,
        network: TransferNetwork,
        frozen_groups: int,
        settings: TrainSection,
        *,
        rounds_kept: int = 24,
        folder: Path | None = None,
        mine: Callable[[], Search] | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.maker = maker
        self.network = network
        self.frozen_groups = frozen_groups
        self.settings = settings
        self.rounds_kept = rounds_kept
        self.folder = folder
        self.mine = mine
        self.kept = kept
        self.mined = max(round(MINED * settings.epochs), 1) if mine else settings.epochs  # the epoch during which that happens
        self._hard: Hard | None = None
        self._mined: list[Recording] | None = None
        self._stopping = Event()
        self._rounds: dict[int, Stored] = {}
        threads = torch.get_num_threads()  # which torch counts for every thread anew
        self._background = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,))
        self._next: tuple[int, Future[Stored]] | None = None

    def __enter__(self) -> RoundBatches:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._background.shutdown(cancel_futures=True)

    def __len__(self) -> int:
        return self.settings.steps

    def bytes_expected(self) -> int:
        """Approximate size of all rounds on disk, in bytes."""
        maker = self.maker
        negatives = [sum(recording.seconds for recording in recordings) for recordings in maker.by_fold.values()]
        seconds = sum(min(seconds, TAPE_SECONDS / len(negatives)) for seconds in negatives)
        examples = len(maker.positives) * maker.repeats + seconds / (maker.seconds - maker.context)
        frames = torch.from_numpy(maker.front_end.compute(np.zeros(maker.length, np.float32)))[None, None]
        size = self._run_frozen(frames).numel() * (2 if self.frozen_groups else frames.element_size())
        hard = MOMENTS * max(self.settings.epochs - 1 - self.mined, 0)
        return round((self.settings.epochs * examples + hard) * size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield batches `(outputs of the frozen layers, words, folds)`; half of each are positives."""
        first = max(number + 1 - self.rounds_kept, 0)
        self._rounds = {index: self._rounds.get(index) or self._made(index) for index in range(first, number + 1)}
        if number + 1 < self.settings.epochs:
            search = self.mine() if self.mine and number == self.mined else None
            self._next = number + 1, self._background.submit(self._prepared, number + 1, search)
        rounds = list(self._rounds.values())
        words = torch.cat([one.words for one in rounds])
        folds = torch.cat([one.folds for one in rounds])
        starts = np.cumsum([0, *(len(one.words) for one in rounds)])
        is_negative = torch.isnan(words[:, 0]).numpy()
        positive, negative = np.flatnonzero(~is_negative), np.flatnonzero(is_negative)
        random = np.random.default_rng([self.maker.seed, number, 1])
        size = self.settings.batch_size
        for step in range(self.settings.steps):
            if step == self.settings.steps - 1 and number == self.mined and self._next is not None:
                self._next[1].result()
            chosen = np.sort(np.concatenate([random.choice(positive, size // 2), random.choice(negative, size - size // 2)]))
            limits = np.searchsorted(chosen, starts)
            parts = [
                one.inputs(chosen[first:last] - start)
                for one, start, first, last in zip(rounds, starts[:-1], limits[:-1], limits[1:], strict=True)
                if last > first
            ]
            yield in_layout(torch.cat(parts).float()), words[chosen], folds[chosen]

    def _made(self, number: int) -> Stored:
        if self._next is not None and self._next[0] == number:
            return self._next[1].result()
        return self._stored(number)

    def _prepared(self, number: int, search: Search | None) -> Stored:
        """A round, after a search for hard negatives if there is one."""
        if search is not None:
            self._hard = search(self._stopping)
            if self.folder:
                save_hard(self.folder / HARD_FILE, self._hard)
        return self._stored(number)

    def _stored(self, number: int) -> Stored:
        inputs, words, folds = self.round(number)
        path = self._path(number)
        return Stored(words, folds, inputs if path is None else TensorOnDisk(path, "inputs"))

    def _path(self, number: int) -> Path | None:
        return self.folder / f"round-{number:03d}.safetensors" if self.folder else None

    def round(self, number: int) -> Batch:
        """Round `number` after the frozen layers, from disk if it is there."""
        path = self._path(number)
        if path is not None and (found := read_if_whole(path)):
            return found
        parts = [self._after_frozen(self.maker.render_positives(number), (number, 2)), self.negatives(number)]
        if self.maker.spoken:
            parts.append(self._after_frozen(self.maker.render_spoken(number), (number, 9)))
        if number > self.mined:
            parts.append(self._after_frozen(self.maker.render_hard(number, self.hard().moments), (number, 6)))
            if mined := self.mined_recordings():
                parts.append(self._after_frozen(self.maker.render_mined(number, mined), (number, 11)))
        inputs, words, folds = (torch.cat(both) for both in zip(*parts, strict=True))
        inputs = in_layout(inputs)
        if path is not None:
            write_round(path, (inputs, words, folds))
        return inputs, words, folds

    def hard(self) -> Hard:
        """The hard negatives; of a training that is resumed they are on disk."""
        if self._hard is None:
            self._hard = load_hard(self.folder / HARD_FILE) if self.folder else Hard([])
        return self._hard

    def mined_recordings(self) -> list[Recording]:
        """What was mined, in memory."""
        if self._mined is None:
            mined = self.hard().mined
            self._mined = mined.recordings(say) if mined else []
        return self._mined

    def negatives(self, number: int) -> Batch:
        """The recorded negatives of round `number` after the frozen layers; they depend on no positive."""

        def made() -> Batch:
            return self._after_frozen(self.maker.render_negatives(number), (number, 3))

        return self.kept.batch(number, made) if self.kept else made()

    def _after_frozen(self, rendered: Round, seed: tuple[int, ...]) -> Batch:
        random = np.random.default_rng([self.maker.seed, *seed])
        sizes = _mask_sizes(self.maker.front_end.settings)
        starts = range(0, max(len(rendered.features), 1), MASKED_BATCH)
        masked = (spec_augment(rendered.part(slice(first, first + MASKED_BATCH)), random, **sizes) for first in starts)
        if self.frozen_groups:
            parts = (part for several in masked for part in torch.split(several, FROZEN_BATCH))
            number = -(-len(rendered.features) // FROZEN_BATCH)
            inputs = torch.cat([self._run_frozen(part).half() for part in tracked("encoding examples, batch", parts, number)])
        else:
            inputs = torch.cat(list(masked))
        return inputs, torch.from_numpy(rendered.words), torch.from_numpy(rendered.folds)

    @torch.no_grad()
    def _run_frozen(self, features: Tensor) -> Tensor:
        """Outputs of the frozen groups, in evaluation mode, on the network's device; the mode of other groups is not changed."""
        if self.frozen_groups == 0:
            return features
        for _, group in self.network.groups()[: self.frozen_groups]:
            group.eval()
        moved = features.to(self.network.device, memory_format=torch.channels_last)
        return self.network.run_first(moved, self.frozen_groups).cpu()


def _mask_sizes(features: Features) -> dict[str, int]:
    """Largest masks; samples have no bands, and their frames are twice as long."""
    return {"bands": 0, "frames": 4} if isinstance(features, WaveformSettings) else {}


def spec_augment(examples: Round, random: np.random.Generator, bands: int = 5, frames: int = 8) -> Tensor:
    """Features `(examples, 1, frames, bands)` with random bands and frames set to the mean."""
    features = examples.features.copy()
    mask(features, random, bands=bands, frames=frames)
    return torch.from_numpy(features)[:, None]
