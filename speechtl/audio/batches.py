"""Batches for `fit`: rounds of examples, rendered epoch by epoch, with the frozen front computed once and kept."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechtl.audio.examples import ExampleMaker, Round
from speechtl.errors import RunError
from speechtl.runtime.front_end import Features
from speechtl.runtime.waveform import WaveformSettings
from speechtl.transfer import Batch, TransferNetwork, load_tensors, save_tensors

FRONT_BATCH = 4  # examples that go through the frozen front at a time: what fits the processor's cache


class RoundBatches:
    """An epoch renders one more round of examples and draws balanced batches from all rounds so far.

    What the frozen front makes of a round is kept in half precision, in memory and, with `folder`, on disk, so that a
    resumed run need not compute it again. With SpecAugment, bands and moments are masked before the front. While an
    epoch is drawn, the next round is made in the background; as a context manager, this waits for it at the end.
    What stands in `negatives`, by the number of the round, is not made again, and what is made comes to stand there:
    for another training on the same negatives, with the same seed and front.
    """

    def __init__(
        self,
        maker: ExampleMaker,
        network: TransferNetwork,
        frozen_front: int,
        *,
        epochs: int,
        steps: int,
        batch_size: int = 128,
        rounds_kept: int = 24,
        folder: Path | None = None,
        negatives: MutableMapping[int, Batch] | None = None,
    ) -> None:
        self.maker = maker
        self.network = network
        self.frozen_front = frozen_front
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.rounds_kept = rounds_kept
        self.folder = folder
        self.negatives = negatives
        self._rounds: dict[int, Batch] = {}
        threads = torch.get_num_threads()  # which torch counts for every thread anew
        self._background = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,))
        self._next: tuple[int, Future[Batch]] | None = None

    def __enter__(self) -> RoundBatches:
        return self

    def __exit__(self, *_: object) -> None:
        self._background.shutdown(cancel_futures=True)

    def __len__(self) -> int:
        return self.steps

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield `(front outputs, words, folds)` batches, half of them positives."""
        first = max(number + 1 - self.rounds_kept, 0)
        self._rounds = {index: self._rounds.get(index) or self._made(index) for index in range(first, number + 1)}
        if number + 1 < self.epochs:
            self._next = number + 1, self._background.submit(self.round, number + 1)
        rounds = list(self._rounds.values())
        words = torch.cat([words for _, words, _ in rounds])
        folds = torch.cat([folds for _, _, folds in rounds])
        starts = np.cumsum([0, *(len(inputs) for inputs, _, _ in rounds)])
        is_negative = torch.isnan(words[:, 0]).numpy()
        positive, negative = np.flatnonzero(~is_negative), np.flatnonzero(is_negative)
        random = np.random.default_rng([self.maker.seed, number, 1])
        for _ in range(self.steps):
            half = self.batch_size // 2
            chosen = np.sort(np.concatenate([random.choice(positive, half), random.choice(negative, self.batch_size - half)]))
            limits = np.searchsorted(chosen, starts)
            parts = [
                inputs[chosen[first:last] - start]
                for (inputs, _, _), start, first, last in zip(rounds, starts[:-1], limits[:-1], limits[1:], strict=True)
                if last > first
            ]
            yield _in_layout(torch.cat(parts).float()), words[chosen], folds[chosen]

    def _made(self, number: int) -> Batch:
        if self._next is not None and self._next[0] == number:
            return self._next[1].result()
        return self.round(number)

    def round(self, number: int) -> Batch:
        """Return round `number` behind the frozen front, from disk where it is already there."""
        path = self.folder / f"round-{number:03d}.safetensors" if self.folder else None
        if path is not None and path.exists():
            try:
                return read_round(path)
            except RunError:
                path.unlink()  # it is only a cache
        parts = self._behind_front(self.maker.render_positives(number), (number, 2)), self._others(number)
        inputs, words, folds = (torch.cat(both) for both in zip(*parts, strict=True))
        inputs = _in_layout(inputs)
        if path is not None:
            save_tensors(path, {"inputs": inputs, "words": words, "folds": folds}, {})
        return inputs, words, folds

    def _others(self, number: int) -> Batch:
        known = {} if self.negatives is None else self.negatives
        if number not in known:
            known[number] = self._behind_front(self.maker.render_negatives(number), (number, 3))
        return known[number]

    def _behind_front(self, rendered: Round, seed: tuple[int, ...]) -> Batch:
        random = np.random.default_rng([self.maker.seed, *seed])
        masked = spec_augment(rendered, random, **_mask_sizes(self.maker.front_end.settings))
        inputs = self._front(masked).half() if self.frozen_front else masked
        return inputs, torch.from_numpy(rendered.words), torch.from_numpy(rendered.folds)

    @torch.no_grad()
    def _front(self, features: Tensor) -> Tensor:
        """Run the frozen groups in evaluation mode, on the network's device; the others' mode is left alone."""
        if self.frozen_front == 0:
            return features
        for _, group in self.network.groups()[: self.frozen_front]:
            group.eval()
        parts = (part.to(self.network.device, memory_format=torch.channels_last) for part in torch.split(features, FRONT_BATCH))
        return torch.cat([self.network.front(part, self.frozen_front).cpu() for part in parts])


def read_round(path: Path) -> Batch:
    """A round that an earlier training left on disk; raises `RunError` where it is damaged."""
    tensors, _ = load_tensors(path)
    inputs, words, folds = (tensors.get(name) for name in ("inputs", "words", "folds"))
    if inputs is None or words is None or folds is None or not inputs.dim() == 4 or not len(inputs) == len(words) == len(folds):
        raise RunError(f"{path} is damaged: it does not hold a round of examples.")
    return _in_layout(inputs), words, folds


def _in_layout(inputs: Tensor) -> Tensor:
    """Return inputs in one layout in memory, new or from disk: layers round differently with another."""
    return inputs.contiguous(memory_format=torch.channels_last)


def _mask_sizes(features: Features) -> dict[str, int]:
    """Return how much is masked at most; samples have no bands, and their frames are twice as long."""
    return {"bands": 0, "frames": 4} if isinstance(features, WaveformSettings) else {}


def spec_augment(examples: Round, random: np.random.Generator, masks: int = 1, bands: int = 5, frames: int = 8) -> Tensor:
    """Return features `(examples, 1, frames, bands)` with random bands and moments set to the mean (Park et al. 2019)."""
    features = examples.features.copy()
    for index in range(len(features)):
        mean = features[index].mean()
        for _ in range(masks):
            width = int(random.integers(bands + 1))
            low = int(random.integers(features.shape[2] - width))
            features[index, :, low : low + width] = mean
            length = int(random.integers(frames + 1))
            start = int(random.integers(features.shape[1] - length))
            features[index, start : start + length] = mean
    return torch.from_numpy(features)[:, None]
