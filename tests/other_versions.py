"""The tests of what runs on a device, in other versions of Python.

    python tests/other_versions.py
    python tests/other_versions.py 3.13 --keep /tmp/versions

Every version gets an environment with the base install, the extras of a device, and what the tests need. Training packages
are not in it: the Python that runs this program makes the bundles, and tests that train are skipped. Interpreters come
from the search path or from pyenv; one that is not there is named, and the others go on.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.10", "3.12", "3.13", "3.14")
EXTRAS = "mic,vad,zeroconf,image,media"
TESTS = ("pytest", "pytest-xdist", "hypothesis", "filelock", "onnx", "librosa")  # librosa brings scipy


def main(argv: list[str] | None = None) -> int:
    """Run the tests in every version; 1 where any of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", help=f"by default {', '.join(VERSIONS)}")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the environments there, for the next run")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        work = (given.keep or Path(folder)).resolve()
        make_bundles(work / "made")
        return max([run_version(version, work) for version in given.versions or VERSIONS])


def make_bundles(folder: Path) -> None:
    """Make what the tests use and only training packages can make."""
    sys.path.insert(0, str(ROOT))
    from tests.conftest import BUNDLES, make_once

    folder.mkdir(parents=True, exist_ok=True)
    for name, make in BUNDLES.items():
        make_once(folder, name, make)


def run_version(version: str, work: Path) -> int:
    """Run the tests in one version and print how they ended; 1 where they failed."""
    interpreter = find_interpreter(version)
    if interpreter is None:
        print(f"Python {version}: not installed here. Get it with `pyenv install {version}` or from your system's packages.", flush=True)
        return 0
    python = work / version / "bin" / "python"
    if not python.exists():
        reason = install(interpreter, python)
        if reason:
            print(f"Python {version}: the packages cannot be installed: {reason}", flush=True)
            return 1
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", "-m", "not slow", "--tb", "short", "tests/runtime", "tests/bench"]
    environment = {**os.environ, "SPEECHTL_MADE": str(work / "made"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout)
    print(f"Python {version}: {(done.stdout.strip() or done.stderr.strip()).splitlines()[-1]}", flush=True)
    return min(done.returncode, 1)


def find_interpreter(version: str) -> str | None:
    """The interpreter of a version: of the search path, or of pyenv."""
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))]
    for path in filter(None, candidates):
        done = subprocess.run(
            [path, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True, text=True, check=False
        )
        if done.stdout.strip() == version:
            return path
    return None


def install(interpreter: str, python: Path) -> str:
    """Make an environment; the reason where that failed. LiteRT is left out where it has no wheel."""
    folder = python.parents[1]
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([interpreter, "-m", "venv", str(folder)], [*pip, f"{ROOT}[{EXTRAS}]", *TESTS]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder)
            return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    if subprocess.run([*pip, f"{ROOT}[tflite]"], capture_output=True, check=False).returncode:
        print(f"{folder.name}: without LiteRT, which has no wheel for it.", flush=True)
    return ""


if __name__ == "__main__":
    sys.exit(main())
