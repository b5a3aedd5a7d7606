"""The command `speechtl words`."""

from __future__ import annotations

from typing import Annotated

import typer

from speechtl.text import echo


def words(
    word: Annotated[str | None, typer.Argument(metavar="WORD", help="Show the card of this one.", show_default=False)] = None,
) -> None:
    """List the ready words, or show what one was made from and how well it does."""
    from speechtl.runtime import ready

    if word is not None:
        echo(ready.card(word).rstrip())
        return
    for name in ready.names():
        echo(ready.summary(name))
