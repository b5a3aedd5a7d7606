"""Announce the server in the local network (zeroconf, DNS-SD), so that Home Assistant finds it by itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from speechtl.errors import MissingExtraError

SERVICE = "_wyoming._tcp.local."
LONGEST_NAME = 63  # bytes (RFC 6763, section 4.1.1)
MDNS = ("224.0.0.251", 5353)
FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0  # seconds between attempts, where there is no network yet
LOOK_SECONDS = 15.0  # between two looks at the machine's address, which a router may change


def load_zeroconf() -> Any:
    """Return the module zeroconf; raise `MissingExtraError`."""
    try:
        import zeroconf.asyncio
    except ModuleNotFoundError as error:
        raise MissingExtraError("Announcing the server (--zeroconf)", "zeroconf") from error
    return zeroconf


async def announce(name: str, host: str, port: int, note: Callable[[str], None], interfaces: Sequence[str] | None = None) -> None:
    """Announce until cancelled, then say goodbye; where the network does not let that (any more), try again and again.

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
                note(f"The server cannot be announced ({reason}); it is tried again.")
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
    """Return the address by which the network reaches this machine; raise `OSError` where there is none."""
    if host not in ("0.0.0.0", "::"):
        return socket.gethostbyname(host) if ":" not in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(MDNS)  # sends nothing: it only chooses the address to send from
        return str(probe.getsockname()[0])
