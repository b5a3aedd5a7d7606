"""Draw the first filters of an audio encoder, and the sounds to which units of later layers respond most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.manifest import usable
from speechtl.audio.encoders import AudioEncoder, load_encoder, parts_of, short_name, taken_apart
from speechtl.audio.run import load_run
from speechtl.errors import ManifestError, SpeechtlError
from speechtl.progress import progress, tracked
from speechtl.runs import is_run
from speechtl.runtime.features import front_end
from speechtl.runtime.samples import Array
from speechtl.runtime.sound.files import read_audio
from speechtl.study.look import Activation, compare, first_filters, middle_and_late
from speechtl.study.tiles import draw_all_filters, draw_patches
from speechtl.transfer import HeadOnly, parse_policy

FRAMES = 152  # of a piece of sound: 1.5 s
MAX_PIECES = 600


@progress("analysing layers")
def look(model: str, recordings: Sequence[Path], out: Path, *, units: int = 6, patches: int = 6) -> list[Path]:
    """Draw for a run's folder or an encoder's name; return the files. Encoders side by side get a folder each."""
    several = _encoders(model)
    states = [encoder for encoders in several.values() for encoder in encoders.values()]
    for encoder in states:
        if encoder.in_windows:
            raise SpeechtlError(
                f"The encoder {encoder.info.name} takes samples, and only log-mel frames can be drawn. Choose an encoder of log-mel frames."
            )
    pieces = _pieces(recordings, states[0])
    written = []
    for name, encoders in several.items():
        written += _draw(encoders, pieces, out / name if len(several) > 1 else out, units, patches)
    return written


def _draw(encoders: dict[str, AudioEncoder], pieces: Tensor, out: Path, units: int, patches: int) -> list[Path]:
    last = list(encoders.values())[-1]
    filters = {name: first_filters(encoder).numpy() for name, encoder in encoders.items()}
    written = draw_all_filters(out, filters, last.info.name, across="time, frames", down="frequency, bands")
    groups = middle_and_late(last)
    for group in tracked(f"analysing {last.info.name}, layer group", groups, len(groups)):
        blocks = {
            name: {f"unit {unit}": _moments(pieces, strongest) for unit, strongest in found.items()}
            for name, found in compare(encoders, pieces, group, units=units, patches=patches).items()
        }
        written.append(out / f"{group}.png")
        draw_patches(written[-1], blocks, f"{last.info.name}, {group}: sounds to which a unit responds most", sound=True)
    return written


def _encoders(model: str) -> dict[str, dict[str, AudioEncoder]]:
    """Encoders side by side by name, each with its states before and after training; frozen ones have a single state."""
    if not is_run(Path(model)):
        return {short_name(part): {short_name(part): load_encoder(part)} for part in parts_of(model)}
    run = load_run(Path(model))
    name, policy = (run.about["recipe"]["transfer"][key] for key in ("encoder", "policy"))
    if isinstance(parse_policy(policy), HeadOnly):
        parts = map(short_name, parts_of(name))
        return {part: {part: encoder} for part, encoder in zip(parts, taken_apart(run.network.encoder, name), strict=True)}
    return {short_name(name): {"before": load_encoder(name), "after": run.network.encoder}}


def _pieces(recordings: Sequence[Path], encoder: AudioEncoder) -> Tensor:
    """Pieces `(pieces, 1, frames, bands)` of the recordings, evenly spread."""
    features = front_end(encoder.features)
    pieces: list[Tensor] = []
    clips = usable(read_clips(recordings))
    step = max(len(clips) // MAX_PIECES, 1)
    with progress("reading recordings") as advance:
        for number, clip in enumerate(clips[::step], 1):
            assert clip.path is not None
            frames = torch.from_numpy(features.compute(read_audio(clip.path)))
            pieces += [piece for piece in torch.split(frames, FRAMES) if len(piece) == FRAMES]
            advance(number, len(clips[::step]))
    if not pieces:
        raise ManifestError(f"The recordings are all shorter than {FRAMES * encoder.features.hop / encoder.features.sample_rate:.1f} s.")
    chosen = np.linspace(0, len(pieces) - 1, min(len(pieces), MAX_PIECES)).astype(int)
    return torch.stack([pieces[index] for index in chosen])[:, None]


def _moments(pieces: Tensor, strongest: Sequence[Activation]) -> list[Array]:
    """The frames that each response depends on, with all bands, all of one length."""
    length = max(found.box[0][1] - found.box[0][0] for found in strongest)
    moments = []
    for found in strongest:
        (first, last), _ = found.box
        start = min(max((first + last - length) // 2, 0), FRAMES - length)
        moments.append(pieces[found.example, 0, start : start + length].numpy())
    return moments
