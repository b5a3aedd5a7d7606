"""A program that runs the commands of one training, one after the other, and notes what became of them.

    python -m speechtl.studio.work JOB.json

It outlives the studio, which only starts it. Interrupted (SIGINT to its process group), the running command ends as with Ctrl-C.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechtl.files import read_json, write_json


def main(arguments: Sequence[str]) -> int:
    """Run the commands of a job; the first one that fails ends it."""
    path = Path(arguments[0])
    signal.signal(signal.SIGINT, lambda *_: None)  # for the command alone; a handler is not inherited
    job: dict[str, Any] = read_json(path)
    for number, step in enumerate(job["steps"]):
        write_json(path, {**job, "step": number, "code": None})
        # The lock of the studio is inherited, so that it is held as long as anything runs.
        code = subprocess.run(step["command"], close_fds=False, check=False).returncode
        if code:
            break
    write_json(path, {**job, "step": number, "code": code})
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
