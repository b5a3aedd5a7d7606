import asyncio
import socket
import time

import pytest

pytest.importorskip("zeroconf")

from zeroconf import NonUniqueNameException, ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from speechtl.runtime.server import address as server_address
from speechtl.runtime.server.address import SERVICE, announce, outward

LOOPBACK = ["127.0.0.1"]
PATIENCE = 20.0  # seconds


class HomeAssistant:
    """Look for servers on loopback as Home Assistant does; `changes` tells name, and whether it came or went."""

    async def __aenter__(self):
        self.changes: asyncio.Queue[tuple[str, ServiceStateChange]] = asyncio.Queue()
        self.network = AsyncZeroconf(interfaces=LOOPBACK)
        self.browser = AsyncServiceBrowser(self.network.zeroconf, SERVICE, handlers=[self._changed])
        return self

    async def __aexit__(self, *_):
        await self.browser.async_cancel()
        await self.network.async_close()

    def _changed(self, zeroconf, service_type, name, state_change):
        self.changes.put_nowait((name, state_change))

    async def change(self):
        return await asyncio.wait_for(self.changes.get(), PATIENCE)

    async def place(self, name):
        about = AsyncServiceInfo(SERVICE, name)
        assert await about.async_request(self.network.zeroconf, 3000)
        return about.parsed_addresses(), about.port


@pytest.mark.slow
def test_home_assistant_finds_the_server_and_its_end():
    async def look():
        async with HomeAssistant() as seeker:
            task = asyncio.create_task(announce("kitchen speechtl test", "127.0.0.1", 10433, print, LOOPBACK))
            try:
                found = await seeker.change()
                place = await seeker.place(found[0])
                task.cancel()
                return found, place, await seeker.change()
            finally:
                task.cancel()

    found, place, gone = asyncio.run(look())
    assert found == (f"kitchen speechtl test.{SERVICE}", ServiceStateChange.Added)
    assert place == (LOOPBACK, 10433)
    assert gone == (found[0], ServiceStateChange.Removed)


@pytest.mark.slow
def test_another_address_of_the_machine_is_announced_in_place_of_the_first(monkeypatch):
    addresses = ["192.0.2.7"]
    monkeypatch.setattr(server_address, "outward", lambda host: addresses[-1])
    monkeypatch.setattr(server_address, "LOOK_SECONDS", 0.05)
    name = f"moving speechtl test.{SERVICE}"

    async def look():
        async with HomeAssistant() as seeker:
            task = asyncio.create_task(announce("moving speechtl test", "0.0.0.0", 10434, print, LOOPBACK))
            try:
                came = await seeker.change(), (await seeker.place(name))[0]
                addresses.append("192.0.2.8")
                went, came_again = await seeker.change(), await seeker.change()
                return *came, went, came_again, (await seeker.place(name))[0]
            finally:
                task.cancel()

    added, removed = (name, ServiceStateChange.Added), (name, ServiceStateChange.Removed)
    assert asyncio.run(look()) == (added, ["192.0.2.7"], removed, added, ["192.0.2.8"])


def test_without_a_network_it_is_said_once_and_tried_again(monkeypatch):
    tries, said = [], []

    def no_network(host: str) -> str:
        tries.append(host)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(server_address, "outward", no_network)
    monkeypatch.setattr(server_address, "FIRST_WAIT", 0.01)

    async def attempt():
        task = asyncio.create_task(announce("x", "0.0.0.0", 1, said.append))
        while len(tries) < 3:
            await asyncio.sleep(0.005)
        task.cancel()

    asyncio.run(attempt())
    assert said == ["The server cannot be announced (Network is unreachable); trying again."]


def test_what_zeroconf_refuses_is_said_once_and_tried_again(monkeypatch):
    tries, said = [], []

    async def refuse(*_given, **_options):
        tries.append(1)
        raise NonUniqueNameException

    monkeypatch.setattr(AsyncZeroconf, "async_register_service", refuse)
    monkeypatch.setattr(server_address, "FIRST_WAIT", 0.01)

    async def attempt():
        task = asyncio.create_task(announce("x", "127.0.0.1", 1, said.append, LOOPBACK))
        end = time.monotonic() + PATIENCE
        while len(tries) < 3 and not task.done() and time.monotonic() < end:
            await asyncio.sleep(0.005)
        task.cancel()

    asyncio.run(attempt())
    assert len(tries) >= 3
    assert said == ["The server cannot be announced (NonUniqueNameException); trying again."]


def test_all_addresses_are_announced_as_the_one_that_others_reach():
    assert outward("192.0.2.7") == "192.0.2.7"
    assert outward("localhost") == "127.0.0.1"
    try:
        reached = outward("0.0.0.0")
    except OSError:
        pytest.skip("this machine has no network at all")
    assert socket.inet_aton(reached) != bytes(4)
