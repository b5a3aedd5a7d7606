"""The process of the add-on: it reads the options, announces the server to Home Assistant, and becomes `speechtl serve`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

PORT = 10400
OPTIONS = Path("/data/options.json")
BUNDLES = Path("/share/speechtl")
SUPERVISOR = "http://supervisor"
PATIENCE = 600.0  # seconds: a slow machine tries each new graph in a process of its own first
TIMEOUT = 10.0


def main(arguments: Sequence[str]) -> int:
    """Serve, or with `--check` ask the server whether it responds, or with `--announce` wait for it and announce it."""
    if "--check" in arguments:
        return 0 if responds(PORT) else 1
    if "--announce" in arguments:
        return announce(SUPERVISOR, os.environ.get("SUPERVISOR_TOKEN", ""), PORT, PATIENCE)
    return serve()


def serve() -> NoReturn:
    """Become the server, while a child process waits for it to respond and announces it."""
    BUNDLES.mkdir(parents=True, exist_ok=True)
    command = serve_command(json.loads(OPTIONS.read_text(encoding="utf-8")))
    subprocess.Popen([sys.executable, __file__, "--announce"])
    os.execvp(command[0], command)


def serve_command(options: Mapping[str, Any]) -> list[str]:
    """The command that serves the bundles in the shared folder with the add-on's options."""
    command = ["speechtl", "serve", str(BUNDLES), "--uri", f"tcp://0.0.0.0:{PORT}"]
    for value in [options.get("threshold"), *options.get("word_thresholds", [])]:
        command += ["--threshold", str(value)] if value not in (None, "") else []
    seconds = options.get("refractory_seconds")
    return command if seconds is None else [*command, "--refractory", str(seconds)]


def responds(port: int) -> bool:
    """True where a server answers `describe`."""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
            connection.sendall(b'{"type": "describe"}\n')
            return b'"info"' in connection.recv(1024)
    except OSError:
        return False


def announce(supervisor: str, token: str, port: int, patience: float) -> int:
    """Wait until the server responds, then announce it to Home Assistant, which lists it as discovered; return the exit code."""
    end = time.monotonic() + patience
    while not responds(port):
        if time.monotonic() > end:
            print(f"The server does not respond after {patience:.0f} s; it is not announced.", file=sys.stderr)
            return 1
        time.sleep(0.2)
    content = {"service": "wyoming", "config": {"uri": f"tcp://{socket.gethostname()}:{port}"}}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{supervisor}/discovery", json.dumps(content).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            print(f"Announced to Home Assistant: {content['config']}")
    except OSError as error:
        print(
            f"The server could not be announced to Home Assistant ({error}). Add the integration Wyoming Protocol by hand: "
            f"host {socket.gethostname()}, port {port}.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
