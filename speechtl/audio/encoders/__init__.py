"""Encoders by name: what a recipe's `encoder` may be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from speechtl.audio.encoders import conv_ctc, pipelines, speech_embedding
from speechtl.audio.encoders.base import AudioEncoder, audio_input, data_input, silence
from speechtl.audio.encoders.streaming import TimeConv, step
from speechtl.errors import RecipeError, did_you_mean

ENCODERS: dict[str, tuple[Callable[[], AudioEncoder], Callable[[], AudioEncoder]]] = {
    # name: (architecture with random weights, the same with pretrained weights)
    "speech-embedding": (speech_embedding.build, speech_embedding.load),
    "scratch": (speech_embedding.build, speech_embedding.build),
    "conv-ctc": (conv_ctc.build, conv_ctc.load),
    "conv-ctc-tiny": (partial(conv_ctc.build, "conv-ctc-tiny"), partial(conv_ctc.load, "conv-ctc-tiny")),
    "scratch:conv-ctc": (conv_ctc.build, conv_ctc.build),
}


def build_encoder(name: str) -> AudioEncoder:
    """Return an encoder's architecture with random weights, to load a run's weights into."""
    return _entry(name)[0]()


def load_encoder(name: str) -> AudioEncoder:
    """Return a pretrained encoder; `scratch` is the same architecture without what it learned, for comparison."""
    return _entry(name)[1]()


def _entry(name: str) -> tuple[Callable[[], AudioEncoder], Callable[[], AudioEncoder]]:
    if pipelines.is_pipeline(name):
        return partial(pipelines.build, name), partial(pipelines.load, name)
    if name not in ENCODERS:
        raise RecipeError(
            f"The encoder {name!r} is not known{did_you_mean(name, ENCODERS)}; take one of: {', '.join(ENCODERS)}, torchaudio:HUBERT_BASE."
        )
    return ENCODERS[name]


__all__ = ["ENCODERS", "AudioEncoder", "TimeConv", "audio_input", "build_encoder", "data_input", "load_encoder", "silence", "step"]
