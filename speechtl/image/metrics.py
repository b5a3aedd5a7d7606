"""Accuracy and AUC of tasks, with 95 % limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from speechtl.limits import recall_limits
from speechtl.runtime.samples import Doubles
from speechtl.transfer import Task

BOOTSTRAPS = 1000


def auc(scores: Doubles, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the probability that a positive scores above a negative; NaN without both kinds."""
    yes, no = int(positive.sum()), int((~positive).sum())
    if not yes or not no:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def auc_limits(scores: Doubles, positive: NDArray[np.bool_], groups: Sequence[object] | None = None, seed: int = 0) -> tuple[float, float]:
    """95 % limits of the AUC by bootstrap over groups (patients), or over single examples."""
    _, group = np.unique(np.array([str(name) for name in groups]) if groups is not None else np.arange(len(scores)), return_inverse=True)
    members = [np.flatnonzero(group == index) for index in range(group.max() + 1)]
    random = np.random.default_rng(seed)
    values = []
    for _ in range(BOOTSTRAPS):
        chosen = np.concatenate([members[index] for index in random.integers(len(members), size=len(members))])
        values.append(auc(scores[chosen], positive[chosen]))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def measure_tasks(tasks: Sequence[Task], scores: Sequence[Tensor], labels: Tensor) -> list[dict[str, Any]]:
    """For each task the number of known labels, the accuracy with limits and, for two kinds, the AUC.

    Accuracy and AUC are None if no label is known.
    """
    results = []
    for index, task in enumerate(tasks):
        truth = labels[:, index].numpy()
        known = ~np.isnan(truth)
        truth, given = truth[known], scores[index].numpy().astype(np.float64)[known]
        answers = given.argmax(axis=1) if task.classes else (given[:, 0] > 0.5).astype(int)
        right = int((answers == truth).sum())
        low, high = recall_limits(right, len(truth))
        accuracy = right / len(truth) if len(truth) else None
        result = {"task": task.name, "examples": len(truth), "accuracy": accuracy, "low": low, "high": high}
        if task.outputs <= 2:
            value = auc(given[:, -1], truth == 1)
            result["auc"] = None if np.isnan(value) else value
        results.append(result)
    return results
