"""The command `speechtl studio`. Heavy imports happen inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechtl.cli.options import SOURCES, needing
from speechtl.errors import SpeechtlError
from speechtl.progress import progress

PORT = 8300


def studio(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the project, made if it is not there; default: words.", show_default=False)
    ] = Path("words"),
    negatives: Annotated[
        list[Path] | None, typer.Option(metavar=SOURCES, help="Recordings of anything else, with which every word is trained.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen at; 0: any free one.")] = PORT,
    lan: Annotated[bool, typer.Option("--lan", help="Serve the local network, encrypted, and print a QR code for phones.")] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser, where there is one.")] = True,
) -> None:
    """Record, train, try, label and ship a wake word in the browser; a local web application."""
    for path in negatives or []:
        if not path.exists():
            raise SpeechtlError(f"--negatives: {path} does not exist; give a folder or a manifest of recordings.")
    with progress("loading"), needing("studio", "The studio"):
        from speechtl.studio.project import Project
        from speechtl.studio.web.server import Served, serve
    others = tuple(path.absolute() for path in negatives or [])
    serve(Project(folder.absolute(), others), Served(port, lan, browser))
