"""The output layer of a network, and what it sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from speechtl.audio.encoders import TimeConv
from speechtl.audio.evaluation.streams import Passage
from speechtl.audio.network.model import BLOCK_STEPS, OfflineEngine, WakeWordNetwork
from speechtl.runtime.detector import Scorer
from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Floats
from speechtl.runtime.trigger import GRACE


@dataclass(frozen=True)
class Layer:
    """The output layer of one word: log-odds are `weights @ features + bias`."""

    weights: Doubles
    bias: float

    def logits(self, features: Floats | Doubles) -> Doubles:
        """Log-odds `(steps,)` of features `(steps, size)`."""
        return np.asarray(features.astype(np.float64) @ self.weights + self.bias)


@dataclass(frozen=True)
class Heard:
    """A passage as features `(steps, size)`, and start and end of its word (steps), all of it where it has none."""

    features: Floats
    word: slice

    @property
    def of_word(self) -> Floats:
        """The steps at which an event counts as the word's, at least one."""
        steps = self.features[self.word]
        return steps if len(steps) else self.features[-1:]


class NetworkFeatures(OfflineEngine):
    """An engine that gives what the output layer of a network sees, in place of scores."""

    @property
    def size(self) -> int:
        """The number of features of a step."""
        return output_of(self.network).in_channels

    @torch.no_grad()
    def run(self, frames: Floats) -> Floats:
        """Features `(steps, size)` of the next frames `(steps * stride, bands)`."""
        encoder, body = self.network.encoder, list(self.network.head)[: _place(self.network)]
        known = np.concatenate([self._past, frames])
        lead = self.network.context_frames - encoder.stride
        steps = (len(known) - lead) // encoder.stride
        self._past = known[len(known) - lead :]
        rows = [np.zeros((0, self.size), np.float32)]
        for first in range(0, steps, BLOCK_STEPS):
            last = min(first + BLOCK_STEPS, steps)
            values = encoder(torch.from_numpy(known[first * encoder.stride : last * encoder.stride + lead])[None, None])
            for layer in body:
                values = layer(values)
            rows.append(values[0, :, :, 0].T.numpy())
        return np.concatenate(rows)


def features_of_network(network: WakeWordNetwork) -> Scorer:
    """A scorer whose scores are the features of a network."""
    engine = NetworkFeatures(network.eval())
    return Scorer(network.encoder.features, network.encoder.stride, engine, engine.size)


def hear(scorer: Scorer, passages: Iterable[Passage], smoothing: int) -> Iterator[Heard]:
    """Yield the features of passages that are played as one stream, averaged over the steps that the detector averages.

    Passages that are shorter than a step may give none.
    """
    scorer.reset()
    samples = 0
    for passage in passages:
        start, first = samples / SAMPLE_RATE, scorer.steps
        rows = scorer.feed(passage.samples)
        samples += len(passage.samples)
        times = np.array([scorer.time(first + step) for step in range(len(rows))]) - start
        begin, end = (0.0, np.inf) if passage.word is None else (passage.word[0], passage.word[1] + GRACE)
        yield Heard(_smoothed(rows, smoothing), slice(int(np.searchsorted(times, begin)), int(np.searchsorted(times, end, "right"))))


def _smoothed(rows: Floats, steps: int) -> Floats:
    """The mean of the last steps, fewer at the start: the mean of log-odds is the log-odds of the mean."""
    total = np.cumsum(np.concatenate([np.zeros((1, rows.shape[1])), rows]), axis=0)
    last = np.arange(1, len(rows) + 1)
    first = np.maximum(last - steps, 0)
    return ((total[last] - total[first]) / (last - first)[:, None]).astype(np.float32) if steps > 1 else rows


def _place(network: WakeWordNetwork) -> int:
    return max(index for index, layer in enumerate(network.head) if isinstance(layer, TimeConv))


def output_of(network: WakeWordNetwork) -> TimeConv:
    """The output layer of a network: that of all members."""
    layer = network.head[_place(network)]
    assert isinstance(layer, TimeConv)
    return layer


def layer_of_network(network: WakeWordNetwork) -> Layer:
    """The output layer of a network of one word, with the mean over its members folded in."""
    output, members = output_of(network), network.head.ensemble.members
    assert output.bias is not None
    weights = output.weight.detach().double().reshape(members, -1)
    folded = weights.flatten() / members if output.groups > 1 else weights.mean(dim=0)
    return Layer(folded.numpy(), float(output.bias.detach().double().mean()))


def members_of_network(network: WakeWordNetwork) -> list[Layer]:
    """The output layers of the members of a network, on the features of all."""
    output, members = output_of(network), network.head.ensemble.members
    assert output.bias is not None
    weights = output.weight.detach().double().reshape(members, -1).numpy()
    size = weights.shape[1]
    layers = []
    for member, bias in enumerate(output.bias.detach().tolist()):
        own = np.zeros(output.in_channels)
        first = member * size if output.groups > 1 else 0
        own[first : first + size] = weights[member]
        layers.append(Layer(own, bias))
    return layers


@torch.no_grad()
def put_into_network(layer: Layer, network: WakeWordNetwork) -> None:
    """Give a network this output layer."""
    output, members = output_of(network), network.head.ensemble.members
    change = torch.from_numpy(layer.weights - layer_of_network(network).weights)
    rows = (change * members).reshape(members, -1) if output.groups > 1 else change.expand(members, -1)
    output.weight += rows.reshape(output.weight.shape).to(output.weight.dtype)
