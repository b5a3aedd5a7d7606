"""A run: the folder that training writes, with the network, its training, and its accuracy; and pretrained backbones from runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechtl.errors import RunError
from speechtl.files import read_json, write_json
from speechtl.image.backbones import BACKBONES, PRETRAINED, SCRATCH, build_backbone, is_kept, kept_folder, load_backbone
from speechtl.image.network import PictureNetwork, new_network
from speechtl.runs import ABOUT, no_run
from speechtl.runtime.pictures import PictureSettings
from speechtl.transfer import Encoder, EncoderInfo, Task, cut, load_tensors, load_weights, save_tensors
from speechtl.versions import versions

SCHEMA = 1
KIND = "image"
WEIGHTS = "network.safetensors"
MAX_HEAD_WEIGHTS = 25_000_000  # memory is allocated for them before the weights are read


@dataclass(frozen=True)
class Architecture:
    """Architecture of an encoder: a built-in or registered backbone, and its last group that is kept."""

    backbone: str
    keep: str | None = None

    def build(self) -> Encoder:
        """The encoder with random weights."""
        return cut(build_backbone(self.backbone), self.keep)


@dataclass(frozen=True)
class ImageRun:
    """A finished run."""

    folder: Path
    about: Mapping[str, Any]
    network: PictureNetwork
    architecture: Architecture

    @property
    def settings(self) -> PictureSettings:
        """Settings with which the network reads pictures."""
        return PictureSettings(**self.about["pictures"])


def open_encoder(backbone: str, weights: str = PRETRAINED, keep: str | None = None) -> tuple[Encoder, Architecture]:
    """An encoder by name: a built-in or registered backbone, or one that was pretrained on this machine."""
    if backbone in BACKBONES or not is_kept(backbone):
        return cut(load_backbone(backbone, weights), keep), Architecture(backbone, keep)
    run = load_run(kept_folder(backbone))
    if weights == SCRATCH:
        return open_encoder(run.architecture.backbone, SCRATCH, keep or run.architecture.keep)
    return cut(run.network, keep), Architecture(run.architecture.backbone, keep or run.architecture.keep)


def save_run(
    folder: Path, network: PictureNetwork, architecture: Architecture, settings: PictureSettings, about: Mapping[str, Any]
) -> None:
    """Write the files of a run into an existing folder, run.json last."""
    save_tensors(folder / WEIGHTS, network.state_dict(), {"encoder": network.encoder.info.name})
    document = {
        "schema": SCHEMA,
        "kind": KIND,
        **about,
        "encoder": network.encoder.info.to_json(),
        "architecture": {"backbone": architecture.backbone, "keep": architecture.keep},
        "pictures": settings.to_json(),
        "tasks": [task.to_json() for task in network.head.tasks],
        "head": {"grid": network.head.grid, "hidden": network.head.hidden},
        "versions": versions(),
    }
    write_json(folder / ABOUT, document)


def load_run(folder: Path | str) -> ImageRun:
    """Read a run; raise `RunError` if it is missing, of another kind, unfinished or damaged."""
    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        raise no_run(folder, "start it again.")
    try:
        about = read_json(folder / ABOUT, RunError)
        if about.get("kind") != KIND:
            raise RunError(f"{folder} is a run of another kind, not of pictures; see: speechtl --help")
        if about["schema"] > SCHEMA:
            raise RunError(f"{folder} was made by a newer speechtl (schema {about['schema']}; this one reads {SCHEMA}).")
        architecture = Architecture(**about["architecture"])
        encoder = architecture.build()
        encoder.info = EncoderInfo.from_json(about["encoder"])
        tasks = [Task.from_json(task) for task in about["tasks"]]
        _check_size(encoder, tasks, **about["head"])
        network = new_network(encoder, tasks, **about["head"])
        PictureSettings(**about["pictures"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise RunError(f"{folder / ABOUT} is damaged: {error!r}.") from error
    load_weights(network, load_tensors(folder / WEIGHTS)[0], folder / WEIGHTS)
    network.eval()
    return ImageRun(folder, about, network, architecture)


def _check_size(encoder: Encoder, tasks: list[Task], grid: int, hidden: int) -> None:
    size, outputs = encoder.info.embedding_size, sum(task.outputs for task in tasks)
    if not all(type(number) is int and number >= least for number, least in ((size, 1), (outputs, 1), (grid, 1), (hidden, 0))):
        raise ValueError(f"a head of {outputs!r} outputs on {size!r} numbers, with a grid of {grid!r} and {hidden!r} hidden")
    if size * grid**2 * max(hidden, outputs) > MAX_HEAD_WEIGHTS:
        raise ValueError(f"a head of more than {MAX_HEAD_WEIGHTS // 1_000_000} million weights")
