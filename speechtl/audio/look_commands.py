"""`speechtl look`: what the layers of an audio encoder hear."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechtl.outputs import output_folder
from speechtl.plain import echo
from speechtl.progress import progress


def look(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run folder, or the name of an encoder.", show_default=False)],
    recordings: Annotated[list[Path], typer.Argument(metavar="RECORDINGS...", help="Manifests or folders.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the pictures.", callback=output_folder)] = Path("looks"),
    units: Annotated[int, typer.Option(min=1, max=24, help="Units of each layer.")] = 6,
    patches: Annotated[int, typer.Option(min=1, max=24, help="Moments of each unit.")] = 6,
) -> None:
    """Draw what an encoder hears: its first filters, and the moments of sound that excite units most, before and after training."""
    with progress("loading"):
        from speechtl.study.look_audio import look as draw

    for path in draw(model, recordings, out, units=units, patches=patches):
        echo(str(path))
