"""Encoders by name: what a recipe's `encoder` may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import nn

from speechtl.audio.encoders import conv_ctc, speech_embedding
from speechtl.audio.encoders import side_by_side as several
from speechtl.audio.encoders import torchaudio_pipelines as pipelines
from speechtl.audio.encoders.base import AudioEncoder, audio_input, data_input, silence
from speechtl.audio.encoders.streaming import SideBySide, TimeConv, step
from speechtl.errors import RecipeError, did_you_mean
from speechtl.files import at_home

ENCODERS: dict[str, tuple[Callable[[], AudioEncoder], Callable[[], AudioEncoder]]] = {
    # name: (architecture with random weights, the same with pretrained weights)
    "speech-embedding": (speech_embedding.build, speech_embedding.load),
    "scratch": (speech_embedding.build, speech_embedding.build),
    "conv-ctc": (conv_ctc.build, conv_ctc.load),
    "conv-ctc-tiny": (partial(conv_ctc.build, "conv-ctc-tiny"), partial(conv_ctc.load, "conv-ctc-tiny")),
    "scratch:conv-ctc": (conv_ctc.build, conv_ctc.build),
    "scratch:conv-ctc-tiny": (partial(conv_ctc.build, "conv-ctc-tiny"),) * 2,
}
OWN = rf"({'|'.join(conv_ctc.SIZES)}):(.+)"  # a size with a file of its own
RANDOM_INIT = [name for name, (build, load) in ENCODERS.items() if build is load]  # whose weights are random either way


def random_init(name: str) -> str:
    """The name of the same network with random weights; that of speech-embedding for combined encoders."""
    return same if (same := f"scratch:{short_name(name)}") in ENCODERS else "scratch"


def short_name(name: str) -> str:
    """The name of an encoder without the file of its own weights."""
    own = own_weights(name)
    return own[0] if own else name


def own_weights(name: str) -> tuple[str, Path] | None:
    """Size and file of an encoder that `training/pretrain.py` made, such as `conv-ctc:runs/phones/encoder.safetensors`."""
    own = re.fullmatch(OWN, name)
    return (own[1], Path(own[2])) if own else None


def from_folder(name: str, folder: Path) -> str:
    """The name of an encoder with relative paths of weight files resolved against a folder."""
    owned = ((part, own_weights(part)) for part in parts_of(name))
    return several.PLUS.join(f"{own[0]}:{at_home(own[1], folder.resolve())}" if own else part for part, own in owned)


def build_encoder(name: str) -> AudioEncoder:
    """An encoder's architecture with random weights, to load a run's weights into."""
    return several.beside([_entry(part)[0]() for part in parts_of(name)])


def load_encoder(name: str) -> AudioEncoder:
    """A pretrained encoder; `scratch` is the same architecture with random weights, for comparison."""
    return several.beside([_entry(part)[1]() for part in parts_of(name)])


def taken_apart(encoder: AudioEncoder, name: str) -> list[AudioEncoder]:
    """The parts of a combined encoder, with their weights; a single encoder as it is."""
    names = parts_of(name)
    if len(names) == 1:
        return [encoder]
    (group,) = encoder.groups.values()
    assert isinstance(group, SideBySide)
    parts = [build_encoder(part) for part in names]
    for part, own in zip(parts, group.parts, strict=True):
        nn.Sequential(*part.groups.values()).load_state_dict(own.state_dict())
    return [part.eval() for part in parts]


def parts_of(name: str) -> list[str]:
    """The encoders in a combined name: `speech-embedding+conv-ctc` are two, side by side.

    One with a weight file comes last, as the rest of the name is that of the file.
    """
    if pipelines.is_pipeline(name):
        return [name]
    own = re.search(rf"(?:^|\{several.PLUS}){OWN}", name)
    parts = [*name[: own.start(1)].split(several.PLUS)[:-1], name[own.start(1) :]] if own else name.split(several.PLUS)
    if not all(parts) and any(parts):
        raise RecipeError(f"The encoder {name!r}: a name is missing before or after {several.PLUS}.")
    return parts


def _entry(name: str) -> tuple[Callable[[], AudioEncoder], Callable[[], AudioEncoder]]:
    if pipelines.is_pipeline(name):
        return partial(pipelines.build, name), partial(pipelines.load, name)
    if own := own_weights(name):
        return partial(conv_ctc.build, own[0]), partial(conv_ctc.load, *own)
    if name not in ENCODERS:
        raise RecipeError(
            f"The encoder {name!r} is not known{did_you_mean(name, ENCODERS)}; take one of: {', '.join(ENCODERS)}, torchaudio:HUBERT_BASE, "
            f"conv-ctc:FILE, or two of them side by side, such as speech-embedding{several.PLUS}conv-ctc."
        )
    return ENCODERS[name]


__all__ = [
    "ENCODERS",
    "RANDOM_INIT",
    "AudioEncoder",
    "TimeConv",
    "audio_input",
    "build_encoder",
    "data_input",
    "from_folder",
    "load_encoder",
    "own_weights",
    "parts_of",
    "random_init",
    "short_name",
    "silence",
    "step",
    "taken_apart",
]
