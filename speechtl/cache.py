"""The cache folder: published files, downloaded once and checked by hash, and Python environments."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechtl.errors import SpeechtlError, WeightsError
from speechtl.files import cache_folder, replace_folder, sha256_of, writing
from speechtl.progress import say


@dataclass(frozen=True)
class Published:
    """A published file; `sha256` may be the beginning of the hash where only that is published."""

    what: str  # "the published speech embedding"
    url: str
    sha256: str
    cached: str  # file name in the cache
    otherwise: str  # how to get it without a download, the beginning of a sentence

    def find(self) -> Path:
        """The path of the file in the cache, downloaded first where it is missing; raises `WeightsError`."""
        path = cache_folder() / "weights" / self.cached
        if not path.exists():
            self._download(path)
        return self.check(path)

    def check(self, path: Path) -> Path:
        """The path of the published file; raises `WeightsError` for any other file."""
        if not path.is_file():
            raise WeightsError(f"{path} is not a file; give {self.what} ({self.url}).")
        digest = sha256_of(path)
        if not digest.startswith(self.sha256):
            raise WeightsError(
                f"{path} is not {self.what}: its SHA-256 is {digest}, expected {self.sha256}. Delete it, or give another file."
            )
        return path

    def _download(self, target: Path) -> None:
        try:
            with urllib.request.urlopen(self.url, timeout=30) as response:
                content = response.read()
        except (urllib.error.URLError, TimeoutError) as error:
            raise WeightsError(
                f"{self.what[0].upper()}{self.what[1:]} is not on this machine and could not be downloaded ({error}). "
                f"{self.otherwise}, or put the file of {self.url} at {target}."
            ) from error
        with writing(target) as beside:
            beside.write_bytes(content)
            self.check(beside)


def environment(kind: str, name: str, what: str, installs: Iterable[Sequence[str]]) -> Path:
    """The Python of the environment `name` in the folder `kind` of the cache; the environment is made when it is missing.

    Each of `installs` is what one call of pip install gets. Raises `SpeechtlError` with pip's reason when `what` cannot be installed.
    """
    folder = cache_folder() / kind / f"{name}-python{sys.version_info[0]}.{sys.version_info[1]}"
    if not folder.exists():
        say(f"Installing {what} into {folder} (once).")
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = folder.with_name(f".{folder.name}")
        commands = [[sys.executable, "-m", "venv", "--clear", str(beside)]]
        commands += [[str(beside / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages] for packages in installs]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                shutil.rmtree(beside, ignore_errors=True)
                lines = done.stderr.strip().splitlines() or ["pip failed"]
                reason = [line for line in lines if line.startswith("ERROR")] or lines
                raise SpeechtlError(f"{what} cannot be installed here: {reason[-1]}")
        replace_folder(beside, folder)
    return folder / "bin" / "python"
