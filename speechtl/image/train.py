"""Train a network for pictures by transfer and write a run, or pretrain one and keep it as a backbone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechtl.errors import RecipeError
from speechtl.files import check_room
from speechtl.image.augment import AugmentSection
from speechtl.image.backbones import BACKBONES, SCRATCH, kept_folder
from speechtl.image.data import ImageData, PictureSet, prepare
from speechtl.image.metrics import measure_tasks
from speechtl.image.network import PICTURES, PictureNetwork, new_network
from speechtl.image.recipe import ImageRecipe, TrainSection
from speechtl.image.run import open_encoder, save_run
from speechtl.progress import progress, say
from speechtl.runs import bind, finish, training_folder
from speechtl.text import counted
from speechtl.transfer import EncoderInfo, ExampleBatches, Policy, TaskLoss, at_one_rate, balance, check_inputs, fit, parse_policy
from speechtl.transfer.checkpoint import checkpoint_bytes

PRETRAIN_POLICY = "all"
CHECKPOINT = "checkpoint.safetensors"


def train(recipe: ImageRecipe, out: Path, *, resume: bool = False) -> dict[str, Any]:
    """Train a recipe and write the run to `out`, complete or not at all; return its description.

    Work in progress is kept in `OUT.partial`; `resume` continues it after an interruption.
    """
    out = out.absolute()
    with training_folder(out, resume=resume) as work:
        return _train(recipe, out, work, resume)


@progress("training")
def _train(recipe: ImageRecipe, out: Path, work: Path, resume: bool) -> dict[str, Any]:
    started = time.monotonic()
    torch.manual_seed(recipe.train.seed)
    encoder, architecture = open_encoder(recipe.transfer.backbone, recipe.transfer.weights, recipe.transfer.keep)
    check_inputs(encoder, PICTURES)
    data = prepare(recipe, say)
    bind(work, {"recipe": recipe.model_dump(mode="json"), "pictures": _files(data.train)}, resume=resume)
    say(f"{counted(len(data.train), 'picture')} to train on, {len(data.validation)} for validation; {_describe_tasks(data)}.")
    network = new_network(encoder, data.tasks, grid=recipe.transfer.grid, hidden=recipe.transfer.hidden)
    check_room(work, checkpoint_bytes(network))
    policy = parse_policy(recipe.transfer.policy)
    if recipe.transfer.weights == SCRATCH:
        policy = at_one_rate(policy)
        encoder.info = _trained_here(encoder.info, recipe.name, data)
    history = fit_pictures(
        network, data.train.pixels, data.train.labels, policy, recipe.train, recipe.augment, checkpoint=work / CHECKPOINT, resume=resume
    )
    about = {
        "name": recipe.name,
        "recipe": recipe.model_dump(mode="json"),
        "policy": repr(policy),
        "data": {"train": _provenance(data.train), "validation": _provenance(data.validation)},
        "validation": measure_tasks(data.tasks, network.scores(data.validation.pixels), data.validation.labels),
        "history": history,
        "seconds": round(time.monotonic() - started, 1),
    }
    finish(work, out, lambda folder: save_run(folder, network, architecture, recipe.pictures.settings(), about))
    return about


def pretrain(recipe: ImageRecipe, *, resume: bool = False) -> tuple[dict[str, Any], Path]:
    """Train a network from scratch on a large labelled source, and keep it as the backbone with the recipe's name."""
    if recipe.name in BACKBONES:
        raise RecipeError(f"A backbone named {recipe.name!r} exists already; choose another name.")
    transfer = recipe.transfer.model_copy(update={"weights": SCRATCH, "policy": PRETRAIN_POLICY})
    folder = kept_folder(recipe.name)
    return train(recipe.model_copy(update={"transfer": transfer}), folder, resume=resume), folder


def fit_pictures(
    network: PictureNetwork,
    pixels: Tensor,
    labels: Tensor,
    policy: Policy,
    settings: TrainSection,
    augment: AugmentSection | None = None,
    on_epoch: Callable[[int, dict[str, Any]], None] | None = None,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    balanced: bool = False,
) -> list[dict[str, Any]]:
    """Train a network on bytes `(pictures, 3, size, size)` with labels `(pictures, tasks)`; return a record per epoch.

    Every label has the same weight, or with `balanced` every task. Every epoch is saved to `checkpoint`, if given, and `resume`
    continues from it bit for bit.
    """
    batches = _batches(network, pixels, labels, settings, augment)
    fit_settings = settings.fit_settings(len(batches))
    batches.frozen_groups = policy.frozen_groups(network, fit_settings.epochs)
    batches.measure_embeddings()
    with progress("training, step") as advance:
        return fit(
            network,
            batches,
            TaskLoss(network.head.tasks, balance(labels) if balanced else None),
            policy,
            fit_settings,
            checkpoint=checkpoint,
            resume=resume,
            on_epoch=on_epoch,
            on_step=advance,
        )


def _batches(
    network: PictureNetwork, pixels: Tensor, labels: Tensor, settings: TrainSection, augment: AugmentSection | None
) -> ExampleBatches:
    return ExampleBatches(
        pixels.contiguous(memory_format=torch.channels_last),
        labels,
        network,
        0,
        batch_size=settings.batch_size,
        seed=settings.seed,
        render=augment.render if augment and augment.changes else None,
        copies=settings.copies,
    )


def _trained_here(info: EncoderInfo, name: str, data: ImageData) -> EncoderInfo:
    """Description of an encoder that was trained only on the pictures of this recipe."""
    licences = ", ".join(_provenance(data.train)["licences"])
    return replace(
        info,
        name=name,
        source=f"{counted(len(data.train), 'picture')} of the recipe {name!r}",
        source_examples=len(data.train),
        licence=licences,
    )


def _describe_tasks(data: ImageData) -> str:
    first = data.tasks[0]
    if first.classes:
        return f"{len(first.classes)} classes: {', '.join(first.classes)}"
    known = (~torch.isnan(data.train.labels)).float().mean()
    return f"{len(data.tasks)} tasks at once ({', '.join(task.name for task in data.tasks)}), {known:.0%} of their labels known"


def _provenance(pictures: PictureSet) -> dict[str, Any]:
    return {
        "pictures": len(pictures),
        "groups": len({picture.group for picture in pictures.pictures if picture.group}),
        "licences": sorted({picture.license or "unknown" for picture in pictures.pictures}),
        "files": _files(pictures),
    }


def _files(pictures: PictureSet) -> list[str]:
    return sorted({picture.sha256[:16] for picture in pictures.pictures if picture.sha256})
