"""Where pictures stand that are on this machine already."""

from __future__ import annotations

import os
from pathlib import Path

from speechtl.files import expanded


def image_data() -> Path | None:
    """Return the folder of pictures: $SPEECHTL_IMAGES, else `image` beside the recordings ($SPEECHTL_DATA), else None."""
    if own := os.environ.get("SPEECHTL_IMAGES"):
        return Path(expanded(own))
    if recordings := os.environ.get("SPEECHTL_DATA"):
        beside = Path(recordings).resolve().parent / "image"
        return beside if beside.is_dir() else None
    return None
