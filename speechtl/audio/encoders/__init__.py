"""Encoders by name: what a recipe's `encoder` may be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from speechtl.audio.encoders import conv_ctc, pipelines, several, speech_embedding
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
    "scratch:conv-ctc-tiny": (partial(conv_ctc.build, "conv-ctc-tiny"),) * 2,
}
UNTAUGHT = [name for name, (build, load) in ENCODERS.items() if build is load]  # whose weights are random either way


def untaught(name: str) -> str:
    """Return the name of the same network with random weights; for what cannot learn so, as two side by side, speech-embedding's."""
    return twin if (twin := f"scratch:{name}") in ENCODERS else "scratch"


def build_encoder(name: str) -> AudioEncoder:
    """Return an encoder's architecture with random weights, to load a run's weights into."""
    return several.beside([_entry(part)[0]() for part in parts_of(name)])


def load_encoder(name: str) -> AudioEncoder:
    """Return a pretrained encoder; `scratch` is the same architecture without what it learned, for comparison."""
    return several.beside([_entry(part)[1]() for part in parts_of(name)])


def parts_of(name: str) -> list[str]:
    """Return the names of the encoders that a name stands for: `speech-embedding+conv-ctc` are two, side by side."""
    parts = [name] if pipelines.is_pipeline(name) else name.split(several.PLUS)
    if not all(parts) and any(parts):
        raise RecipeError(f"The encoder {name!r}: a name is missing beside the {several.PLUS}.")
    return parts


def _entry(name: str) -> tuple[Callable[[], AudioEncoder], Callable[[], AudioEncoder]]:
    if pipelines.is_pipeline(name):
        return partial(pipelines.build, name), partial(pipelines.load, name)
    if name not in ENCODERS:
        raise RecipeError(
            f"The encoder {name!r} is not known{did_you_mean(name, ENCODERS)}; take one of: {', '.join(ENCODERS)}, torchaudio:HUBERT_BASE, "
            f"or two of them side by side, such as speech-embedding{several.PLUS}conv-ctc."
        )
    return ENCODERS[name]


__all__ = [
    "ENCODERS",
    "UNTAUGHT",
    "AudioEncoder",
    "TimeConv",
    "audio_input",
    "build_encoder",
    "data_input",
    "load_encoder",
    "parts_of",
    "silence",
    "step",
]
