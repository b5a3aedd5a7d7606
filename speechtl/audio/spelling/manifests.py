"""Manifests that come with the package: in a checkout they are in data_manifests/, in a wheel in speechtl/manifests/."""

from __future__ import annotations

from pathlib import Path

import speechtl

_PACKAGE = Path(speechtl.__file__).resolve().parent
PLACES = (_PACKAGE / "manifests", _PACKAGE.parent / "data_manifests")


def manifest_path(name: str) -> Path:
    """The path of a manifest, whether or not it is there."""
    paths = [place / f"{name}.jsonl" for place in PLACES]
    return next((path for path in paths if path.is_file()), paths[-1])
