"""Trainings of one wake-word recipe with several policies and amounts of data, always calibrated on the same speakers."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.manifest import Clip, write_manifest
from speechtl.audio.encoders import data_input, load_encoder, random_init
from speechtl.audio.recipe import Recipe, TransferSection, with_weights_from
from speechtl.audio.spelling.material import completed
from speechtl.audio.training.train import train
from speechtl.errors import ManifestError
from speechtl.settings import checked
from speechtl.study.advise import SCRATCH, Target
from speechtl.text import counted
from speechtl.transfer import Encoder

VALIDATION = 0.3  # fraction of the speakers
WORD_OR_NOT = 2  # classes


class AudioTrials:
    """Trainings of a wake-word recipe, measured by recall at the wanted rate of false accepts."""

    measure = "recall"

    def __init__(self, recipe: Recipe) -> None:
        recipe = completed(recipe)
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"synthesise": False})})  # its takes are among the others
        self.recipe = recipe.model_copy(update={"calibrate": recipe.calibrate.model_copy(update={"enabled": True})})
        encoder = load_encoder(recipe.transfer.encoder)
        self.encoder: Encoder = encoder
        self._input = data_input(encoder)
        clips = [clip for clip in read_clips(recipe.data.positives) if clip.split != "test" and clip.path is not None]
        self.validation, self.pool = _by_speaker(clips)

    @property
    def target(self) -> Target:
        """The task to be learned."""
        return Target(self._input, len(self.pool) + len(self.validation), WORD_OR_NOT, "recordings")

    @property
    def available(self) -> int:
        """Number of training recordings of the word."""
        return len(self.pool)

    def run(self, policy: str, examples: int | None = None, seed: int = 0) -> float:
        """Train with a number of recordings of the word; return the recall on held-out speakers.

        `policy` is a policy, `scratch`, or an encoder and a policy, such as `conv-ctc/last:2`.
        """
        order = np.random.default_rng(seed).permutation(len(self.pool))[: examples or self.available]
        clips = [_in_split(self.pool[index], "train") for index in order] + [_in_split(clip, "validation") for clip in self.validation]
        with tempfile.TemporaryDirectory() as folder:
            positives = Path(folder) / "positives.jsonl"
            write_manifest(positives, clips)
            about = train(changed(self.recipe, policy, positives, seed), Path(folder) / "run")
        wanted = self.recipe.calibrate.false_accepts_per_hour
        return next(float(point["recall"]) for point in about["operating_points"] if point["false_accepts_per_hour"] == wanted)


def changed(recipe: Recipe, policy: str, positives: Path, seed: int) -> Recipe:
    """The recipe with another policy (`POLICY`, `scratch` or `ENCODER/POLICY`), manifest of the word, and seed."""
    transfer = {**recipe.transfer.model_dump(exclude_unset=True), **_transfer_of(policy, recipe.transfer.encoder)}
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"positives": [positives]}),
            "transfer": with_weights_from(checked(TransferSection, transfer, f"{policy!r}"), Path(), f"{policy!r}"),
            "train": recipe.train.model_copy(update={"seed": seed}),
        }
    )


def _transfer_of(policy: str, encoder: str) -> dict[str, str]:
    if policy == SCRATCH:
        return {"encoder": random_init(encoder), "policy": "all"}
    other_encoder, slash, rest = policy.rpartition("/")
    return {"encoder": other_encoder, "policy": rest} if slash else {"policy": policy}


def _by_speaker(clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Clips of the held-out speakers, and of those to train on."""
    speakers = sorted({clip.person or clip.audio_filepath for clip in clips})
    if len(speakers) < 4:
        raise ManifestError(
            f"There are recordings of {counted(len(speakers), 'speaker')}; at least 4 are needed to learn from some and report on others."
        )
    order = np.random.default_rng(0).permutation(len(speakers))
    held_out = {speakers[index] for index in order[: max(round(VALIDATION * len(speakers)), 1)]}
    validation = [clip for clip in clips if (clip.person or clip.audio_filepath) in held_out]
    return validation, [clip for clip in clips if (clip.person or clip.audio_filepath) not in held_out]


def _in_split(clip: Clip, split: str) -> Clip:
    assert clip.path is not None
    return dataclasses.replace(clip, audio_filepath=str(clip.path.resolve()), split=split)
