"""A Wyoming server: wake words for Home Assistant and its satellites, each client with a stream of its own.

One event loop talks to all clients; one worker thread detects, a piece of at most a second at a time, so that clients take
turns and the graphs, which they share, never run concurrently. A client's next event is read only after its last one was
handled, so a client that sends too fast waits on its own side.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechtl.errors import ServerError, SpeechtlError
from speechtl.runtime.bundle.choice import Choice
from speechtl.runtime.bundle.open_bundles import LOOK_SECONDS, OpenBundles
from speechtl.runtime.listen.signals import RELOAD, STOP, on_signal
from speechtl.runtime.server.address import LONGEST_NAME, Address, announce, listen, open_stdio, parse_uri
from speechtl.runtime.server.client import Client
from speechtl.runtime.server.models import OWN, Models, Served, open_served
from speechtl.runtime.systemd import Notifier

MAX_CLIENTS = 32
MAX_REFUSED = 64  # refusals at the same time; further clients are dropped without a message
IDLE_ENOUGH = 10.0  # seconds without an event, after which a client may be dropped for a new one
END_SECONDS = 0.5  # for clients to be dropped at the end


@dataclass(frozen=True)
class ServerSettings:
    """Bundles to serve, and the address; `announce` is a name for zeroconf."""

    bundles: tuple[Path, ...]
    uri: str = "tcp://127.0.0.1:10400"
    choice: Choice = OWN
    announce: str | None = None

    @property
    def address(self) -> Address:
        """The listening address; raises `ServerError` for an invalid URI, and for an address or a name that cannot be announced."""
        address = parse_uri(self.uri)
        if self.announce is None:
            return address
        if address.loopback:
            raise ServerError(f"{address} is reachable from this machine only; to announce the server, give --uri tcp://0.0.0.0:10400.")
        if not self.announce.isprintable() or not 0 < len(self.announce.encode()) <= LONGEST_NAME:
            raise ServerError(f"The server cannot be announced as {self.announce!r}; give a printable name of 1 to {LONGEST_NAME} bytes.")
        return address


def serve(settings: ServerSettings, log: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C (or, on stdio, the end of input); SIGHUP opens the bundles again.

    Raises `BundleError` and `ServerError` when it cannot start.
    """
    address = settings.address
    server = Server(settings, open_served(settings.bundles, settings.choice, log), log)
    gc.freeze()  # everything loaded so far stays; collecting it again would take most of the time of the shutdown
    asyncio.run(server.run(address))


class Server:
    """The clients, the models that they share, and the signals that stop or reload it."""

    def __init__(self, settings: ServerSettings, bundles: OpenBundles[Served], log: Callable[[str], None]) -> None:
        self._settings = settings
        self._bundles = bundles
        self._opening = asyncio.Lock()
        self._where = ""
        self._renew()
        self._log = log
        self._notifier = Notifier()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="speechtl-detect")
        self._clients: dict[Client, asyncio.Task[None]] = {}
        self._refused = 0
        self._background: set[asyncio.Task[None]] = set()

    async def run(self, address: Address) -> None:
        """Listen at the address until the end."""
        stop = asyncio.Event()
        self._handle_signals(stop)
        try:
            if address.scheme == "stdio":
                await self._run_stdio(stop)
            else:
                await self._run_sockets(address, stop)
        finally:
            self._notifier.stopping()
            await self._end()

    async def _run_sockets(self, address: Address, stop: asyncio.Event) -> None:
        server = await listen(address, self._connected)
        try:
            if address.scheme == "tcp":
                address = Address("tcp", address.host, server.sockets[0].getsockname()[1])
            self._started(str(address))
            if self._settings.announce is not None:
                self._spawn(announce(self._settings.announce, address.host, address.port, self._log))
            await stop.wait()
        finally:
            server.close()
            if address.scheme == "unix":
                address.path.unlink(missing_ok=True)

    async def _run_stdio(self, stop: asyncio.Event) -> None:
        client = Client(*await open_stdio(), lambda: self._models, self._worker, self._log)
        self._started("stdio://")
        task = asyncio.create_task(client.run())
        self._clients[client] = task
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task in done:
            await task

    def _started(self, where: str) -> None:
        self._where = where
        self._log(f"{self._status()}. Ctrl-C ends it.")
        self._notifier.ready(self._status())
        if self._bundles.folders:
            self._spawn(self._watch_folders())
        if self._notifier.watchdog_seconds is not None:
            self._spawn(self._stay_alive(self._notifier.watchdog_seconds))

    def _status(self) -> str:
        return f"Serving {self._bundles.described} at {self._where}"

    def _renew(self) -> None:
        """Switch every stream to the bundles that are open now."""
        self._models = Models(tuple(self._bundles.opened))

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client that has connected, if there is room."""
        who = _who(writer)
        client = Client(reader, writer, lambda: self._models, self._worker, lambda text: self._log(f"{who}: {text}"))
        if self._make_room():
            self._clients[client] = asyncio.create_task(self._run_client(client, who))
        elif self._refused < MAX_REFUSED:
            self._refused += 1
            self._spawn(self._refuse(client))
        else:
            client.close()

    async def _run_client(self, client: Client, who: str) -> None:
        try:
            await client.run()
        except SpeechtlError as error:
            self._log(f"{who}: {error}")
        finally:
            self._clients.pop(client, None)

    def _make_room(self) -> bool:
        """Make room for another client: the one that has been idle longest is dropped, if it has been idle long enough."""
        if len(self._clients) < MAX_CLIENTS:
            return True
        silent = min(self._clients, key=lambda client: client.last_heard)
        if time.monotonic() - silent.last_heard < IDLE_ENOUGH:
            return False
        self._clients.pop(silent).cancel()
        return True

    async def _refuse(self, client: Client) -> None:
        try:
            await client.refuse(f"The server has {MAX_CLIENTS} clients already; try again later.")
        finally:
            self._refused -= 1

    def _handle_signals(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        for name in STOP:
            on_signal(loop, name, stop.set)
        for name in RELOAD:
            on_signal(loop, name, lambda: self._spawn(self._reload()))

    async def _reload(self) -> None:
        """Open the bundles again; keep the old ones when that fails."""
        async with self._opening:
            self._notifier.reloading()
            try:
                await asyncio.to_thread(self._bundles.reload)
                self._renew()
                self._log(f"Reloaded: {self._bundles.described}.")
            except (SpeechtlError, OSError) as error:
                self._log(f"The bundles were not reloaded, and the old ones stay in use: {error}")
            self._notifier.ready(self._status())

    async def _watch_folders(self) -> None:
        """Open bundles that are added to the folders or changed, and close those that are removed."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            async with self._opening:
                if await asyncio.to_thread(self._bundles.look):
                    self._renew()
                    self._notifier.status(self._status())

    async def _stay_alive(self, watchdog_seconds: float) -> None:
        """Report to systemd while both the event loop and the worker respond."""
        while True:
            await asyncio.get_running_loop().run_in_executor(self._worker, time.monotonic)
            self._notifier.alive()
            await asyncio.sleep(watchdog_seconds / 4.0)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _end(self) -> None:
        """Drop the clients, repeatedly: before Python 3.12 `wait_for` can miss a cancellation.

        A busy client can make it miss every one, so its connection is closed first.
        """
        for client in self._clients:
            client.close()
        tasks = {*self._clients.values(), *self._background}
        end = time.monotonic() + END_SECONDS
        while tasks and time.monotonic() < end:
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=END_SECONDS / 5.0)
        self._worker.shutdown(wait=False, cancel_futures=True)


def _who(writer: asyncio.StreamWriter) -> str:
    """The client's name for logs; over tcp, also turn on keep-alive, so that a vanished client is noticed."""
    connection, peer = writer.get_extra_info("socket"), writer.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return "A client"
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return f"{peer[0]} port {peer[1]}"
