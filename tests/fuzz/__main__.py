"""Damaged files for every reader: each may only be read, or refused with a sentence (`SpeechtlError`, `OSError`).

    python -m tests.fuzz --inputs 100000
    python -m tests.fuzz --target bench-report --seed 7 --only 1234

The second line repeats one input, as a failure names it. A traceback, more than 5 s or more than 200 MB is a failure. All
targets run in one child process, so that a crash of native code is one failure like the others, after which the next input follows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.fuzz.guard import MEGABYTES, TooSlowError, bound_process, limited
from tests.fuzz.targets import NAMES, Skipped, Target, make_target

ROOT = Path(__file__).parents[2]
MEMORY = "/dev/shm"  # every input is written to a file, which a disk makes slow
SHOWN = 40  # failures of one target
DONE_WITH_FAILURES = 3  # exit code of the child; any other than this and 0 is its death


def main(argv: list[str] | None = None) -> int:
    """Run the targets; 1 where an input failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000, help="of each target")
    parser.add_argument("--target", action="append", choices=NAMES, help="may be repeated; by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run this input alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the last input there")
    parser.add_argument("--in-child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.in_child:
        return _in_child(given)
    numbers = (0, given.inputs) if given.only is None else (given.only, given.only + 1)
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        failed = _in_children(given, given.target or NAMES, numbers, Path(folder) if given.keep is None else given.keep)
    return 1 if failed else 0


def _in_children(given: argparse.Namespace, names: list[str], numbers: tuple[int, int], folder: Path) -> bool:
    """Run a child until all targets are done; one that dies is a failure of the input that it was at."""
    failed = False
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    first = numbers[0]
    while names:
        command = [sys.executable, "-m", "tests.fuzz", "--in-child", str(folder), "--seed", str(given.seed)]
        command += ["--inputs", str(numbers[1]), "--only", str(first)]
        with (folder / "stderr").open("wb") as stderr:  # libraries in C write there whatever they think of an input
            targets = [part for name in names for part in ("--target", name)]
            ended = subprocess.run([*command, *targets], check=False, stderr=stderr, cwd=ROOT).returncode
        if ended in (0, DONE_WITH_FAILURES):
            return failed or ended != 0
        failed = True
        print((folder / "stderr").read_text(errors="replace")[-2000:])
        if not (folder / "at").exists():
            print(f"The child process ended with {ended} before the first input.")
            return True
        name, number = (folder / "at").read_text().split()
        (folder / "at").unlink()
        print(f"FAILED {name}: the process died ({ended}). Again: {_again(name, given.seed, int(number))}", flush=True)
        names = names[names.index(name) :]
        first = int(number) + 1
        if first >= numbers[1]:
            names, first = names[1:], numbers[0]
    return failed


def _in_child(given: argparse.Namespace) -> int:
    failed = False
    first = given.only
    for name in given.target:
        try:
            target = make_target(name, given.in_child)
        except Skipped as reason:
            print(f"{name}: skipped, {reason}", flush=True)
            continue
        bound_process()
        with suppress(target.allowed):
            target.read(target.write(target.valid))  # what is loaded with the first file counts for no input
        started = time.monotonic()
        failures = [number for number in range(first, given.inputs) if not _passes(target, given.seed, number, given.in_child)]
        print(f"{name}: {given.inputs - first} inputs, {len(failures)} failed, {time.monotonic() - started:.1f} s", flush=True)
        failed |= bool(failures)
        first = 0 if given.inputs - given.only > 1 else first
    return DONE_WITH_FAILURES if failed else 0


def _passes(target: Target, seed: int, number: int, folder: Path) -> bool:
    (folder / "at").write_text(f"{target.name} {number}")
    path = target.write(target.mutate(Random(f"{target.name} {seed} {number}")))
    problem = ""
    try:
        with limited() as taken:
            target.read(path)
    except target.allowed:
        pass
    except TooSlowError:
        problem = "too slow:\n" + traceback.format_exc(limit=-4)
    except Exception:  # noqa: BLE001 (whatever it is, it is what is looked for)
        problem = "\n" + traceback.format_exc(limit=-4)
    if not problem and (megabytes := taken()) > MEGABYTES:
        problem = f"it took {megabytes:.0f} MB"
    if problem:
        target.failures += 1
        if target.failures <= SHOWN:
            print(f"FAILED {target.name}: {problem}\n  Again: {_again(target.name, seed, number)}", flush=True)
    return not problem


def _again(name: str, seed: int, number: int) -> str:
    return f"python -m tests.fuzz --target {name} --seed {seed} --only {number}"


if __name__ == "__main__":
    sys.exit(main())
