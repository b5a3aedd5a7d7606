"""The bundle before an adaptation, kept beside the new one."""

from __future__ import annotations

import shutil
from pathlib import Path

from speechtl.errors import BundleError
from speechtl.files import writing

ENDING = ".previous"  # no *.wake, so that services that watch a folder do not open it


def previous(bundle: Path) -> Path:
    """The place of the bundle before this one."""
    return bundle.with_name(bundle.name + ENDING)


def keep(bundle: Path) -> None:
    """Keep a copy of a bundle that is about to be replaced, if there is one."""
    if bundle.is_file():
        with writing(previous(bundle)) as beside:
            shutil.copyfile(bundle, beside)


def undo(bundle: Path) -> Path:
    """Put the previous bundle in place of this one, which becomes the previous; return where that is.

    Raises `BundleError` where no previous one was kept.
    """
    before = previous(bundle)
    if not before.is_file():
        raise BundleError(f"There is no {before}: nothing was kept to go back to. Adapt with --keep-previous to have it.")
    if not bundle.is_file():
        before.replace(bundle)
        return before
    with writing(before) as beside:
        shutil.copyfile(bundle, beside)
        before.replace(bundle)  # at no moment is there no bundle
    return before
