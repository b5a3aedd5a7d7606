"""The door of the studio in a local network: encrypted connections go through, plain ones are told the encrypted address.

A phone on which somebody types the address without `https://` would otherwise see an error without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

HANDSHAKE = b"\x16"  # the first byte of every TLS connection
PATIENCE = 10.0  # seconds for the first byte
MOST_HEAD = 16_384  # bytes of a plain request that are read
PIECE = 65_536  # bytes
ANSWER = """HTTP/1.1 301 Moved Permanently\r
Location: {address}\r
Content-Type: text/plain; charset=utf-8\r
Content-Length: {length}\r
Connection: close\r
\r
{text}"""
TEXT = "Browsers give the microphone to encrypted pages only. Open {address} instead, with https:// at its start.\n"

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], "asyncio.Future[None]"]


async def front(host: str, port: int, inner: int) -> asyncio.Server:
    """Listen at a port for the server that listens encrypted at the port `inner` of this machine."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled at the end of the studio: asyncio would print a traceback for each connection.
        with suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            first = await asyncio.wait_for(reader.readexactly(1), PATIENCE)
            if first == HANDSHAKE:
                await _pass_on(first, reader, writer, inner)
            else:
                await _redirect(first, reader, writer)
        writer.close()

    return await asyncio.start_server(connected, host, port)


async def _pass_on(first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inner: int) -> None:
    back, forth = await asyncio.open_connection("127.0.0.1", inner)
    forth.write(first)
    copies = [asyncio.ensure_future(_copy(reader, forth)), asyncio.ensure_future(_copy(back, writer))]
    try:
        await asyncio.wait(copies)
    finally:
        for copy in copies:
            copy.cancel()
        forth.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(PIECE):
            writer.write(part)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _redirect(first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a plain request with the encrypted address of the host that it names, which is one line without control characters."""
    head = first
    while b"\r\n\r\n" not in head and len(head) < MOST_HEAD and (part := await asyncio.wait_for(reader.read(PIECE), PATIENCE)):
        head += part
    lines = head.decode("latin-1").split("\r\n")
    host = next((line.partition(":")[2].strip() for line in lines[1:] if line.lower().startswith("host:")), "")
    named = "".join(sign for sign in host if sign.isascii() and (sign.isalnum() or sign in "-.:[]"))
    path = lines[0].split(" ")[1] if lines[0].count(" ") == 2 else "/"
    safe = "".join(sign for sign in path if sign.isascii() and sign.isprintable() and sign not in '<>"')
    address = f"https://{named}/{safe.lstrip('/')}"
    text = TEXT.format(address=address)
    writer.write(ANSWER.format(address=address, length=len(text.encode()), text=text).encode("latin-1"))
    await writer.drain()
