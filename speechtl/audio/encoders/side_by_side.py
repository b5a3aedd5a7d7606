"""Several frozen encoders side by side: what one of them mishears, another may not."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from speechtl.audio.data.licences import all_of
from speechtl.audio.encoders.base import AudioEncoder
from speechtl.audio.encoders.streaming import SideBySide
from speechtl.errors import RecipeError
from speechtl.transfer.network import EncoderInfo

PLUS = "+"  # between the names


def beside(encoders: Sequence[AudioEncoder]) -> AudioEncoder:
    """Encoders of the same features and rate as one, with concatenated embeddings; a single one as it is.

    They are one layer group, as none follows another: a policy trains all of them or none. Raises `RecipeError` for
    those that do not fit.
    """
    first = encoders[0]
    if len(encoders) == 1:
        return first
    for other in encoders[1:]:
        _check(first, other)
    field = max(encoder.receptive_field for encoder in encoders)
    parts = [nn.Sequential(*encoder.groups.values()) for encoder in encoders]
    group = SideBySide(parts, [field - encoder.receptive_field for encoder in encoders])
    joined = AudioEncoder({"side_by_side": group}, info_of([encoder.info for encoder in encoders]), first.features, first.stride, field)
    joined.parts = tuple(encoder.info.embedding_size for encoder in encoders)
    return joined


def _check(first: AudioEncoder, other: AudioEncoder) -> None:
    names = f"{first.info.name} and {other.info.name}"
    if first.features != other.features:
        raise RecipeError(f"{names} cannot be combined: one takes {first.info.input}, the other {other.info.input}.")
    if first.stride != other.stride or first.in_windows or other.in_windows:
        raise RecipeError(f"{names} cannot be combined: both must stream at one rate.")


def info_of(infos: Sequence[EncoderInfo]) -> EncoderInfo:
    """The info of encoders whose embeddings are concatenated."""
    return EncoderInfo(
        name=PLUS.join(info.name for info in infos),
        input=infos[0].input,
        embedding_size=sum(info.embedding_size for info in infos),
        source="; ".join(info.source for info in infos),
        licence=all_of(info.licence for info in infos),
    )
