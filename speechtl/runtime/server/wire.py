"""Wyoming events from an untrusted stream: every length is checked before anything is read or stored.

An event is one JSON line, then `data_length` bytes of JSON, then `payload_length` bytes
(https://github.com/OHF-Voice/wyoming). The library's own reader accepts any length and does not distinguish garbage from the
end of the stream, so events are read here; the event classes and the writer are the library's.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

from wyoming.event import Event

from speechtl.errors import ProtocolError

MAX_HEADER = 64 * 1024  # bytes of the JSON line, and of the JSON after it; clients usually send a few hundred
MAX_PAYLOAD = 1024 * 1024  # bytes: half a minute of 16 kHz, 16-bit sound in one chunk, where clients send a tenth of a second
MAX_DIGITS = 400  # of an integer; a larger one is infinite as a float
DEPTH_LEFT = 100  # levels of nesting reserved for the event around a value and for the calls that write it

Value = TypeVar("Value")


async def read_event(reader: asyncio.StreamReader, idle_seconds: float, rest_seconds: float) -> Event | None:
    """Read the next event, or None at the end of the stream; `reader` must have the limit `MAX_HEADER`.

    Wait `idle_seconds` for its first byte and `rest_seconds` for the others. Raises `TimeoutError`, and `ProtocolError` for
    anything that is not an event, is too long or is cut short.
    """
    first = await asyncio.wait_for(reader.read(1), idle_seconds)
    if not first:
        return None
    return await asyncio.wait_for(_read_rest(first, reader), rest_seconds)


async def _read_rest(first: bytes, reader: asyncio.StreamReader) -> Event:
    header = _object(await _line(first, reader), "the header")
    kind, data = header.get("type"), header.get("data")
    if not isinstance(kind, str):
        raise ProtocolError("This is not a Wyoming event: its header has no type.")
    if data is not None and not isinstance(data, dict):
        raise ProtocolError(f"The data of {shown(kind)} is not a JSON object.")
    data_length = _length(header, "data_length", MAX_HEADER)
    payload_length = _length(header, "payload_length", MAX_PAYLOAD)
    merged = dict(data or {})
    if data_length:
        merged |= _object(await _exactly(reader, data_length), f"the data of {shown(kind)}")
    return Event(kind, merged, await _exactly(reader, payload_length) if payload_length else None)


async def _line(first: bytes, reader: asyncio.StreamReader) -> bytes:
    if first == b"\n":
        return first
    try:
        return first + await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as error:
        raise ProtocolError(f"This is not a Wyoming event: its header is longer than {MAX_HEADER} bytes.") from error
    except asyncio.IncompleteReadError as error:
        raise ProtocolError("The connection ended within the header of an event.") from error


async def _exactly(reader: asyncio.StreamReader, length: int) -> bytes:
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ProtocolError(f"The connection ended within an event: {len(error.partial)} of {length} bytes came.") from error


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(content, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"This is not a Wyoming event: {what} is not JSON.") from error
    if not isinstance(value, dict):
        raise ProtocolError(f"This is not a Wyoming event: {what} is not a JSON object.")
    return value


def _length(header: dict[str, Any], name: str, most: int) -> int:
    given = header.get(name)
    if given is None:
        return 0
    if type(given) is not int or given < 0:
        raise ProtocolError(f"The {name} of an event must be a whole number; got {shown(given)}.")
    if given > most:
        raise ProtocolError(f"The {name} of an event may be at most {most}; got {shown(given)}. Send sound in smaller chunks.")
    return given


def sendable(value: Value) -> Value | None:
    """A client's JSON value as it can be sent back: unpaired surrogates become question marks; None where it is nested too deeply."""
    nested: Any = value
    for _ in range(DEPTH_LEFT):
        nested = [nested]
    try:
        json.dumps(nested)
        sent: Value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), parse_int=_integer)
    except RecursionError:
        return None
    return sent


def _integer(text: str) -> int | float:
    """An integer, or a float for one of so many digits that Python refuses to parse it."""
    return int(text) if len(text) <= MAX_DIGITS else float(text)


def shown(value: object) -> str:
    """A client's value, shortened for an error message."""
    if value is not None and not isinstance(value, str | int | float):
        return f"a JSON {'object' if isinstance(value, dict) else 'array'}"
    text = repr(value[:60]) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
