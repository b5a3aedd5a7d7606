"""The studio as a server: on this machine alone, or encrypted for the local network with a code for phones."""

from __future__ import annotations

import asyncio
import os
import socket
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from speechtl.errors import MissingExtraError, ServerError
from speechtl.files import check_folder, locked
from speechtl.progress import say
from speechtl.studio.inbox import Door
from speechtl.studio.project import Project
from speechtl.studio.web.front import front
from speechtl.studio.web.guard import device_key, read_token
from speechtl.studio.web.routes import Studio, application
from speechtl.text import echo

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"
END_SECONDS = 2  # for open connections, at the end
MESSAGE_BYTES = 1_000_000  # of a WebSocket


@dataclass(frozen=True)
class Served:
    """How the studio is served: the port, to whom, and whether a browser is opened."""

    port: int
    lan: bool = False
    browser: bool = True


def serve(project: Project, served: Served) -> None:
    """Serve a project until Ctrl-C."""
    check_folder(project.folder)
    project.folder.mkdir(parents=True, exist_ok=True)
    lock = locked(project.private / "studio.lock", f"Another studio shows {project.folder}", "give another folder")
    with lock, suppress(KeyboardInterrupt):  # Ctrl-C, which uvicorn raises again once it has ended
        _run(project, served)
    say("The studio has ended. A training goes on, and the studio shows it again when it is started.")


def _run(project: Project, served: Served) -> None:
    if served.lan:
        asyncio.run(_serve_lan(project, served))
        return
    with _bound(LOOPBACK, served.port) as listening:
        asyncio.run(_serve_here(project, served, listening))


async def _serve_here(project: Project, served: Served, listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    token = read_token(project.private / "token")
    origin = f"http://{LOOPBACK}:{port}"
    address = f"{origin}/?token={token}"
    server = _server(application(Studio(project, door=Door(origin, device_key(token))), token, _cookie(port)))
    _announce(project, address)
    if served.browser and _has_display():
        webbrowser.open(address)
    await server.serve([listening])


async def _serve_lan(project: Project, served: Served) -> None:
    try:
        from speechtl.studio.web.certificate import addresses, certificate, fingerprint
    except ModuleNotFoundError as error:
        raise MissingExtraError("The encryption of --lan", "studio") from error

    own = addresses()
    if not own:
        raise ServerError("This machine has no address in a local network; connect it, or leave out --lan.")
    pem, key = certificate(project.private, [*own, LOOPBACK, "localhost", socket.gethostname(), f"{socket.gethostname()}.local"])
    token = read_token(project.private / "token")
    with _bound(LOOPBACK, 0) as inner, _bound(EVERYWHERE, served.port) as probe:
        port = probe.getsockname()[1]
        probe.close()
        origin, mark = f"https://{_in_address(own[0])}:{port}", fingerprint(pem)
        address = f"{origin}/?token={token}"
        door = Door(origin, device_key(token), mark.replace(":", "").lower())
        server = _server(application(Studio(project, phone=address, door=door), token, _cookie(port)), pem, key)
        entrance = await front(EVERYWHERE, port, inner.getsockname()[1])
        _announce(project, address)
        _show_code(address, mark)
        async with entrance:
            await server.serve([inner])


def _server(app: object, pem: Path | None = None, key: Path | None = None) -> uvicorn.Server:
    encrypted = {"ssl_certfile": str(pem), "ssl_keyfile": str(key)} if pem is not None else {}
    return uvicorn.Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=END_SECONDS,
            ws_max_size=MESSAGE_BYTES,
            **encrypted,  # type: ignore[arg-type]
        )
    )


def _bound(host: str, port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # before the address is told: whoever is quick waits for the server
    except OSError as error:
        listening.close()
        raise ServerError(f"Port {port} cannot be used ({error.strerror}); give another one with --port, or 0 for any free one.") from error
    return listening


def _cookie(port: int) -> str:
    return f"speechtl-{port}"


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _announce(project: Project, address: str) -> None:
    say(f"The studio shows {project.folder}. Ctrl-C ends it. Whoever has this address can use it:")
    echo(address)


def _show_code(address: str, mark: str) -> None:
    """Print the code of an address for phones, and how to know the certificate."""
    import segno

    print(flush=True)
    segno.make(address, error="l", micro=False).terminal(compact=True, border=2)
    say("Scan it with a phone in the same network. Its browser warns once, because this machine made the certificate itself; compare its")
    say(f"SHA-256 fingerprint where the browser shows it: {mark}")


def _has_display() -> bool:
    return os.name == "nt" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "__CFBundleIdentifier"))
