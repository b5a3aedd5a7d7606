"""Options of the command line whose value may be another for each word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from speechtl.errors import SpeechtlError
from speechtl.runtime.bundle.choice import PerWord, refractory_times, thresholds

METAVAR = "[WORD=]NUMBER"


def _checked(read: Callable[[list[str]], PerWord]) -> Callable[[list[str] | None], list[str] | None]:
    """A callback that refuses what cannot be read, as wrong usage."""

    def callback(given: list[str] | None) -> list[str] | None:
        try:
            read(given or [])
        except SpeechtlError as error:
            raise typer.BadParameter(str(error)) from error
        return given

    return callback


ThresholdOption = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold",
        metavar=METAVAR,
        callback=_checked(thresholds),
        show_default=False,
        help="Score for an event, above 0, in place of the calibrated one: 0.6, or computer=0.7 for one word; may be repeated.",
    ),
]
RefractoryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--refractory",
        metavar=METAVAR,
        callback=_checked(refractory_times),
        show_default=False,
        help="Seconds after an event without another of the same word: 2, or computer=3 for one word; may be repeated.",
    ),
]
