import asyncio
import ssl

import pytest

pytest.importorskip("cryptography", reason="the extra studio is not installed")

from speechtl.studio.web.certificate import addresses, certificate, fingerprint
from speechtl.studio.web.front import front

HOSTS = ["127.0.0.1", "localhost", "kitchen.local", "192.168.1.7"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A certificate and its key."""
    return certificate(tmp_path_factory.mktemp("private"), HOSTS)


async def exchange(pair, request: bytes, context: ssl.SSLContext | None) -> bytes:
    """What comes back through the door to a server that says hello."""

    async def hello(reader, writer):
        await reader.readline()
        writer.write(b"hello")
        writer.close()

    inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inner.load_cert_chain(*pair)
    async with (
        await asyncio.start_server(hello, "127.0.0.1", 0, ssl=inner) as server,
        await front("127.0.0.1", 0, server.sockets[0].getsockname()[1]) as door,
    ):
        port = door.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 10.0)
        writer.close()
        return answer


def test_an_encrypted_connection_goes_through_with_a_certificate_for_this_machine(pair):
    context = ssl.create_default_context(cafile=str(pair[0]))
    assert asyncio.run(exchange(pair, b"GET / HTTP/1.1\r\n", context)) == b"hello"


@pytest.mark.parametrize(
    ("request_line", "host", "location"),
    [
        ("GET /?token=abc HTTP/1.1", "192.168.1.7:8300", "https://192.168.1.7:8300/?token=abc"),
        ("GET //evil.example/ HTTP/1.1", "192.168.1.7", "https://192.168.1.7/evil.example/"),
        ("nonsense", "a\tb<script>", "https://abscript/"),
    ],
)
def test_a_phone_without_https_is_told_the_encrypted_address(pair, request_line, host, location):
    answer = asyncio.run(exchange(pair, f"{request_line}\r\nHost: {host}\r\n\r\n".encode(), None)).decode()
    assert f"\r\nLocation: {location}\r\n" in answer
    assert "Browsers give the microphone to encrypted pages only." in answer


def test_a_certificate_is_used_again_while_it_fits(tmp_path):
    first = certificate(tmp_path, HOSTS)
    before, mark = first[0].read_bytes(), fingerprint(first[0])
    assert first[1].stat().st_mode & 0o077 == 0
    assert len(mark.split(":")) == 32
    assert certificate(tmp_path, HOSTS[:2])[0].read_bytes() == before
    assert certificate(tmp_path, [*HOSTS, "10.0.0.9"])[0].read_bytes() != before
    first[0].write_text("damaged")
    assert fingerprint(certificate(tmp_path, HOSTS)[0]) != mark


def test_this_machines_addresses_are_not_those_of_loopback():
    assert not [address for address in addresses() if address.startswith("127.") or address == "::1"]
