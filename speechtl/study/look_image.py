"""Draw the first filters of a picture network, and the patches to which units of later layers respond most, before and after transfer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from speechtl.errors import PictureError, SpeechtlError
from speechtl.image.backbones import BACKBONES, is_known, kept_folder
from speechtl.image.data import read_all
from speechtl.image.run import load_run, open_encoder
from speechtl.progress import progress, say, tracked
from speechtl.runs import is_run
from speechtl.runtime.pictures import ENDINGS, PictureSettings
from speechtl.runtime.samples import Array
from speechtl.study.look import Activation, compare, first_filters, middle_and_late
from speechtl.study.tiles import draw_all_filters, draw_patches
from speechtl.text import are, counted
from speechtl.transfer import Encoder, HeadOnly, parse_policy

PATCH_SIZE = 72  # pixels of a drawn patch
MIN_SIDE = 16  # pixels of the picture in a patch


@progress("analysing layers")
def look(model: str, pictures: Sequence[Path], out: Path, *, units: int = 6, patches: int = 6) -> list[Path]:
    """Draw for a run's folder or a backbone's name; return the files."""
    encoders, settings = _encoders(model)
    pixels = _pixels(pictures, settings)
    last = list(encoders.values())[-1]
    written = draw_all_filters(out, {name: first_filters(encoder).numpy() for name, encoder in encoders.items()}, last.info.name)
    groups = middle_and_late(last)
    for group in tracked(f"analysing {last.info.name}, layer group", groups, len(groups)):
        blocks = {
            name: {f"unit {unit}": _patches(pixels, strongest) for unit, strongest in found.items()}
            for name, found in compare(encoders, pixels, group, units=units, patches=patches).items()
        }
        written.append(out / f"{group}.png")
        draw_patches(written[-1], blocks, f"{last.info.name}, {group}: patches to which a unit responds most")
    return written


def _encoders(model: str) -> tuple[dict[str, Encoder], PictureSettings]:
    if is_run(Path(model)):
        run = load_run(Path(model))
        transfer = run.about["recipe"]["transfer"]
        after = run.network.encoder
        if isinstance(parse_policy(transfer["policy"]), HeadOnly):
            say("Only the new layers were trained, so the encoder is the same before and after.")
            return {after.info.name: after}, run.settings
        torch.manual_seed(run.about["recipe"]["train"]["seed"])
        before, _ = open_encoder(transfer["backbone"], transfer["weights"], transfer["keep"])
        return {"before": before, "after": after}, run.settings
    if not is_known(model):
        raise SpeechtlError(f"{model} is neither a run's folder nor a backbone; the backbones are: {', '.join(BACKBONES)}.")
    settings = PictureSettings() if model in BACKBONES else load_run(kept_folder(model)).settings
    return {model: open_encoder(model)[0]}, settings


def _pixels(pictures: Sequence[Path], settings: PictureSettings) -> Tensor:
    files = [file for path in pictures for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    files = [file for file in files if file in pictures or file.suffix.lower() in ENDINGS]
    if not files:
        raise PictureError(f"There are no pictures in {', '.join(map(str, pictures))}.")
    pixels, usable, reasons = read_all(files, settings)
    if reasons:
        say(f"{len(reasons)} of {counted(len(files), 'picture')} cannot be used and {are(len(reasons))} skipped, such as: {reasons[0]}")
    if not usable:
        raise PictureError("None of the pictures can be used.")
    return pixels


def _patches(pixels: Tensor, strongest: Sequence[Activation]) -> list[Array]:
    """Patches of equal size, so that patches of a unit can be compared."""
    side = max(MIN_SIDE, *(last - first for found in strongest for first, last in found.box))
    return [_cut_out(pixels[found.example], found, side) for found in strongest]


def _cut_out(picture: Tensor, found: Activation, side: int) -> Array:
    slices = []
    for (first, last), length in zip(found.box, picture.shape[1:], strict=True):
        wanted = min(side, length)
        start = min(max((first + last - wanted) // 2, 0), length - wanted)
        slices.append(slice(start, start + wanted))
    patch = picture[:, slices[0], slices[1]][None].float()
    larger = torch.nn.functional.interpolate(patch, size=(PATCH_SIZE, PATCH_SIZE), mode="bilinear", antialias=True)
    return larger[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
