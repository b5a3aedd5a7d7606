"""Run folders, and the work in progress of a training beside them, from which it can be resumed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechtl.errors import RunError, SpeechtlError
from speechtl.files import check_folder, locked, read_json, replace_folder, write_json
from speechtl.progress import say

ABOUT = "run.json"  # makes a folder a finished run
GIVEN = "given.json"  # recipe and data with which the work was started


def is_run(path: Path) -> bool:
    """Whether a path is the folder of a run."""
    return (path / ABOUT).is_file()


def begun(out: Path) -> bool:
    """Whether a training into `out` was started and not finished."""
    return _work(out).is_dir()


def no_run(path: Path, go_on: str) -> RunError:
    """The error for a path that is not a run; `go_on` says how to resume an unfinished training."""
    if begun(path):
        return RunError(f"{path} is not a run yet: its training was not finished; {go_on}")
    if not path.exists():
        return RunError(f"{path} does not exist; give the folder of a run, which a training writes.")
    return RunError(f"{path} is not a run: it has no {ABOUT}.")


@contextmanager
def training_folder(out: Path, *, resume: bool = False) -> Iterator[Path]:
    """The `working_folder` of a run, checked to be writable, and locked against other trainings.

    Raises `SpeechtlError` that names the process of another training that has it.
    """
    check_run_place(out)
    with alone(out):
        yield working_folder(out, resume=resume)


def check_run_place(out: Path) -> None:
    """Raise `SpeechtlError` if no run can replace `out` at the end."""
    check_folder(out)
    check_folder(_work(out))
    if os.path.ismount(out):
        raise SpeechtlError(f"{out} is a disk or volume, which a run cannot replace; give a folder in it: {out / 'run'}.")


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Lock the folder against trainings of other processes, until the block or the process ends."""
    out = out.absolute()
    with locked(out.with_name(f".{out.name}.lock"), f"Another training into {out} is running", "choose another --out"):
        yield


def working_folder(out: Path, *, resume: bool = False) -> Path:
    """`OUT.partial`, for the work in progress of a run in `out`.

    Raises `RunError` if `out` is not a run, or if there is nothing to resume.
    """
    if resume and is_run(out) and not begun(out):
        raise RunError(f"{out} is already finished; there is nothing to resume.")
    if out.exists() and not is_run(out) and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} exists and is not a run (it has no {ABOUT}); choose another --out.")
    if is_run(out):
        say(f"{out} holds a finished run, which stays until this training is done and is then replaced.")
    if resume and not begun(out):
        raise RunError(f"There is nothing to resume: {_work(out)} does not exist. Leave out --resume.")
    return _work(out)


def bind(work: Path, given: Any, *, resume: bool = False) -> None:
    """Start the work, after all checks, and record the recipe and data it belongs to (JSON); work of an earlier run is deleted.

    With `resume` that work stays; raises `RunError` if it was started with another recipe or other data.
    """
    if resume and not begun_with(work, given):
        raise RunError(f"{work} was started with another recipe or other data; start again without --resume, or go back to the old ones.")
    if not resume and work.exists():
        say(f"Starting again: the unfinished work in {work} is deleted (--resume would continue it).")
        shutil.rmtree(work)
    write_json(work / GIVEN, given)


def begun_with(work: Path, given: Any) -> bool:
    """Whether the work was started with what is given now (JSON), as far as that is recorded."""
    recorded = work / GIVEN
    return not recorded.exists() or bool(read_json(recorded, RunError) == given)


def finish(work: Path, out: Path, save: Callable[[Path], None]) -> None:
    """Write a run into its working folder, move it to `out`, and delete the work in progress."""
    finished = work / "finished"
    shutil.rmtree(finished, ignore_errors=True)
    finished.mkdir()
    save(finished)
    replace_folder(finished, out)
    shutil.rmtree(work)


def _work(out: Path) -> Path:
    out = out.absolute()  # "." has no name
    return out.with_name(out.name + ".partial")
