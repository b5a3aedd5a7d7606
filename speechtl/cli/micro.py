"""`speechtl microwakeword`: a student of a run for microWakeWord's listeners."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechtl.cli.options import JsonOption, output_folder
from speechtl.errors import RunError
from speechtl.progress import progress
from speechtl.text import echo, echo_json


def microwakeword(
    run: Annotated[Path, typer.Argument(help="A run folder, whose recordings are on this machine.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.", callback=output_folder)] = Path("microwakeword"),
    author: Annotated[str, typer.Option(help="Whom the manifest names.")] = "speechtl",
    as_json: JsonOption = False,
) -> None:
    """Teach a small network what a run knows, for microWakeWord's listeners: ESP32 with ESPHome, or pymicro-wakeword.

    Writes NAME.tflite, NAME.json, and NAME.md with recall and false accepts beside the run's; takes minutes.
    """
    if run.is_file():
        raise RunError(
            f"{run} is a file; the small network learns from recordings. Give the folder of the run that the bundle was made from."
        )
    with progress("loading"):
        from speechtl.audio.run import load_run
        from speechtl.export.microwakeword.export import export_student

    loaded = load_run(run)
    with progress("teaching a student"):
        made = export_student(loaded, out, author)
    echo_json(made, indent=2) if as_json else echo((out / f"{loaded.name}.md").read_text(encoding="utf-8"))
