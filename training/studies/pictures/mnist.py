"""IDX, the file format of MNIST: arrays of bytes with a short header."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechtl.errors import PictureError

MAX_COMPRESSION = 1032  # of deflate


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file, plain or gzipped; raises `PictureError` for other or damaged files."""
    if not path.is_file():
        raise PictureError(f"{path} does not exist.")
    try:
        content = _decompress(path) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise PictureError(f"{path} is damaged or cut short: {error}.") from error
    if content[:3] != b"\0\0\x08" or len(content) < 4:
        raise PictureError(f"{path} is not an IDX file of bytes, the format of MNIST.")
    axes = content[3]
    shape = [int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes)]
    if len(content) != 4 + 4 * axes + math.prod(shape):
        raise PictureError(f"{path} is cut short, or too long for the {' × '.join(map(str, shape))} bytes that it announces.")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _decompress(path: Path) -> bytes:
    """The content of a gzipped file up to the length that its header announces, plus one byte if there is more."""
    with gzip.open(path) as file:
        head = file.read(4)
        sizes = file.read(4 * head[3]) if len(head) == 4 else b""
        announced = math.prod(int.from_bytes(sizes[place : place + 4], "big") for place in range(0, len(sizes), 4))
        return head + sizes + file.read(min(announced, MAX_COMPRESSION * path.stat().st_size) + 1)
