"""Trainings of one picture recipe with several policies and amounts of data, always measured on the same pictures."""

from __future__ import annotations

import numpy as np
import torch

from speechtl.errors import ManifestError
from speechtl.image.backbones import SCRATCH
from speechtl.image.data import ImageData, draw, prepare
from speechtl.image.metrics import measure_tasks
from speechtl.image.network import PICTURES, new_network
from speechtl.image.recipe import ImageRecipe
from speechtl.image.run import open_encoder
from speechtl.image.train import fit_pictures
from speechtl.progress import say
from speechtl.study.advise import Target
from speechtl.transfer import AllLayers, Encoder, at_one_rate, check_inputs, parse_policy


class ImageTrials:
    """Trainings of a picture recipe; `force` allows an encoder of another input type."""

    def __init__(self, recipe: ImageRecipe, *, force: bool = False) -> None:
        self.recipe = recipe
        self.force = force
        self.data = prepare(recipe, say)
        self.measure = "accuracy" if self.data.tasks[0].classes else "mean AUC"
        self.measured = _measurable(self.data)
        self.encoder: Encoder = self._open(recipe.transfer.weights)

    @property
    def target(self) -> Target:
        """The task to be learned."""
        kinds = sum(max(task.outputs, 2) for task in self.data.tasks) // len(self.data.tasks)
        labels = (~torch.isnan(self.data.train.labels)).sum(dim=0).tolist()
        return Target(PICTURES, len(self.data.train), kinds, "pictures", tuple(labels))

    @property
    def available(self) -> int:
        """Number of training pictures."""
        return len(self.data.train)

    def run(self, policy: str, examples: int | None = None, seed: int = 0) -> float:
        """Train with a policy, or from `scratch`, on a number of pictures; return the measure on the validation pictures."""
        if not self.force:
            check_inputs(self.encoder, PICTURES)
        torch.manual_seed(seed)
        weights, trained = (SCRATCH, AllLayers()) if policy == SCRATCH else (self.recipe.transfer.weights, parse_policy(policy))
        if weights == SCRATCH:
            trained = at_one_rate(trained)
        encoder = self._open(weights)
        network = new_network(encoder, self.data.tasks, grid=self.recipe.transfer.grid, hidden=self.recipe.transfer.hidden)
        pictures = self.data.train.pictures
        chosen = draw(pictures, range(len(pictures)), examples or self.available, seed)
        part = self.data.train.part(chosen)
        settings = self.recipe.train.model_copy(update={"seed": seed})
        fit_pictures(network, part.pixels, part.labels, trained, settings, self.recipe.augment)
        results = measure_tasks(self.data.tasks, network.scores(self.data.validation.pixels), self.data.validation.labels)
        key = "accuracy" if self.measure == "accuracy" else "auc"
        return float(np.mean([result[key] for result in results if result["task"] in self.measured]))

    def _open(self, weights: str) -> Encoder:
        return open_encoder(self.recipe.transfer.backbone, weights, self.recipe.transfer.keep)[0]


def _measurable(data: ImageData) -> list[str]:
    """Names of the tasks that can be measured: those with labels of both kinds among the validation pictures."""
    kinds = {
        task.name: set(column[~torch.isnan(column)].tolist()) for task, column in zip(data.tasks, data.validation.labels.T, strict=True)
    }
    usable = [task.name for task in data.tasks if task.classes or len(kinds[task.name]) == 2]
    if not usable:
        raise ManifestError(
            "No task has labels of both kinds among the validation pictures, so nothing can be measured; raise data.validation."
        )
    if left_out := ", ".join(name for name in kinds if name not in usable):
        say(f"Not measured, because their validation pictures are all of one kind: {left_out}.")
    return usable
