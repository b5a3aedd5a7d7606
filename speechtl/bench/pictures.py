"""The pictures of the latency harness: made by seed, the same bytes on every machine, in sizes that cameras have.

They are files without compression (PPM), because what a JPEG unpacks to depends on the library that does it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechtl.bench.process import Unit

SEED = 48
SIZES = {"640x480": (640, 480), "1280x720": (1280, 720), "1920x1080": (1920, 1080)}  # pixels, width and height
EACH = 2  # pictures of a size
TILE = 40  # pixels of a side, which every side of a picture is a multiple of
TEXTURE = 24  # the most that noise changes a pixel by
STAGES = ("prepare", "network")
PICTURE = Unit("picture", "pictures")


def camera_picture(width: int, height: int, number: int) -> npt.NDArray[np.uint8]:
    """Return a picture `(height, width, 3)`: coloured tiles with noise over them, in whole numbers alone."""
    random = np.random.default_rng([SEED, width, height, number])
    tiles = random.integers(0, 256, (height // TILE, width // TILE, 3), dtype=np.int16)
    noise = random.integers(-TEXTURE, TEXTURE + 1, (height, width, 3), dtype=np.int16)
    return (tiles.repeat(TILE, axis=0).repeat(TILE, axis=1) + noise).clip(0, 255).astype(np.uint8)


def to_ppm(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture `(height, width, 3)` as a PPM file."""
    height, width, _ = pixels.shape
    return b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes()


def write_pictures(folder: Path) -> list[Path]:
    """Write the pictures as files, sizes in turn, and return them (20 MB)."""
    files = []
    for number in range(EACH):
        for name, (width, height) in SIZES.items():
            files.append(folder / f"{name}-{number}.ppm")
            files[-1].write_bytes(to_ppm(camera_picture(width, height, number)))
    return files


def digest(files: Sequence[Path], golden: npt.NDArray[np.uint8]) -> str:
    """Return the hash of everything that is shown."""
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    found.update(golden.tobytes())
    return found.hexdigest()
