"""python .ci/release.py [--python COMMAND ...] [--demo] [--out dist]

The checklist of a release, which checks itself: a clean tree, one version everywhere, an sdist and a wheel of the files that git knows,
licences, dependencies for every Python, and, in a fresh environment of each --python (default: this one), the ready words and a
detection; with --demo also `speechtl demo`, in ten minutes more. Exit code 1 unless everything is ticked.

It takes the extra `dev`, and recordings: speechtl data pull data_manifests/wake_computer.jsonl
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import speechtl
from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.licences import judge
from speechtl.errors import CheckFailedError, SpeechtlError, reported
from speechtl.files import in_megabytes, sha256_of
from speechtl.text import counted, echo, first_few, json_lines
from speechtl.toml_files import read_toml

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
WORD, HEARD = "computer", 8  # recordings of the word, of which most must be detected
DEMO = "train,speech-embedding,synthesis"
Check = Callable[[], str]  # returns what it saw, or raises what is wrong


def main(argv: Sequence[str] | None = None) -> None:
    """Tick what is right; raise `CheckFailedError` where something is not."""
    options = _options(argv)
    with tempfile.TemporaryDirectory() as folder:
        checklist = Checklist()
        checklist.tick("tree", clean_tree)
        checklist.tick("version", one_version)
        checklist.tick("build", partial(build, options.out))
        sdist, wheel = (options.out / name for name in archives())
        checklist.tick("sdist", partial(sdist_contents, sdist))
        checklist.tick("wheel", partial(wheel_contents, wheel))
        checklist.tick("licences", partial(licences, wheel))
        for version in PYTHONS:
            checklist.tick(f"dependencies for Python {version}", partial(dependencies, wheel, version, Path(folder)))
        for number, python in enumerate(options.python):
            checklist.tick(f"installed with {python}", partial(installed, wheel, python, Path(folder) / str(number), options.demo))
    checklist.finish()
    echo(f"\nRelease it: git tag v{speechtl.__version__} && git push --tags && twine upload {sdist} {wheel}")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=[sys.executable], metavar="COMMAND", help="interpreters of fresh environments")
    parser.add_argument("--demo", action="store_true", help="also run `speechtl demo` in each")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the archives (default %(default)s)")
    return parser.parse_args(argv)


class Checklist:
    """Checks, each printed with a tick or with what is wrong."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def tick(self, name: str, check: Check) -> None:
        """Make a check."""
        try:
            seen = check()
        except (SpeechtlError, OSError) as error:
            self.failed.append(name)
            echo(f"[ ] {name}: {error}")
        else:
            echo(f"[x] {name}: {seen}")

    def finish(self) -> None:
        """Raise `CheckFailedError` where a check failed."""
        if self.failed:
            raise CheckFailedError(f"Not ready to be released: {', '.join(self.failed)}.")


def clean_tree(root: Path = ROOT) -> str:
    """The commit, which is all there is in the checkout."""
    _refuse(run("git", "status", "--porcelain", cwd=root).splitlines(), "Commit or remove what git does not know")
    return f"commit {run('git', 'rev-parse', '--short', 'HEAD', cwd=root)}"


def one_version(root: Path = ROOT, version: str = speechtl.__version__) -> str:
    """The version, which the changelog, the add-on and the tag agree on."""
    _refuse(_wrong_versions(root, version), f"This is speechtl {version}")
    return version


def _wrong_versions(root: Path, version: str) -> Iterator[str]:
    heading = next((line for line in _read(root / "CHANGELOG.md").splitlines() if line.startswith("## ")), "## nothing")
    if not re.fullmatch(rf"## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading):
        yield f"CHANGELOG.md begins with {heading[3:]!r}, where {version} and the date of the release are wanted"
    for file, pattern in (("config.yaml", r"^version: (.*)$"), ("Dockerfile", r"^ARG SPEECHTL_VERSION=(.*)$")):
        found = re.findall(pattern, _read(root / "device" / "home-assistant" / file), re.M)
        if found != [version]:
            yield f"device/home-assistant/{file} has version {', '.join(found) or 'none'}"
    tagged = run("git", "tag", "--list", f"v{version}", cwd=root)
    if tagged and run("git", "rev-list", "-n", "1", tagged, cwd=root) != run("git", "rev-parse", "HEAD", cwd=root):
        yield f"the tag {tagged} is at another commit"


def archives() -> tuple[str, str]:
    """The names of sdist and wheel."""
    return f"speechtl-{speechtl.__version__}.tar.gz", f"speechtl-{speechtl.__version__}-py3-none-any.whl"


def build(out: Path) -> str:
    """Build the sdist, and the wheel from it, so that each shows that the other is whole."""
    run(sys.executable, "-m", "build", "--outdir", str(out), str(ROOT))
    return "; ".join(f"{name}, {in_megabytes((out / name).stat().st_size)}, SHA-256 {sha256_of(out / name)}" for name in archives())


def sdist_contents(sdist: Path) -> str:
    """Every file that git knows, and no other."""
    with tarfile.open(sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    return _compare(found, {*tracked(), "PKG-INFO"})


def wheel_contents(wheel: Path) -> str:
    """Every file of the package, the manifests of the default negatives, the licence and the commands; and nothing else."""
    target = read_toml(ROOT / "pyproject.toml")["tool"]["hatch"]["build"]["targets"]["wheel"]
    about = {f"{_about(wheel)}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    package = {name for name in tracked() if name.startswith("speechtl/")}
    return _compare({*zipfile.ZipFile(wheel).namelist()}, {*package, *target["force-include"].values(), *about})


def _compare(found: set[str], wanted: set[str]) -> str:
    wrong = [f"{name} is missing" for name in sorted(wanted - found)] + [f"{name} does not belong there" for name in sorted(found - wanted)]
    _refuse(wrong, "Its contents are wrong")
    return counted(len(found), "file")


def licences(wheel: Path) -> str:
    """The licence of speechtl; cards that allow commercial use beside all weights; and licences of what manifests bring into training."""
    with zipfile.ZipFile(wheel) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith((".md", ".jsonl", "METADATA"))}
        weights = [name for name in archive.namelist() if name.endswith((".safetensors", ".wake"))]
    _refuse(_wrong_licences(texts, weights, f"{_about(wheel)}/METADATA"), "Licences are missing")
    return f"Apache-2.0; {len(weights)} files of weights with cards; recordings with their licences"


def _wrong_licences(texts: dict[str, str], weights: Sequence[str], metadata: str) -> Iterator[str]:
    if "\nLicense-Expression: Apache-2.0\n" not in texts[metadata]:
        yield "METADATA does not say Apache-2.0"
    for name in weights:
        cards = [
            card for card in texts if Path(card).parent == Path(name).parent and (name.endswith(".wake") or card == f"{name[:-12]}.md")
        ]
        if not cards:
            yield f"{name} has no card"
        yield from (f"{card} does not allow commercial use" for card in cards if not re.search(r"Commercial use: \**yes", texts[card]))
    for name in (name for name in texts if name.endswith(".jsonl")):
        trained_on = (clip for _, clip in json_lines(texts[name]) if clip.get("split") != "test")
        if wrong := sum(judge(clip.get("license"))[0] != "yes" for clip in trained_on):
            yield f"{name} has {counted(wrong, 'recording')} without a licence for commercial use"


def dependencies(wheel: Path, version: str, folder: Path) -> str:
    """The packages that pip would install, all as wheels."""
    only = ("--dry-run", "--only-binary", ":all:", "--python-version", version, "--target", str(folder / version))
    would = run(sys.executable, "-m", "pip", "install", *only, str(wheel)).splitlines()[-1]
    return f"{counted(len(would.removeprefix('Would install ').split()), 'package')}, all as wheels"


def installed(wheel: Path, python: str, folder: Path, demo: bool) -> str:
    """What the wheel does in an environment of its own: its ready words, and a detection."""
    run(python, "-m", "venv", str(folder))
    programs = folder / "bin"
    run(str(programs / "pip"), "install", "-q", str(wheel))
    command, recordings = str(programs / "speechtl"), [str(path) for path in word_recordings()]
    words = [line.split(":")[0] for line in run(command, "words", cwd=folder).splitlines()]
    found = run(command, "detect", WORD, *recordings, "--json", cwd=folder)
    heard = {event["file"] for _, event in json_lines(found)}
    if 2 * len(heard) <= len(recordings):
        raise CheckFailedError(f"Only {len(heard)} of {counted(len(recordings), 'recording')} of {WORD} were detected.")
    if demo:
        run(str(programs / "pip"), "install", "-q", f"{wheel}[{DEMO}]")
        run(command, "demo", cwd=folder)
    return f"{run(command, '--version', cwd=folder)}, {', '.join(words)}; {len(heard)} of {len(recordings)} detected" + ", demo" * demo


def word_recordings() -> list[Path]:
    """Recordings of the word that no training heard; raises `CheckFailedError` where none are on this machine."""
    manifest = ROOT / "data_manifests" / f"wake_{WORD}.jsonl"
    paths = [clip.path for clip in read_clips([manifest]) if clip.path is not None and clip.split == "test"]
    if not paths:
        raise CheckFailedError(f"No recording of {WORD} is on this machine; get them with: speechtl data pull {manifest}")
    return paths[:HEARD]


def tracked() -> set[str]:
    """The files that git knows."""
    return set(run("git", "ls-files", cwd=ROOT).splitlines())


def run(*command: str, cwd: Path = ROOT) -> str:
    """The output of a command, without this checkout's modules; raises `CheckFailedError` with its last words where it fails."""
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=alone, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise CheckFailedError(f"{Path(command[0]).name} {' '.join(command[1:4])} failed: {last}")
    return done.stdout.strip()


def _refuse(wrong: Iterable[str], what: str) -> None:
    """Raise `CheckFailedError` with what is wrong, if anything is."""
    if found := list(wrong):
        raise CheckFailedError("\n    ".join([f"{what}:", *first_few(found)]))


def _about(wheel: Path) -> str:
    return f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(reported(main))
