"""Checks of an untrusted ONNX graph: no data in other files, no damaged bytes.

ONNX Runtime would read the files that a graph names, wherever they are. The messages are traversed by their field numbers in
onnx.proto; weights are skipped, so a graph of megabytes takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator

# Fields of each message that lead to tensors, by number (onnx.proto, IR version 10 and later).
HOLDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of a tensor
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types
MAX_DEPTH = 32
MAX_MESSAGES = 200_000


def check_onnx(content: bytes) -> None:
    """Raise `ValueError` for a graph that is damaged or keeps data in other files."""
    if content[4:8] == b"ORTM":
        raise ValueError("it is in ONNX Runtime's own format, where ONNX is needed")
    left = MAX_MESSAGES
    waiting = [("model", 0, len(content), 0)]
    while waiting:
        kind, start, end, depth = waiting.pop()
        left -= 1
        if depth > MAX_DEPTH or left < 0:
            raise ValueError("it has too many parts, or is nested too deeply")
        for number, wire, first, last in _fields(content, start, end):
            if kind == "tensor" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and content[first:last] != b"\0")):
                raise ValueError("it keeps weights in another file")
            if number in HOLDS[kind] and wire == LENGTH:
                waiting.append((HOLDS[kind][number], first, last, depth + 1))


def _fields(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, start and end of each field of a message."""
    place = start
    while place < end:
        key, place = _varint(content, place, end)
        number, wire = key >> 3, key & 7
        first = place
        if wire == VARINT:
            place = _varint(content, place, end)[1]
        elif wire == LENGTH:
            length, first = _varint(content, place, end)
            place = first + length
        elif wire in (FIXED64, FIXED32):
            place += 8 if wire == FIXED64 else 4
        else:
            raise ValueError("it is not an ONNX graph, or is damaged")
        if number == 0 or place > end:
            raise ValueError("it is not an ONNX graph, or is damaged")
        yield number, wire, first, place


def _varint(content: bytes, place: int, end: int) -> tuple[int, int]:
    """A number of variable length, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            break
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
    raise ValueError("it is not an ONNX graph, or is damaged")
