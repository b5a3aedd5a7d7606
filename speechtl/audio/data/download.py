"""Fetch the recordings that manifests name into the cache: resumable, checked by hash, a few at a time."""

from __future__ import annotations

import errno
import http.client
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from speechtl import __version__
from speechtl.audio.data.manifest import Clip, PathLike, cache_path, read_manifests
from speechtl.errors import CheckFailedError, SpeechtlError
from speechtl.files import cache_folder, sha256_of
from speechtl.progress import Advance

BLOCK_BYTES = 1 << 16
TIMEOUT = 30.0  # seconds without a byte
LONGEST_WAIT = 60.0  # seconds between two attempts, also when the server asks for more
_FULL = (errno.ENOSPC, errno.EDQUOT)
_AGAIN = (408, 425, 429, 500, 502, 503, 504)  # HTTP status codes to retry


@dataclass(frozen=True)
class Pulled:
    """How many recordings were fetched, and how many were here already."""

    fetched: int
    present: int
    bytes: int


class _FailedError(Exception):
    """One recording cannot be fetched; `again` says whether to retry, `wait` after how many seconds."""

    def __init__(self, reason: str, again: bool = False, wait: float = 0.0) -> None:
        self.again, self.wait = again, wait
        super().__init__(reason)


def pull(
    paths: Iterable[PathLike],
    *,
    workers: int = 4,
    attempts: int = 4,
    backoff: float = 1.0,
    timeout: float = TIMEOUT,
    progress: Advance | None = None,
) -> Pulled:
    """Fetch every recording that is not on this machine yet, from its `url` into the cache.

    An interrupted download is resumed; a failing one is tried `attempts` times, `backoff` seconds apart and doubling.
    Raises `CheckFailedError` with all recordings that could not be fetched, `SpeechtlError` when the disk is full.
    """
    clips = read_manifests(paths)
    return pull_clips(clips, workers=workers, attempts=attempts, backoff=backoff, timeout=timeout, progress=progress)


def pull_clips(
    clips: Sequence[Clip],
    *,
    workers: int = 4,
    attempts: int = 4,
    backoff: float = 1.0,
    timeout: float = TIMEOUT,
    progress: Advance | None = None,
) -> Pulled:
    """Fetch the recordings of some clips, as `pull` does."""
    absent = [clip for clip in clips if clip.path is None]
    if absent:
        cache_folder()  # raises if there is no place for one
    wanted, failures = _targets(absent)
    stop = threading.Event()
    size = 0
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(_fetch, clip, target, attempts, backoff, timeout, stop): clip for target, clip in wanted.items()}
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                try:
                    size += job.result()
                except _FailedError as error:
                    failures.append((jobs[job], str(error)))
                if progress is not None:
                    progress(done, len(jobs))
        except BaseException:  # a full disk, or Ctrl-C: let the other downloads end too
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    if failures:
        raise _all_failures(failures, len(absent))
    return Pulled(len(wanted), len(clips) - len(absent), size)


def _targets(clips: Sequence[Clip]) -> tuple[dict[Path, Clip], list[tuple[Clip, str]]]:
    targets: dict[Path, Clip] = {}
    failures = []
    for clip in clips:
        target = cache_path(clip)
        if clip.url is None:
            failures.append((clip, "its line names no 'url', and the file is not on this machine."))
        elif urlsplit(clip.url).scheme not in ("http", "https"):
            failures.append((clip, f"only http and https are allowed, got {clip.url!r}."))
        elif target is None:
            failures.append((clip, "its line names no 'sha256' or 'source_sha256', so a download could not be checked."))
        else:
            targets.setdefault(target, clip)
    return targets, failures


def _fetch(clip: Clip, target: Path, attempts: int, backoff: float, timeout: float, stop: threading.Event) -> int:
    for attempt in range(1, attempts + 1):
        try:
            return _attempt(clip, target, timeout, stop)
        except _FailedError as error:
            if not error.again or attempt == attempts or stop.is_set():
                raise
            stop.wait(min(max(backoff * 2 ** (attempt - 1), error.wait), LONGEST_WAIT))
        except OSError as error:
            raise _disk_error(error) from error
    raise AssertionError("there is at least one attempt")


def _attempt(clip: Clip, target: Path, timeout: float, stop: threading.Event) -> int:
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.exists() else 0
    with _open(clip.url or "", have, timeout) as response:
        resumed = response is not None and response.status == 206
        if response is not None:
            _receive(response, part, have if resumed else 0, stop)
    if stop.is_set():
        raise _FailedError("the download was stopped.")
    _check(clip, part, again=have > 0)
    size = part.stat().st_size
    part.replace(target)
    return size


class _Nothing:
    """Replaces a response if the server has no bytes after those already downloaded."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https, and to nothing else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """The request for the new address; raises an error for one that is not http or https."""
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise _FailedError(f"{req.full_url} redirects to {newurl!r}; only http and https are allowed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_opener = urllib.request.build_opener(_HttpOnly)


def _open(url: str, have: int, timeout: float) -> http.client.HTTPResponse | _Nothing:
    headers = {"User-Agent": f"speechtl/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response: http.client.HTTPResponse = _opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            return _Nothing()
        after = error.headers.get("Retry-After") or ""
        raise _FailedError(
            f"{url} responds with {error.code} {error.reason}.", error.code in _AGAIN, float(after) if after.isdecimal() else 0.0
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise _FailedError(f"{url} cannot be reached: {reason}.", again=not isinstance(error, ValueError)) from error
    if response.status == 206 and not re.match(rf"bytes {have}-", response.headers.get("Content-Range") or ""):
        response.close()
        raise _FailedError(f"{url} sent a different part of the file than requested.")
    return response


def _receive(response: http.client.HTTPResponse, part: Path, start: int, stop: threading.Event) -> None:
    expected = response.headers.get("Content-Length")
    received = 0
    with part.open("ab" if start else "wb") as file:
        while not stop.is_set():
            try:
                block = response.read(BLOCK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise _FailedError(f"the connection to {response.url} broke off: {error}.", again=True) from error
            if not block:
                break
            file.write(block)
            received += len(block)
    if expected is not None and not stop.is_set() and received < int(expected):
        raise _FailedError(f"the connection to {response.url} broke off after {received} of {expected} bytes.", again=True)


def _check(clip: Clip, part: Path, again: bool) -> None:
    expected = [known for known in (clip.source_sha256, clip.sha256) if known]
    digest = sha256_of(part)
    if digest not in expected:
        part.unlink()
        raise _FailedError(f"{clip.url} is not the recording described: its SHA-256 is {digest}, expected {' or '.join(expected)}.", again)


def _disk_error(error: OSError) -> SpeechtlError:
    folder = cache_folder()
    if error.errno in _FULL:
        return SpeechtlError(
            f"The disk that holds {folder} is full. Free some space, or set SPEECHTL_CACHE to a folder on another disk,"
            " and give the same command again; it goes on where it stopped."
        )
    return SpeechtlError(f"{folder} cannot be written: {error.strerror}. Set SPEECHTL_CACHE to a folder that can.")


def _all_failures(failures: Sequence[tuple[Clip, str]], absent: int) -> CheckFailedError:
    lines = [
        f"{clip.where}: {clip.audio_filepath}: {reason}"
        for clip, reason in sorted(failures, key=lambda entry: (str(entry[0].manifest), entry[0].line))
    ]
    return CheckFailedError("\n".join([f"{len(failures)} of {absent} recordings could not be fetched:", *lines]))
