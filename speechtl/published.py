"""Files that others publish, such as pretrained weights: in the cache, or downloaded once; always checked by their hash."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from speechtl.errors import WeightsError
from speechtl.files import cache_folder, writing


@dataclass(frozen=True)
class Published:
    """One published file; `sha256` may be the beginning of the hash where only that is published."""

    what: str  # "the published speech embedding"
    url: str
    sha256: str
    cached: str  # file name in the cache
    otherwise: str  # how to get it without a download, as the end of a sentence

    def find(self) -> Path:
        """Return the file from the cache, downloading it first where it is not there; raise `WeightsError`."""
        path = cache_folder() / "weights" / self.cached
        if not path.exists():
            self._download(path)
        return self.check(path)

    def check(self, path: Path) -> Path:
        """Return a file that is the published one; raise `WeightsError` for any other."""
        if not path.is_file():
            raise WeightsError(f"{path} is not a file; give {self.what} ({self.url}).")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
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
