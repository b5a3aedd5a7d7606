"""Arrays of an untrusted file: their types and sizes are checked before they are read."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from speechtl.runtime.samples import Array

MAX_ARRAYS = 8
MAX_BYTES = 64 * 1024 * 1024  # of an array
PIECE_BYTES = 1 << 20  # read at a time, so that an array is in memory once
HEADER_BYTES = 1024  # of an array with few dimensions and a plain type
KINDS = "iuf"


def read_arrays(content: bytes, ranges: Mapping[str, tuple[int, int]]) -> dict[str, Array]:
    """The arrays of an npz file that `ranges` names, each of numbers and with a number of values in its range; others are not read.

    Raises `ValueError` for another type and an array out of its range; whatever `zipfile` raises for damage.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ARRAYS:
            raise ValueError(f"it holds {len(entries)} arrays")
        names = [(entry, entry.filename.removesuffix(".npy")) for entry in entries]
        return {name: _read(archive, entry, name, *ranges[name]) for entry, name in names if name in ranges}


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, least: int, most: int) -> Array:
    with archive.open(entry) as file:
        shape, fortran, dtype = _header(file, name)
        count = math.prod(shape)
        if dtype.kind not in KINDS or dtype.itemsize > 8:
            raise ValueError(f"{name} is of the type {dtype}")
        if not least <= count <= most or len(shape) > 4:
            raise ValueError(f"{name} must have {least} to {most} values")
        size = count * dtype.itemsize
        if size > MAX_BYTES:
            raise ValueError(f"{name} has {size} bytes, more than {MAX_BYTES}")
        data = bytearray()
        while piece := file.read(min(size - len(data), PIECE_BYTES)):
            data += piece
        if len(data) < size or file.read(1):
            raise ValueError(f"{name} does not have the size that it announces")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError("it is of another version than 1.0")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=HEADER_BYTES)
    except Exception as error:  # reading Python's syntax raises a dozen types without a common parent
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise ValueError(f"{name} has no header of an array ({ascii(reason)[1:-1]})") from error
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"{name} has sizes that are not numbers")
    return shape, fortran, dtype
