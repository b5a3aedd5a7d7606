"""`speechtl image export` and `verify`, beside the commands of `speechtl.image`, which knows nothing of the exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from speechtl.errors import CheckFailedError
from speechtl.image.commands import Json, app
from speechtl.outputs import output_file
from speechtl.plain import echo, echo_json

__all__ = ["app"]


@app.command(epilog="Example: speechtl image export runs/digits -o digits.wake")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="The bundle to write.", show_default=False, callback=output_file)],
    int8: Annotated[bool, typer.Option("--int8/--no-int8", help="Also write an int8 graph, calibrated on the recipe's pictures.")] = True,
    as_json: Json = False,
) -> None:
    """Export a run as one file for a device without torch, and prove that it gives the network's scores."""
    from speechtl.export.picture_bundle import export_image_run
    from speechtl.image.run import load_run

    about = export_image_run(load_run(run), out, int8=int8)
    if as_json:
        document = {"bundle": str(out), "bytes": out.stat().st_size, "graphs": about["graphs"], "parity": about["parity"]}
        echo_json(document, indent=2)
        return
    echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB")
    _tell_parity(about["parity"])


@app.command(epilog="Example: speechtl image verify digits.wake")
def verify(
    bundle: Annotated[Path, typer.Argument(metavar="NAME.wake", help="A bundle of a picture network.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Check on this machine that every graph of a bundle gives the scores that the trained network gave."""
    from speechtl.runtime.picture_bundle import open_picture_bundle, verify_pictures

    results = [result.to_json() for result in verify_pictures(open_picture_bundle(bundle))]
    if as_json:
        echo_json(results, indent=2)
    else:
        _tell_parity(results)
    if not results or not all(result["ok"] for result in results):
        raise CheckFailedError(f"{bundle} does not give the scores it was made with on this machine.")


def _tell_parity(results: list[dict[str, Any]]) -> None:
    for result in results:
        echo(
            f"{result['graph']}: largest difference {result['largest_difference']:.1e} over {result['streams']} pictures, "
            f"{result['tolerance']:.0e} allowed: {'ok' if result['ok'] else 'FAILED'}"
        )
