import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from speechtl.errors import ServerError
from speechtl.runtime.server.address import Address, listen, parse_uri


@pytest.mark.parametrize(
    ("uri", "address", "loopback"),
    [
        ("tcp://127.0.0.1:10400", Address("tcp", "127.0.0.1", 10400), True),
        ("tcp://0.0.0.0:10400/", Address("tcp", "0.0.0.0", 10400), False),
        ("tcp://[::1]:10400", Address("tcp", "::1", 10400), True),
        ("tcp://kitchen:1", Address("tcp", "kitchen", 1), False),
        ("unix:///run/speechtl/wake.sock", Address("unix", path=Path("/run/speechtl/wake.sock")), True),
        ("unix://wake.sock", Address("unix", path=Path("wake.sock")), True),
        ("stdio://", Address("stdio"), True),
    ],
)
def test_the_three_forms_are_read(uri, address, loopback):
    assert parse_uri(uri) == address
    assert parse_uri(str(address)) == address
    assert address.loopback == loopback


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "10400",
        "localhost:10400",
        "tcp://localhost",
        "tcp://:10400",
        "tcp://a:b",
        "tcp://a:70000",
        "http://a:1",
        "unix://",
        "tcp://[a:1",
    ],
)
def test_anything_else_is_refused_in_words(uri):
    with pytest.raises(ServerError, match="not an address to listen at"):
        parse_uri(uri)


def try_to_listen(address: Address) -> str:
    async def attempt():
        (await listen(address, lambda reader, writer: None)).close()

    with pytest.raises(ServerError) as refused:
        asyncio.run(attempt())
    return str(refused.value)


def test_a_port_in_use_is_one_clear_sentence():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = try_to_listen(Address("tcp", "127.0.0.1", port))
    assert said.startswith(f"tcp://127.0.0.1:{port} is in use by another program.")
    assert f"ss -ltnp 'sport = :{port}'" in said


def test_an_address_of_another_machine_is_refused():
    assert "not an address of this machine" in try_to_listen(Address("tcp", "192.0.2.1", 10400))
    assert "not an address of this machine" in try_to_listen(Address("tcp", "no-such-host.invalid", 10400))


def test_a_socket_that_is_in_use_stays(tmp_path):
    path = tmp_path / "wake.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert "is in use by another program" in try_to_listen(Address("unix", path=path))
    assert path.exists()


def test_a_socket_that_was_left_behind_is_replaced(tmp_path):
    path = tmp_path / "wake.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))

    async def attempt():
        server = await listen(Address("unix", path=path), lambda reader, writer: writer.close())
        reader, writer = await asyncio.open_unix_connection(path)
        heard = await reader.read()
        writer.close()
        server.close()
        return heard

    assert asyncio.run(attempt()) == b""


def test_a_file_at_the_sockets_place_stays(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    assert "not a socket" in try_to_listen(Address("unix", path=path))
    assert path.read_text() == "mine"


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    assert f"the folder {tmp_path / 'none'} does not exist" in try_to_listen(Address("unix", path=tmp_path / "none" / "wake.sock"))
    assert "cannot listen at" in try_to_listen(Address("unix", path=tmp_path / ("x" * 120)))


def test_what_is_sent_on_stdio_arrives_although_a_library_is_kept_quiet_meanwhile():
    code = """
import asyncio
from speechtl.runtime.silence import quiet
from speechtl.runtime.server.address import open_stdio

async def send():
    _, writer = await open_stdio()
    with quiet():
        writer.write(b"told\\n")
        await writer.drain()

asyncio.run(send())
"""
    done = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"told\n"), done.stderr


@pytest.mark.parametrize("given", ["file", "/dev/null", "closed"])
def test_files_and_devices_in_place_of_pipes_are_refused_on_stdio(tmp_path, given):
    code = "import asyncio; from speechtl.runtime.server.address import open_stdio; asyncio.run(open_stdio())"
    (tmp_path / "file").write_bytes(b"")
    line = f'exec "$0" -c "$1" {"<&-" if given == "closed" else f"< {tmp_path / given}"}'
    done = subprocess.run(["/bin/sh", "-c", line, sys.executable, code], capture_output=True, text=True, timeout=60, check=False)
    assert "must be pipes, not files or devices" in done.stderr.splitlines()[-1]
    assert "Exception in callback" not in done.stderr
