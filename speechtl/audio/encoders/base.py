"""The interface of audio encoders: features, timing and streaming steps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from speechtl.runtime.features import Features
from speechtl.transfer.network import Encoder, EncoderInfo, InputSpec


def audio_input(features: Features) -> InputSpec:
    """The input type of features, which must be the same in pre-training and fine-tuning."""
    return InputSpec("audio", features.to_json())


def data_input(encoder: AudioEncoder) -> InputSpec:
    """The features to compute for an encoder: the one setting of their kind that is rendered here."""
    return audio_input(type(encoder.features)())


class AudioEncoder(Encoder):
    """An encoder of frames `(batch, 1, frames, bands)`; gives `(batch, embedding_size, steps, 1)`.

    It pads nothing in time: one output needs `receptive_field` frames, and the next comes `stride` frames later.
    """

    in_windows = False  # True: a window is computed anew at every step, because its layers see past and future at once

    def __init__(self, groups: Mapping[str, nn.Module], info: EncoderInfo, features: Features, stride: int, receptive_field: int) -> None:
        super().__init__(groups, info)
        self.features = features
        self.stride = stride
        self.receptive_field = receptive_field
        self.parts: tuple[int, ...] = (info.embedding_size,)  # numbers of the embedding by the encoder that they come from

    @property
    def step_seconds(self) -> float:
        """The time between two outputs."""
        return self.stride * self.features.hop / self.features.sample_rate


def silence(features: Features, batch: int, frames: int) -> Tensor:
    """Frames `(batch, 1, frames, bands)` of digital silence, which precedes every stream."""
    return torch.full((batch, 1, frames, features.bands), features.silence)
