"""The server's address (tcp://HOST:PORT, unix://PATH or stdio://), and its announcement in the local network (zeroconf, DNS-SD)."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from speechtl.errors import MissingExtraError, ServerError
from speechtl.runtime.server.wire import MAX_HEADER

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]

SERVICE = "_wyoming._tcp.local."
LONGEST_NAME = 63  # bytes (RFC 6763, section 4.1.1)
MDNS = ("224.0.0.251", 5353)
FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0  # seconds between attempts, where there is no network yet
LOOK_SECONDS = 15.0  # between two checks of the machine's address, which a router may change


@dataclass(frozen=True)
class Address:
    """A listening address: `host` and `port` for tcp, `path` for unix, neither for stdio."""

    scheme: str
    host: str = ""
    port: int = 0
    path: Path = Path()

    def __str__(self) -> str:
        if self.scheme == "tcp":
            return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"
        return f"unix://{self.path}" if self.scheme == "unix" else "stdio://"

    @property
    def loopback(self) -> bool:
        """True where only this machine can connect."""
        try:
            return self.scheme != "tcp" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_uri(uri: str) -> Address:
    """Parse a listening address; raise `ServerError` for anything but the three forms."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ServerError(f"{uri!r} is not an address to listen at ({error}); give tcp://127.0.0.1:10400, for example.") from error
    if parts.scheme == "tcp" and host and port is not None and parts.path in ("", "/"):
        return Address("tcp", host, port)
    if parts.scheme == "unix" and (parts.netloc or parts.path):
        return Address("unix", path=Path(parts.netloc + parts.path))
    if parts.scheme == "stdio":
        return Address("stdio")
    raise ServerError(f"{uri!r} is not an address to listen at; give tcp://127.0.0.1:10400, tcp://0.0.0.0:10400, unix:///PATH or stdio://.")


async def listen(address: Address, connected: Connected) -> asyncio.Server:
    """Listen at a tcp or unix address; raise `ServerError` where that fails."""
    try:
        if address.scheme == "unix":
            if not hasattr(socket, "AF_UNIX"):
                raise ServerError("This system has no unix sockets; give --uri tcp://127.0.0.1:10400.")
            _remove_stale(address.path)
            return await asyncio.start_unix_server(connected, path=address.path, limit=MAX_HEADER)
        return await asyncio.start_server(connected, address.host, address.port, limit=MAX_HEADER)
    except OSError as error:
        raise ServerError(_listen_error(error, address)) from error


async def open_stdio() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open standard input and output as streams; raise `ServerError` where they are files."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(MAX_HEADER)
    try:
        _check_readable()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        # A copy of standard output: closing the stream must not close the original.
        output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, output)
    except ValueError as error:
        raise ServerError(
            "With stdio:// standard input and output must be pipes, not files or devices. "
            "For files: cat IN | speechtl serve ... | cat > OUT"
        ) from error
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _check_readable() -> None:
    """Raise `ValueError` where standard input is closed, or is a device such as /dev/null, which an event loop cannot poll."""
    if sys.stdin is None or sys.stdout is None:
        raise ValueError
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()):
        raise ValueError


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that was killed; refuse a socket in use and any other file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ServerError(f"{path} exists already and is not a socket; give another --uri, or remove it.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        with suppress(ConnectionRefusedError):
            probe.connect(str(path))
            raise OSError(errno.EADDRINUSE, "in use")
    path.unlink(missing_ok=True)


def _listen_error(error: OSError, address: Address) -> str:
    if error.errno == errno.EADDRINUSE:
        see = f"See which: ss -ltnp 'sport = :{address.port}'. " if address.scheme == "tcp" else ""
        return f"{address} is in use by another program. {see}End it, or give another --uri."
    if error.errno in (errno.EACCES, errno.EPERM):
        ports = " Ports below 1024 are reserved for root; the usual one is 10400." if 0 < address.port < 1024 else ""
        return f"The server may not listen at {address}: permission denied.{ports}"
    unknown = error.errno is None and "could not bind on any address" in str(error)  # asyncio from Python 3.13 on
    if unknown or isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is not an address of this machine; give tcp://0.0.0.0:{address.port or 10400} for all of its addresses."
    if error.errno == errno.ENOENT and not address.path.parent.is_dir():
        return f"The server cannot listen at {address}: the folder {address.path.parent} does not exist."
    return f"The server cannot listen at {address}: {error.strerror or error}."


def load_zeroconf() -> Any:
    """Import zeroconf; raise `MissingExtraError` where it is not installed."""
    try:
        import zeroconf.asyncio
    except ModuleNotFoundError as error:
        raise MissingExtraError("Announcing the server (--zeroconf)", "zeroconf") from error
    return zeroconf


async def announce(name: str, host: str, port: int, log: Callable[[str], None], interfaces: Sequence[str] | None = None) -> None:
    """Announce until cancelled, then withdraw the announcement; retry while the network is not available.

    When the machine gets another address, that one is announced.
    """
    module = load_zeroconf()
    wait = FIRST_WAIT
    while True:
        try:
            address = await asyncio.to_thread(outward, host)  # asks the name server, which may take its time
            async with _announced(module, name, address, port, interfaces):
                wait = FIRST_WAIT
                while await asyncio.to_thread(outward, host) == address:
                    await asyncio.sleep(LOOK_SECONDS)
        except (OSError, module.Error) as error:
            if wait == FIRST_WAIT:
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                log(f"The server cannot be announced ({reason}); trying again.")
            await asyncio.sleep(wait)
            wait = min(2.0 * wait, LONGEST_WAIT)


@asynccontextmanager
async def _announced(module: Any, name: str, address: str, port: int, interfaces: Sequence[str] | None) -> AsyncIterator[None]:
    about = module.asyncio.AsyncServiceInfo(
        SERVICE, f"{name}.{SERVICE}", parsed_addresses=[address], port=port, server=f"{socket.gethostname()}.local."
    )
    network = module.asyncio.AsyncZeroconf(**({"interfaces": list(interfaces)} if interfaces else {}))
    try:
        await network.async_register_service(about, allow_name_change=True)
        yield
    finally:
        with suppress(OSError, module.Error):
            await network.async_unregister_all_services()
        await network.async_close()


def outward(host: str) -> str:
    """The address by which the network reaches this machine; raises `OSError` where there is none."""
    if host not in ("0.0.0.0", "::"):
        return socket.gethostbyname(host) if ":" not in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(MDNS)  # sends nothing: it only chooses the address to send from
        return str(probe.getsockname()[0])
