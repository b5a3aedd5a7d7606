"""`speechtl serve`: the Wyoming server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechtl.errors import MissingExtraError
from speechtl.progress import say

SERVE_EXAMPLE = "Example: speechtl serve computer.wake --uri tcp://0.0.0.0:10400 --zeroconf kitchen"

Bundles = Annotated[list[Path], typer.Argument(metavar="NAME.wake...", help="Bundles to serve.", show_default=False)]
Uri = Annotated[str, typer.Option(help="Where to listen: tcp://HOST:PORT (0.0.0.0: for the whole network), unix://PATH or stdio://.")]
Threshold = Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Score for an event, in place of the calibrated ones.")]
Graph = Annotated[str | None, typer.Option(help="Which graph of the bundles to run.")]
Engine = Annotated[str | None, typer.Option(help="What runs it: onnxruntime, ai-edge-litert or tflite-runtime.")]
Zeroconf = Annotated[str | None, typer.Option(metavar="NAME", help="Announce the server under this name, so that Home Assistant finds it.")]


def serve(
    bundles: Bundles,
    uri: Uri = "tcp://127.0.0.1:10400",
    threshold: Threshold = None,
    graph: Graph = None,
    engine: Engine = None,
    zeroconf: Zeroconf = None,
) -> None:
    """Serve wake words over the Wyoming protocol, to Home Assistant and voice satellites.

    Up to 32 clients at once, any rate and width of audio. SIGHUP opens the bundles again, SIGTERM and Ctrl-C end it.
    """
    try:
        from speechtl.runtime.server import ServerSettings
        from speechtl.runtime.server import serve as run_server
        from speechtl.runtime.server_models import Choice
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "wyoming":
            raise
        raise MissingExtraError("The server", "serve") from error
    if zeroconf is not None:
        from speechtl.runtime.server_announce import load_zeroconf

        load_zeroconf()
    run_server(ServerSettings(tuple(bundles), uri, Choice(threshold, graph, engine), zeroconf), say)
