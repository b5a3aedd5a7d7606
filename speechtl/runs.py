"""Where a training keeps its work in progress: beside the run that it will become, so that it can be gone on with."""

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

ABOUT = "run.json"  # the file that says of a folder that it is a finished run
GIVEN = "given.json"  # the file that says what a work was begun with


def is_run(path: Path) -> bool:
    """Say whether a path is a run's folder."""
    return (path / ABOUT).is_file()


def begun(out: Path) -> bool:
    """Say whether a training of a run that will stand in `out` was begun and not finished."""
    return _work(out).is_dir()


def no_run(path: Path, go_on: str) -> RunError:
    """Return what is wrong with a path that is no run; `go_on` says what to do where its training was not finished."""
    if begun(path):
        return RunError(f"{path} is no run yet: its training was not finished; {go_on}")
    if not path.exists():
        return RunError(f"{path} does not exist; give the folder of a run, as a training leaves it.")
    return RunError(f"{path} is no run: it has no {ABOUT}.")


@contextmanager
def training_folder(out: Path, *, resume: bool = False) -> Iterator[Path]:
    """Give the `working_folder` of a run, once it is sure that it can be written to, and keep other trainings out of it.

    Raises `SpeechtlError` that names the process where another training has it.
    """
    check_run_place(out)
    with alone(out):
        yield working_folder(out, resume=resume)


def check_run_place(out: Path) -> None:
    """Raise `SpeechtlError` before the work where no run can take the place of `out` in the end."""
    check_folder(out)
    check_folder(_work(out))
    if os.path.ismount(out):
        raise SpeechtlError(f"{out} is a disk or a volume, which no run can replace; give a folder in it: {out / 'run'}.")


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other processes from training into the same folder, until this one is done or ends in whatever way."""
    out = out.absolute()
    with locked(out.with_name(f".{out.name}.lock"), f"Another training into {out} is at work", "choose another --out"):
        yield


def working_folder(out: Path, *, resume: bool = False) -> Path:
    """Return `OUT.partial` for a run that will stand in `out`.

    Raises `RunError` where `out` is something else than a run, or where there is nothing to go on from.
    """
    if resume and is_run(out):
        raise RunError(f"{out} is already finished; there is nothing to resume.")
    if out.exists() and not is_run(out) and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} exists and is no run (it has no {ABOUT}); choose another --out.")
    if is_run(out):
        say(f"{out} holds a finished run, which stays until this training is done and is then replaced.")
    if resume and not begun(out):
        raise RunError(f"There is nothing to resume: {_work(out)} does not exist. Leave out --resume.")
    return _work(out)


def bind(work: Path, given: Any, *, resume: bool = False) -> None:
    """Begin the work, once all that it takes has been checked, and note what it belongs to (JSON); what an earlier run left is thrown away.

    With `resume` that stays, and `RunError` says where it was begun with something else.
    """
    if resume and not begun_with(work, given):
        raise RunError(f"{work} was begun with another recipe or other data; start again without --resume, or go back to the old ones.")
    if not resume and work.exists():
        say(f"Starting again: what an earlier run left in {work} is thrown away (--resume would go on from it).")
        shutil.rmtree(work)
    write_json(work / GIVEN, given)


def begun_with(work: Path, given: Any) -> bool:
    """Say whether what a work was begun with, where that is noted, is what is given now (JSON)."""
    note = work / GIVEN
    return not note.exists() or bool(read_json(note, RunError) == given)


def finish(work: Path, out: Path, save: Callable[[Path], None]) -> None:
    """Write a run into its working folder, move it to `out`, and remove what else was kept."""
    finished = work / "finished"
    shutil.rmtree(finished, ignore_errors=True)
    finished.mkdir()
    save(finished)
    replace_folder(finished, out)
    shutil.rmtree(work)


def _work(out: Path) -> Path:
    out = out.absolute()  # "." has no name
    return out.with_name(out.name + ".partial")
