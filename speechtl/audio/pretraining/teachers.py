"""Larger encoders whose embeddings the small one learns to predict (distillation)."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch

from speechtl.audio.encoders import ENCODERS, audio_input, load_encoder, own_weights
from speechtl.audio.encoders.conv_ctc import FEATURES
from speechtl.audio.encoders.side_by_side import PLUS, info_of
from speechtl.audio.encoders.torchaudio_pipelines import is_pipeline, teacher
from speechtl.audio.pretraining import wakehubert
from speechtl.audio.pretraining.data import Teacher
from speechtl.audio.pretraining.network import STRIDE, TEACHER_FIELD
from speechtl.errors import RecipeError, did_you_mean
from speechtl.runtime.features import LogMel
from speechtl.runtime.samples import SAMPLE_RATE, Floats, Samples
from speechtl.transfer import check_inputs
from speechtl.transfer.network import EncoderInfo

DELAY = 0.2  # seconds by which the student's outputs lag those of a teacher that also sees the future
WAKEHUBERT_DELAY = 0.08  # it sees no future, but a step more of the sound foretells its embeddings better
SEPARATOR = r"\+(?!layers\b)"  # `+layers` belongs to a network of torchaudio
KNOWN = ("speech-embedding", wakehubert.NAME, "torchaudio:HUBERT_BASE")
WITH_PATH = rf"(?:^|\+)((?:conv-ctc|conv-ctc-tiny|{wakehubert.NAME}):.+)"


def load_teachers(names: str) -> tuple[Teacher, EncoderInfo]:
    """Several teachers as one, with concatenated embeddings: `speech-embedding+wakehubert` by name; see `load_teacher`."""
    loaded = [load_teacher(name) for name in teacher_names(names)]
    if len(loaded) == 1:
        return loaded[0]

    def teach(samples: Samples) -> Floats:
        return np.concatenate([one(samples) for one, _ in loaded], axis=1)

    return teach, info_of([info for _, info in loaded])


def teacher_names(names: str) -> list[str]:
    """The teachers in a combined name. One with a path comes last, as the rest of the name is that of the path."""
    path = re.search(WITH_PATH, names)
    others = names[: path.start()] if path else names
    parts = [*(re.split(SEPARATOR, others) if others or not path else []), *([path[1]] if path else [])]
    if not all(parts):
        raise RecipeError(f"The teacher {names!r}: a name is missing before or after {PLUS}.")
    return parts


def load_teacher(name: str) -> tuple[Teacher, EncoderInfo]:
    """A function from samples to embeddings `(steps, size)` at log-mel frames 76, 84, 92, ..., and where it comes from."""
    if wakehubert.is_wakehubert(name):
        return _wakehubert(name)
    return _pipeline(name) if is_pipeline(name) else _encoder(name)


def _encoder(name: str) -> tuple[Teacher, EncoderInfo]:
    if name not in ENCODERS and not own_weights(name):
        raise RecipeError(
            f"The teacher {name!r} is not known{did_you_mean(name, KNOWN)}; take one of: {', '.join(KNOWN)}, or several, such as "
            f"speech-embedding{PLUS}{wakehubert.NAME}."
        )
    encoder = load_encoder(name).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    check_inputs(encoder, audio_input(FEATURES))
    if (encoder.receptive_field, encoder.stride) != (TEACHER_FIELD, STRIDE):
        raise RecipeError(f"The encoder {name!r} cannot be a teacher: its outputs are not at log-mel frames 76, 84, 92, ...")
    log_mel = LogMel(FEATURES)

    @torch.no_grad()
    def teach(samples: Samples) -> Floats:
        heard: Floats = encoder(torch.from_numpy(log_mel.compute(samples))[None, None])[0, :, :, 0].T.numpy()
        return heard

    return teach, encoder.info


def _pipeline(name: str) -> tuple[Teacher, EncoderInfo]:
    network = teacher(name)

    def hear(samples: Samples) -> Floats:
        heard: Floats = network(torch.from_numpy(samples)[None])[0].numpy()
        return heard

    return _on_grid(hear, network.frame_rate, DELAY), network.info


def _wakehubert(name: str) -> tuple[Teacher, EncoderInfo]:
    network = wakehubert.load(name)
    return _on_grid(network, SAMPLE_RATE / wakehubert.HOP, WAKEHUBERT_DELAY), network.info


def _on_grid(hear: Callable[[Samples], Floats], frame_rate: float, delay: float) -> Teacher:
    """A teacher of a faster network: the means of the frames that end within a step, `delay` seconds before the step ends."""
    together = round(STRIDE * FEATURES.hop / SAMPLE_RATE * frame_rate)  # of the teacher's frames to one of ours

    def teach(samples: Samples) -> Floats:
        heard = hear(samples)
        steps = max((FEATURES.frames(len(samples)) - TEACHER_FIELD) // STRIDE + 1, 0)
        ends = np.array([FEATURES.samples(TEACHER_FIELD + STRIDE * step) for step in range(steps)]) / SAMPLE_RATE - delay
        after = np.minimum((ends * frame_rate).astype(int), len(heard))
        means: Floats = heard[after[:, None] - np.arange(1, together + 1)].mean(axis=1)
        return means

    return teach
