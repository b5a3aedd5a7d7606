"""The command `speechtl adapt`: learn from labelled clips, and ship only what is not worse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechtl.cli.options import JsonOption, output_file
from speechtl.errors import CheckFailedError, SpeechtlError
from speechtl.progress import progress, say
from speechtl.text import echo, echo_json


def adapt(
    model: Annotated[Path, typer.Argument(metavar="RUN|NAME.wake", help="A run folder, a bundle, or a ready word.", show_default=False)],
    clips: Annotated[
        Path | None, typer.Option(help="Folder with the sub-folders word, not-word and unsure, as of listen --save-clips.")
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="Manifest whose lines have the label word, not-word or unsure.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The adapted bundle to write; it may be the old one.", show_default=False, callback=output_file),
    ] = None,
    word: Annotated[str | None, typer.Option(help="The word to adapt, of a bundle with several.", show_default=False)] = None,
    sure: Annotated[bool, typer.Option("--sure", help="The labels are right, whatever the clips sound like.")] = False,
    keep_previous: Annotated[bool, typer.Option("--keep-previous", help="Keep the bundle that is replaced, for --undo.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Go back to the bundle before the last adaptation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Adapt a detector to labelled clips of where it listens, and write it only if it is not worse.

    The old and the new detector are compared on recordings of the training and on clips that were held back, with exact paired
    tests. Exit code 1: something got worse, or nothing better, and nothing was written.
    """
    if undo:
        _undo(model, as_json, given=clips or manifest or out or word or sure or keep_previous)
        return
    if out is None:
        raise SpeechtlError(f"Say where to write the adapted detector: -o NAME.wake; -o {model} --keep-previous replaces the old one.")
    with progress("loading"):
        from speechtl.adapt.adapt import adapt as run_adaptation
        from speechtl.adapt.compare import table

    report = run_adaptation(model, out, clips=clips, manifest=manifest, word=word, sure=sure, keep_previous=keep_previous)
    echo_json(report, indent=2) if as_json else echo(table(report["table"]))
    if not report["written"]:
        raise CheckFailedError(f"Nothing was written: {'; '.join(report['reasons'])}.")
    if not as_json:
        echo(f"{out}: adapted to {report['words']} clips of the word and {report['others']} of anything else.")
    say(f"Services that watch its folder open {out} by themselves; others with: systemctl reload speechtl (SIGHUP).")


def _undo(bundle: Path, as_json: bool, *, given: object) -> None:
    """Go back to the bundle before the last adaptation."""
    from speechtl.adapt.keep import undo

    if given:
        raise SpeechtlError("--undo goes back to what was kept; it takes a bundle and no other option.")
    kept = undo(bundle)
    if as_json:
        echo_json({"bundle": str(bundle), "previous": str(kept)})
    else:
        echo(f"{bundle} is the previous one again; the adapted one is in {kept}, and the same command brings it back.")
