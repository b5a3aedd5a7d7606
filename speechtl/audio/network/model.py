"""A wake-word network: a streaming encoder with a head, and the scores it gives for a stream."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from speechtl.audio.encoders import AudioEncoder, silence, step
from speechtl.audio.encoders.streaming import TIME
from speechtl.audio.network.heads import Head
from speechtl.runtime.detector import Scorer
from speechtl.runtime.samples import Floats
from speechtl.transfer import TransferNetwork

BLOCK_STEPS = 100  # scored at a time offline: 8 s of audio, what fits the processor's cache


class WakeWordNetwork(TransferNetwork):
    """An audio encoder and a head, both unpadded in time."""

    encoder: AudioEncoder
    head: Head

    def __init__(self, encoder: AudioEncoder, head: Head) -> None:
        super().__init__(encoder, head)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions run faster so

    @property
    def context_frames(self) -> int:
        """How many frames one score needs."""
        return self.encoder.receptive_field + (self.head.receptive_field - 1) * self.encoder.stride

    @property
    def context_seconds(self) -> float:
        """How much audio one score needs."""
        return self.encoder.features.samples(self.context_frames) / self.encoder.features.sample_rate

    @property
    def silent_steps(self) -> int:
        """How many steps of silence bring zero states to those of a stream preceded by silence."""
        return math.ceil(self.context_frames / self.encoder.stride)

    def step_times(self, frames: int) -> Tensor:
        """Return when each score of an example of so many frames is decided, in seconds from its start."""
        features = self.encoder.features
        ends = range(self.context_frames, frames + 1, self.encoder.stride)
        return torch.tensor([features.samples(end) / features.sample_rate for end in ends])

    def to_accelerator(self) -> None:
        """Move to a GPU where there is one, and where scoring is work for one."""
        if self.encoder.in_windows and torch.cuda.is_available():
            self.cuda()

    @torch.no_grad()
    def score(self, log_mel: Floats) -> Floats:
        """Return the scores `(steps,)` that frames `(frames, bands)` hold without anything before them."""
        self.eval()
        stride, lead = self.encoder.stride, self.context_frames - self.encoder.stride
        frames = torch.from_numpy(log_mel)[None, None].to(self.device)
        steps = (len(log_mel) - lead) // stride
        scores = [np.zeros(0, np.float32)]
        for first in range(0, steps, BLOCK_STEPS):
            last = min(first + BLOCK_STEPS, steps)
            logits = self(frames[:, :, first * stride : last * stride + lead])
            scores.append(torch.sigmoid(logits[0, 0, :, 0]).cpu().numpy())
        return np.concatenate(scores)


class StepNetwork(nn.Module):
    """A wake-word network as one step: the next frames and all states in, the score and the new states out."""

    def __init__(self, network: WakeWordNetwork) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, frames: Tensor, states: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Return scores `(1, words)` after frames `(1, 1, stride, bands)`; without states they are zero."""
        new_states: list[Tensor] = []
        given = None if states is None else iter(states)
        for _, group in self.network.groups():
            frames = step(group, frames, given, new_states)
        return torch.sigmoid(frames[:, :, -1, 0]), new_states


class OfflineEngine:
    """A wake-word network as an engine that computes all steps it is given at once, from the frames before them."""

    def __init__(self, network: WakeWordNetwork) -> None:
        self.network = network
        self.reset()

    def reset(self) -> None:
        """Begin a new stream, preceded by silence."""
        encoder = self.network.encoder
        self._past = silence(encoder.features, 1, self.network.context_frames - encoder.stride)[0, 0].numpy()

    def run(self, frames: Floats) -> Floats:
        """Return scores `(steps, 1)` for the next frames `(steps * stride, bands)`."""
        known = np.concatenate([self._past, frames])
        self._past = known[len(known) - len(self._past) :]
        return self.network.score(known)[:, None]


class StreamingEngine:
    """A wake-word network as an engine that computes step by step and keeps states: what is exported."""

    def __init__(self, network: WakeWordNetwork) -> None:
        self.network = network
        self._step = StepNetwork(network)
        self.reset()

    def reset(self) -> None:
        """Begin a new stream, preceded by silence."""
        encoder = self.network.encoder
        self._states: list[Tensor] | None = None
        self.run(silence(encoder.features, 1, self.network.silent_steps * encoder.stride)[0, 0].numpy())

    @torch.no_grad()
    def run(self, frames: Floats) -> Floats:
        """Return scores `(steps, words)` for the next frames `(steps * stride, bands)`."""
        scores = []
        for part in torch.split(torch.from_numpy(frames)[None, None], self.network.encoder.stride, dim=TIME):
            score, self._states = self._step(part, self._states)
            scores.append(score.numpy())
        return np.concatenate(scores)


def scorer_of(network: WakeWordNetwork, *, streaming: bool = False) -> Scorer:
    """Return the scorer of a network; offline it computes many steps at once, streaming one after the other."""
    engine = StreamingEngine(network) if streaming else OfflineEngine(network)
    return Scorer(network.encoder.features, network.encoder.stride, engine)
