"""Files and folders written whole or not at all (to a temporary name, then renamed), locks, JSON and CSV files, the cache folder."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from speechtl.errors import DiskFullError, SpeechtlError
from speechtl.text import dumps

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:
    msvcrt = None  # type: ignore[assignment]

FULL = (errno.ENOSPC, errno.EDQUOT)
HASHED_BYTES = 1 << 20  # read at a time
LEAST_ROOM = 1_000_000  # bytes that any output may take
LOCKED_BYTE = 1 << 20  # after the text in a lock file, because Windows does not let others read a locked part


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """A temporary path to write a file to; the file replaces `target` when the block ends without an error."""
    _check_file(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(target)
    try:
        yield beside
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def check_place(target: Path, needed: int = 0) -> None:
    """Raise `SpeechtlError` where a file of `needed` bytes cannot be written; leave nothing behind. Call it before the work."""
    _check_file(target)
    above = _nearest(target.absolute().parent)
    _try_to_write(target, above / _beside(target).name if above == target.absolute().parent else _beside(above / "new"), needed)


def check_folder(target: Path, needed: int = 0) -> None:
    """Raise `SpeechtlError` where a folder of `needed` bytes cannot be made or written to; leave nothing behind."""
    if target.exists() and not target.is_dir():
        raise SpeechtlError(f"{target} is a file; give a folder, or the name of a new one.")
    _try_to_write(target, _beside(_nearest(target.absolute()) / "new"), needed)


def check_room(target: Path, needed: int) -> None:
    """Raise `DiskFullError` where the disk of `target` has no room for `needed` bytes."""
    above = _nearest(target.absolute())
    free = shutil.disk_usage(above).free
    if free < max(needed, LEAST_ROOM):
        raise DiskFullError(
            f"{target} needs up to {in_megabytes(max(needed, LEAST_ROOM))}, and {above} has {in_megabytes(free)} left; "
            "free some space, or choose another disk."
        )


def in_megabytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def size_of(path: Path) -> int:
    """Size in bytes of a file, or of all files in a folder; 0 where there is nothing."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _check_file(target: Path) -> None:
    if target.is_dir():
        raise SpeechtlError(f"{target} is a folder; give the name of a file.")
    if target.exists() and not target.is_file():
        raise SpeechtlError(f"{target} is a device or a pipe, which a file would replace; give the name of a file.")


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _try_to_write(target: Path, probe: Path, needed: int) -> None:
    """Create a file and remove it; permissions alone do not show read-only disks, or what root may not do."""
    above = probe.parent
    if not above.is_dir():
        raise SpeechtlError(f"{target} cannot be written: {above} is not a folder.")
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        probe.unlink()
    except OSError as error:
        kind = DiskFullError if error.errno in FULL else SpeechtlError
        raise kind(f"{target} cannot be written: {_why_not(error, above)}.") from error
    check_room(target, needed)


def _why_not(error: OSError, folder: Path) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"you have no permission to write to {folder}"
    if error.errno == errno.EROFS:
        return f"{folder} is on a read-only disk"
    if error.errno in FULL:
        return f"the disk of {folder} is full"
    if error.errno == errno.ENAMETOOLONG:
        return "its name is too long"
    return f"files cannot be created in {folder} ({error.strerror or error})"


@contextmanager
def locked(lock: Path, busy: str, instead: str) -> Iterator[None]:
    """Hold a lock until the block ends or this process exits, so that no other process does the same work.

    Raises `SpeechtlError` that begins with `busy`, names the process that holds the file `lock`, and tells what to do `instead`.
    """
    import socket  # imported here because devices do not need it

    lock = lock.absolute()
    made = [folder for folder in lock.parents if not folder.exists()]
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = None if lock in _held else _open_locked(lock)
    if file is None:
        raise SpeechtlError(f"{busy}: {_holder(lock)}. Wait for it, end it, or {instead}.")
    _held.add(lock)
    try:
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        yield
    finally:
        with suppress(OSError):  # Windows cannot remove an open file; an empty lock file does no harm
            lock.unlink()
            for folder in made:  # empty ones only
                folder.rmdir()
        file.close()
        _held.discard(lock)


_held: set[Path] = set()  # locks of this process: those of the system are between processes


def _open_locked(lock: Path) -> TextIO | None:
    """The opened and locked file; None where another process holds it."""
    while True:
        file = lock.open("a+", encoding="utf-8")
        if not _take(file):
            file.close()
            return None
        if lock.exists() and os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            file.truncate(0)
            return file
        file.close()  # its last holder has just removed it


def _take(file: TextIO) -> bool:
    if fcntl is not None:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not inherited by processes that this one forks
        except OSError as error:
            # Network disks without locks protect nothing.
            return error.errno not in (errno.EACCES, errno.EAGAIN)
    elif msvcrt is not None:
        file.seek(LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
    return True


def _holder(lock: Path) -> str:
    """The process that holds a lock, as it described itself in the file."""
    if lock in _held:
        return f"process {os.getpid()}, which is this one"
    try:
        return lock.read_text(encoding="utf-8", errors="replace") or "a process that has just begun"
    except OSError:
        return "a process that has just ended"


def write_text(target: Path, text: str) -> None:
    """Write a text file, whole or not at all; bytes of file names that are not characters are escaped as in JSON."""
    with writing(target) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(target: Path, value: Any) -> None:
    """Write a JSON document, whole or not at all."""
    write_text(target, dumps(value, indent=2) + "\n")


def read_json(path: Path, error: type[SpeechtlError] = SpeechtlError) -> Any:
    """The document of a JSON file; raises `error` where it is not JSON, is nested too deeply, or has integers beyond 64 bits."""
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is damaged: it is not JSON that can be read ({problem}).") from problem


def parse_json(text: str | bytes) -> Any:
    """The document of a JSON text; raises `ValueError` or `RecursionError`."""
    return json.loads(text, parse_int=_whole)


def _whole(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**64:
        raise ValueError(f"the number {text[:20]}... is too large")
    return number


def sha256_of(content: Path | bytes) -> str:
    """SHA-256 of a file or of bytes, in hexadecimal."""
    import hashlib  # imported here because it loads OpenSSL, 4 MB of a detector's memory

    digest = hashlib.sha256()
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as file:
            while block := file.read(HASHED_BYTES):
                digest.update(block)
    return digest.hexdigest()


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a CSV table; on an error the table stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, [*read_rows(path), row])


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV table by column name; none where there is no table yet."""
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise SpeechtlError(
            f"{path} is damaged: it is not a CSV table that can be read ({error}). Move it away to begin a new one."
        ) from error


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV table, whole or not at all; the first line names its columns."""
    with writing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def replace_folder(source: Path, target: Path) -> None:
    """Rename a finished folder to its final name; an older folder of that name is removed afterwards."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def cache_folder() -> Path:
    """The cache folder: $SPEECHTL_CACHE, else $XDG_CACHE_HOME/speechtl, else ~/.cache/speechtl."""
    if own := os.environ.get("SPEECHTL_CACHE"):
        return at_home(Path(own))
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "speechtl"
    try:
        return Path.home() / ".cache" / "speechtl"
    except RuntimeError as error:
        raise SpeechtlError(
            "There is no home folder for the cache (HOME is not set, and the system does not know this user); "
            "set SPEECHTL_CACHE to a folder, as in: SPEECHTL_CACHE=/data/speechtl"
        ) from error


def cache_if_any() -> Path | None:
    """The cache folder, or None where there is no home folder and SPEECHTL_CACHE is not set."""
    try:
        return cache_folder()
    except SpeechtlError:
        return None


def expanded(path: str) -> str:
    """A path with `~` or `~NAME` at its start replaced by that home folder, as in shells; unchanged where there is none."""
    return os.path.expanduser(path)  # noqa: PTH111  # pathlib raises an error for an unknown home


def at_home(path: Path | str, base: Path = Path()) -> Path:
    """An `expanded` path, relative to `base`; raises `SpeechtlError` where it needs a home folder and there is none."""
    found = expanded(str(path))
    if found == "~" or found.startswith("~/"):
        raise SpeechtlError(f"{path} cannot be found, because there is no home folder (HOME is not set); write the whole path.")
    return base / found
