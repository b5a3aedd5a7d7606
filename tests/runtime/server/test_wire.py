import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wyoming.event import Event, async_write_event

from speechtl.errors import ProtocolError
from speechtl.runtime.server.wire import MAX_HEADER, MAX_PAYLOAD, read_event

KEYS = st.sampled_from(["type", "data", "data_length", "payload_length", "version", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)
)


def read_all(content: bytes) -> list[Event]:
    async def read():
        reader = asyncio.StreamReader(MAX_HEADER)
        reader.feed_data(content)
        reader.feed_eof()
        events = []
        while event := await read_event(reader, 5.0, 5.0):
            events.append(event)
        return events

    return asyncio.run(read())


def written(*events: Event) -> bytes:
    """Return what the library writes."""

    class Writer:
        content = b""

        def write(self, part):
            self.content += part

        def writelines(self, parts):
            self.content += b"".join(parts)

        async def drain(self):
            pass

    async def write(writer):
        for event in events:
            await async_write_event(event, writer)
        return writer.content

    return asyncio.run(write(Writer()))


def test_what_the_library_writes_is_read_as_it_was():
    events = [
        Event("describe"),
        Event("audio-chunk", {"rate": 16_000, "names": ["Straße", None]}, b"\n\x00{}\n" * 9),
        Event("audio-chunk", {"x": 1.5}, bytes(MAX_PAYLOAD)),
    ]
    assert read_all(written(*events)) == events


def test_data_beside_and_within_the_header_is_merged():
    more = json.dumps({"b": 3, "c": 4}).encode()
    line = json.dumps({"type": "t", "data": {"a": 1, "b": 2}, "data_length": len(more)}).encode()
    assert read_all(line + b"\n" + more) == [Event("t", {"a": 1, "b": 3, "c": 4})]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200)
    | st.dictionaries(KEYS, VALUES).map(lambda value: json.dumps(value).encode() + b"\n")
    | VALUES.map(lambda value: json.dumps(value).encode())
)
def test_anything_at_all_is_an_event_or_a_sentence(content):
    said, events = "", []
    try:
        events = read_all(content)
    except ProtocolError as error:
        said = str(error)
    assert len(said) < 250
    assert all(isinstance(event.type, str) and isinstance(event.data, dict) for event in events)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_an_event_that_is_cut_short_is_no_event(cut):
    content = written(Event("audio-chunk", {"rate": 16_000}, b"abcdef"))
    with pytest.raises(ProtocolError, match="ended within"):
        read_all(content[:-cut])


def test_nothing_is_read_for_a_length_that_is_too_long():
    async def read():
        reader = asyncio.StreamReader(MAX_HEADER)
        reader.feed_data(json.dumps({"type": "t", "payload_length": MAX_PAYLOAD + 1}).encode() + b"\n")
        await read_event(reader, 5.0, 5.0)  # the end of the stream never comes

    with pytest.raises(ProtocolError, match=str(MAX_PAYLOAD)):
        asyncio.run(read())


def test_a_whole_number_of_thousands_of_digits_is_read_as_one_without_end():
    (event,) = read_all(b'{"type": "x", "data": {"timestamp": %s, "small": %s}}\n' % (b"9" * 5000, b"9" * 400))
    assert event.data == {"timestamp": float("inf"), "small": int("9" * 400)}
