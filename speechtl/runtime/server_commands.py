"""`speechtl serve`: the Wyoming server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechtl.errors import MissingExtraError
from speechtl.progress import say
from speechtl.runtime.word_options import RefractoryOption, ThresholdOption

SERVE_EXAMPLE = "Example: speechtl serve computer.wake --uri tcp://0.0.0.0:10400 --zeroconf kitchen"

Bundles = Annotated[
    list[Path], typer.Argument(metavar="NAME.wake...", help="Bundles to serve, or folders of them that are watched.", show_default=False)
]
Uri = Annotated[str, typer.Option(help="Where to listen: tcp://HOST:PORT (0.0.0.0: for the whole network), unix://PATH or stdio://.")]
Graph = Annotated[str | None, typer.Option(help="Which graph of the bundles to run.")]
Engine = Annotated[str | None, typer.Option(help="What runs it: onnxruntime, ai-edge-litert or tflite-runtime.")]
Zeroconf = Annotated[str | None, typer.Option(metavar="NAME", help="Announce the server under this name, so that Home Assistant finds it.")]


def serve(
    bundles: Bundles,
    uri: Uri = "tcp://127.0.0.1:10400",
    threshold: ThresholdOption = None,
    refractory: RefractoryOption = None,
    graph: Graph = None,
    engine: Engine = None,
    zeroconf: Zeroconf = None,
) -> None:
    """Serve wake words over the Wyoming protocol, to Home Assistant and voice satellites.

    Up to 32 clients at once, any rate and width of audio. A folder of bundles is watched, and SIGHUP opens all again.
    SIGTERM and Ctrl-C end it.
    """
    from speechtl.runtime.choice import Choice, refractory_times, thresholds

    try:
        from speechtl.runtime.server import ServerSettings
        from speechtl.runtime.server import serve as run_server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "wyoming":
            raise
        raise MissingExtraError("The server", "serve") from error
    if zeroconf is not None:
        from speechtl.runtime.server_announce import load_zeroconf

        load_zeroconf()
    choice = Choice(thresholds(threshold or []), refractory_times(refractory or []), graph, engine)
    run_server(ServerSettings(tuple(bundles), uri, choice, zeroconf), say)
