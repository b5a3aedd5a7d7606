import asyncio
import socket

import pytest

pytest.importorskip("zeroconf")

from zeroconf import ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from speechtl.runtime import server_announce
from speechtl.runtime.server_announce import SERVICE, announce, outward

LOOPBACK = ["127.0.0.1"]
PATIENCE = 20.0  # seconds


def test_home_assistant_finds_the_server_and_its_end():
    async def look():
        changes: asyncio.Queue[tuple[str, ServiceStateChange]] = asyncio.Queue()
        network = AsyncZeroconf(interfaces=LOOPBACK)
        browser = AsyncServiceBrowser(
            network.zeroconf,
            SERVICE,
            handlers=[lambda zeroconf, service_type, name, state_change: changes.put_nowait((name, state_change))],
        )
        task = asyncio.create_task(announce("kitchen speechtl test", "127.0.0.1", 10433, print, LOOPBACK))
        try:
            found = await asyncio.wait_for(changes.get(), PATIENCE)
            about = AsyncServiceInfo(SERVICE, found[0])
            assert await about.async_request(network.zeroconf, 3000)
            task.cancel()
            gone = await asyncio.wait_for(changes.get(), PATIENCE)
            return found, about.parsed_addresses(), about.port, gone
        finally:
            task.cancel()
            await browser.async_cancel()
            await network.async_close()

    found, addresses, port, gone = asyncio.run(look())
    assert found == (f"kitchen speechtl test.{SERVICE}", ServiceStateChange.Added)
    assert (addresses, port) == (LOOPBACK, 10433)
    assert gone == (found[0], ServiceStateChange.Removed)


def test_without_a_network_it_is_said_once_and_tried_again(monkeypatch):
    tries, said = [], []

    def no_network(host: str) -> str:
        tries.append(host)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(server_announce, "outward", no_network)
    monkeypatch.setattr(server_announce, "FIRST_WAIT", 0.01)

    async def attempt():
        task = asyncio.create_task(announce("x", "0.0.0.0", 1, said.append))
        while len(tries) < 3:
            await asyncio.sleep(0.005)
        task.cancel()

    asyncio.run(attempt())
    assert said == ["The server cannot be announced yet (Network is unreachable); it is tried again."]


def test_all_addresses_are_announced_as_the_one_that_others_reach():
    assert outward("192.0.2.7") == "192.0.2.7"
    assert outward("localhost") == "127.0.0.1"
    try:
        reached = outward("0.0.0.0")
    except OSError:
        pytest.skip("this machine has no network at all")
    assert socket.inet_aton(reached) != bytes(4)
