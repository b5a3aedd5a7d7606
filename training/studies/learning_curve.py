"""Learning curves of a recipe for a wake word or for pictures: the value of each policy over the number of examples.

    python training/studies/learning_curve.py training/recipes/pictures/xray.toml --amounts 20 50 100 200 --out runs/curve

Accuracy or AUC (pictures) or recall at the target rate of false accepts (wake words), on the same validation groups for all,
with 95 % limits over seeds. A policy is head, last:2, all, gradual or `scratch`. Writes curve.csv and curve.png.
Each point of a wake word takes a whole training; scale it down in the recipe (`epochs`, `negative_minutes`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from speechtl.arguments import output_folder
from speechtl.errors import reported
from speechtl.study.curves import Point, draw_curves, print_points, write_points
from speechtl.study.trials import curve, open_trials


def main(argv: Sequence[str] | None = None) -> list[Point]:
    """Train, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--amounts", type=int, nargs="+", default=[20, 50, 100, 200], help="numbers of training examples")
    parser.add_argument("--policies", nargs="+", default=["head", "last:2", "all", "scratch"])
    parser.add_argument("--seeds", type=int, default=3, help="trainings for each point, each with other examples (default 3)")
    parser.add_argument("--out", type=output_folder, default="runs/curve")
    arguments = parser.parse_args(argv)
    trials = open_trials(arguments.recipe)
    points = curve(trials, arguments.policies, arguments.amounts, arguments.seeds)
    write_points(arguments.out / "curve.csv", points, trials.measure)
    draw_curves(arguments.out / "curve.png", points, arguments.recipe.stem, trials.measure)
    print_points(points, trials.measure)
    return points


if __name__ == "__main__":
    sys.exit(reported(main))
