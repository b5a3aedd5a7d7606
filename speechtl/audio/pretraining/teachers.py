"""Larger encoders whose embeddings the small one learns to foretell (distillation)."""

from __future__ import annotations

import torch

from speechtl.audio.encoders import audio_input, load_encoder
from speechtl.audio.encoders.conv_ctc import FEATURES
from speechtl.audio.pretraining.network import STRIDE, TEACHER_FIELD
from speechtl.audio.pretraining.windows import Floats, Teacher
from speechtl.errors import RecipeError
from speechtl.transfer import check_inputs


def load_teacher(name: str) -> tuple[Teacher, int]:
    """Return a function from log-mel frames `(frames, bands)` to embeddings `(steps, size)`, and the size."""
    encoder = load_encoder(name).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    check_inputs(encoder, audio_input(FEATURES))
    if (encoder.receptive_field, encoder.stride) != (TEACHER_FIELD, STRIDE):
        raise RecipeError(f"The encoder {name!r} cannot teach: its outputs do not stand at log-mel frames 76, 84, 92, ...")

    @torch.no_grad()
    def teach(frames: Floats) -> Floats:
        heard: Floats = encoder(torch.from_numpy(frames)[None, None])[0, :, :, 0].T.numpy()
        return heard

    return teach, encoder.info.embedding_size
