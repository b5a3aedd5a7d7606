"""Python environments of their own, in the cache folder, for packages that do not go together with ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechtl.errors import SpeechtlError
from speechtl.files import cache_folder, replace_folder
from speechtl.progress import say


def environment(kind: str, name: str, what: str, installs: Iterable[Sequence[str]]) -> Path:
    """Return the Python of the environment `name` below the cache's folder `kind`, which is made when it is not there yet.

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
                raise SpeechtlError(f"{what} cannot be installed here: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}")
        replace_folder(beside, folder)
    return folder / "bin" / "python"
