"""Larger encoders whose embeddings the small one learns to foretell (distillation)."""

from __future__ import annotations

import numpy as np
import torch

from speechtl.audio.encoders import audio_input, load_encoder
from speechtl.audio.encoders.conv_ctc import FEATURES
from speechtl.audio.encoders.torchaudio_pipelines import is_pipeline, teacher
from speechtl.audio.pretraining.data import Teacher
from speechtl.audio.pretraining.network import STRIDE, TEACHER_FIELD
from speechtl.errors import RecipeError
from speechtl.runtime.features import LogMel
from speechtl.runtime.samples import SAMPLE_RATE, Floats, Samples
from speechtl.transfer import check_inputs
from speechtl.transfer.network import EncoderInfo

DELAY = 0.2  # seconds that the student lags behind a teacher that hears the future, too


def load_teacher(name: str) -> tuple[Teacher, EncoderInfo]:
    """Return a function from samples to embeddings `(steps, size)` at log-mel frames 76, 84, 92, ..., and where it comes from."""
    return _pipeline(name) if is_pipeline(name) else _encoder(name)


def _encoder(name: str) -> tuple[Teacher, EncoderInfo]:
    encoder = load_encoder(name).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    check_inputs(encoder, audio_input(FEATURES))
    if (encoder.receptive_field, encoder.stride) != (TEACHER_FIELD, STRIDE):
        raise RecipeError(f"The encoder {name!r} cannot teach: its outputs do not stand at log-mel frames 76, 84, 92, ...")
    log_mel = LogMel(FEATURES)

    @torch.no_grad()
    def teach(samples: Samples) -> Floats:
        heard: Floats = encoder(torch.from_numpy(log_mel.compute(samples))[None, None])[0, :, :, 0].T.numpy()
        return heard

    return teach, encoder.info


def _pipeline(name: str) -> tuple[Teacher, EncoderInfo]:
    network = teacher(name)

    def teach(samples: Samples) -> Floats:
        heard = network(torch.from_numpy(samples)[None])[0].numpy()
        steps = (FEATURES.frames(len(samples)) - TEACHER_FIELD) // STRIDE + 1
        ends = [FEATURES.samples(TEACHER_FIELD + STRIDE * step) / SAMPLE_RATE - DELAY for step in range(steps)]
        newest = np.minimum((np.array(ends) * network.frame_rate).astype(int), len(heard))
        together = round(STRIDE * FEATURES.hop / SAMPLE_RATE * network.frame_rate)  # of the teacher's frames to one of ours
        return np.stack([heard[max(last - together, 0) : last].mean(axis=0) for last in newest])

    return teach, network.info
