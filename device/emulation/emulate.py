"""python device/emulation/emulate.py NAME.wake [--machine arm64 armhf legacy] [--json FILE]
python device/emulation/emulate.py --machine arm64 --run -m speechtl bench NAME.wake

Prove a bundle on ARM without a Raspberry Pi: its `verify` and `detect` run under QEMU, with the real ARM wheels of the
runtimes, and are compared with this machine's. `arm64` has ONNX Runtime and LiteRT of this machine's versions, `armhf`
(32-bit) has tflite-runtime, and `legacy` is this machine with tflite-runtime and numpy 1.26 in an environment of its own, which armhf is
compared with. Given the same log-mel frames, int8 graphs must give identical scores (except for the last rounding of a float) and fp32
graphs the same within 1e-5. (tflite-runtime rounds int8 differently on every processor: it runs such a graph only where
`export/verify.py --certify` allowed it, within that tolerance.)
It also counts the instructions for 80 ms of audio on ARM, a figure that does not depend on the load of this machine.

Needs Debian 12 (or its packages qemu-user-static, and for counting qemu-user and gcc), half a gigabyte in the cache folder,
and, the first time, the mirrors that apt and pip are set to. Exit code 1 when something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from arm_root import CHECKOUT, HERE, SAME, Machine, command, machines, open_root, run
from packaging.requirements import Requirement

from speechtl.arguments import output_file
from speechtl.errors import CheckFailedError, SpeechtlError, reported
from speechtl.files import cache_folder, write_json
from speechtl.progress import say
from speechtl.runtime.bundle.wake_word import Bundle, Graph, open_bundle
from speechtl.runtime.engine.select import RUNTIMES
from speechtl.runtime.features import front_end
from speechtl.runtime.samples import SAMPLE_RATE, Floats
from speechtl.toml_files import read_toml
from speechtl.versions import versions

SCHEMA = 1
PROBE = HERE / "probe.py"
# Of a score, which lies between 0 and 1. One step of int8 anywhere is 1e-3 or more; the score itself is computed in float at the end.
TOLERANCES = {"fp32": 1e-5, "int8": 1e-6}
FRAMES_TOLERANCE = 1e-3  # of a log-mel value, where 10 dB are 1
SECONDS = 1800  # for one program under emulation
LEGACY_MACHINE = "armv7l"
LEGACY_PYTHON = "3.11"  # the last one that tflite-runtime has wheels for
BLOCKS = 50  # of 80 ms, between two marks of the probe
COMPARED_WITH = {"arm64": "this machine", "legacy": "", "armhf": "legacy"}


@dataclass(frozen=True)
class Result:
    """A graph in a runtime on a machine; the differences are None where there is nothing to compare with."""

    machine: str
    graph: str
    runtime: str
    parity: float  # the largest difference from the trained network's scores, by `verify`
    verified: bool
    events: int  # found by `detect` in the golden audio
    compared_with: str
    difference: float | None  # of scores, from that machine, given the same frames
    allowed: float
    frames_difference: float | None  # of log-mel frames, from that machine, given the same audio
    same_events: bool
    feature_instructions: int | None  # for 80 ms of audio
    graph_instructions: int | None

    @property
    def ok(self) -> bool:
        """True where the graph was verified and agrees with the other machine."""
        pairs = ((self.difference, self.allowed), (self.frames_difference, FRAMES_TOLERANCE))
        return self.verified and self.same_events and all(difference is None or difference <= allowed for difference, allowed in pairs)


class Side:
    """A machine that runs Python: this one, one in QEMU, or this one with older packages."""

    def __init__(self, name: str, python: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.python = list(python)
        self.environment = {**os.environ, **(environment or {}), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *arguments: object, may_fail: bool = False) -> str:
        """Run Python on that machine and return its output; with `may_fail` also for exit code 1."""
        done = subprocess.run(
            [*self.python, *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS, check=False, env=self.environment
        )
        if done.returncode and not (may_fail and done.returncode == 1):
            last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise SpeechtlError(f"Python on {self.name} failed with exit code {done.returncode}: {last}")
        return done.stdout

    def verify(self, bundle: Path) -> dict[tuple[str, str], dict[str, Any]]:
        """Results of `speechtl verify` for each graph and runtime."""
        said = json.loads(self.run("-m", "speechtl", "verify", bundle, "--json", may_fail=True))
        return {(parity["graph"], parity["engine"]): parity for parity in said}

    def detect(self, bundle: Path, recording: Path, graph: str, runtime: str) -> list[dict[str, Any]]:
        """Events of `speechtl detect`."""
        said = self.run("-m", "speechtl", "detect", bundle, recording, "--json", "--graph", graph, "--engine", runtime)
        return [json.loads(line) for line in said.splitlines()]

    def scores(self, bundle: Path, given: Path, out: Path) -> dict[str, Any]:
        """Arrays of the probe: scores of the given frames, and the frames that this machine computes."""
        self.run(PROBE, "scores", bundle, given, out)
        with np.load(out) as arrays:
            return {name: arrays[name] for name in arrays.files}


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the machines and print a table; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Prove a bundle on emulated ARM machines.", epilog=f"Example: {(__doc__ or '').splitlines()[0]}"
    )
    parser.add_argument("bundle", nargs="?", type=Path, metavar="NAME.wake")
    parser.add_argument("--machine", nargs="+", choices=list(COMPARED_WITH), default=list(COMPARED_WITH))
    parser.add_argument("--json", type=output_file, metavar="FILE", help="also write the results to this file")
    parser.add_argument("--no-count", action="store_true", help="do not count instructions")
    parser.add_argument("--run", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="run the machine's Python with these arguments instead")
    given = parser.parse_args(argv)
    if given.run is None and given.bundle is None:
        parser.error("give a bundle, or --run")
    return reported(lambda: _prove(given) if given.run is None else _run_there(given.machine, given.run))


def _prove(given: argparse.Namespace) -> None:
    results = compare(given.bundle, given.machine, count=not given.no_count)
    print(table(results))
    if given.json is not None:
        write_json(given.json, to_json(given.bundle, results))
    if not results or not all(result.ok for result in results):
        raise CheckFailedError(f"{given.bundle} does not give the same results on an emulated machine as on this one.")


def compare(path: Path, names: Sequence[str], count: bool = True) -> list[Result]:
    """Run the bundle on these machines and compare them; machines that are not in the cache are built."""
    path = path.absolute()
    bundle = open_bundle(path)
    found = machines(_versions())
    sides = {"this machine": Side("this machine", [sys.executable], {"PYTHONPATH": str(CHECKOUT)})}
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        _write_input(bundle, work)
        scores: dict[str, dict[str, Any]] = {}
        for name in dict.fromkeys([*(["legacy"] if "armhf" in names else []), *names]):
            sides[name] = _legacy() if name == "legacy" else Side(name, command(found[name], open_root(found[name]), []))
        for name in ("this machine", *(name for name in COMPARED_WITH if name in sides)):
            say(f"{name}: scores")
            scores[name] = sides[name].scores(path, work / "input.npz", work / f"{name}.npz")
        comparison = Comparison(bundle, work / "golden.wav", sides, scores)
        for name in (name for name in COMPARED_WITH if name in sides):
            results += comparison.results(name, _Counter(found[name], work) if count and name in found else None)
    return results


@dataclass(frozen=True)
class Comparison:
    """A bundle that is played to several machines: each machine's Python and its scores of the same frames, by the machine's name."""

    bundle: Bundle
    recording: Path
    sides: Mapping[str, Side]
    scores: Mapping[str, Mapping[str, Any]]

    def results(self, name: str, counter: _Counter | None) -> Iterator[Result]:
        """Every graph of the bundle on one machine, beside the machine that it is compared with."""
        side, other = self.sides[name], self.sides.get(COMPARED_WITH[name])
        say(f"{name}: verify")
        for (graph, runtime), parity in side.verify(self.bundle.path).items():
            say(f"{name}: {graph} in {runtime}")
            events = side.detect(self.bundle.path, self.recording, graph, runtime)
            difference, frames_difference, same_events = None, None, True
            if other is not None:
                difference, frames_difference = self._differences(name, other.name, graph, runtime)
                same_events = _same(events, other.detect(self.bundle.path, self.recording, graph, runtime))
            features, steps = counter.count(self.bundle.path, graph, runtime) if counter else (None, None)
            yield Result(
                machine=name,
                graph=graph,
                runtime=runtime,
                parity=parity["largest_difference"],
                verified=parity["ok"],
                events=len(events),
                compared_with=other.name if other else "",
                difference=difference,
                allowed=_allowed(self.bundle.graphs[graph], runtime),
                frames_difference=frames_difference,
                same_events=same_events,
                feature_instructions=features,
                graph_instructions=steps,
            )

    def _differences(self, name: str, other: str, graph: str, runtime: str) -> tuple[float, float]:
        """The largest differences of scores and of frames between two machines."""
        key = f"{graph}|{runtime}"
        if key not in self.scores[other]:
            raise SpeechtlError(f"{other} cannot run {graph}, so there is nothing to compare with. Install: pip install {runtime}")
        scores, frames = (_largest(self.scores[name][what], self.scores[other][what]) for what in (key, "frames"))
        return scores, frames


def _allowed(graph: Graph, runtime: str) -> float:
    """The allowed difference of a score: nearly none, or the tolerance of `verify` for a runtime that rounds differently everywhere."""
    rounds_alike = graph.precision in RUNTIMES[runtime].precisions
    return TOLERANCES.get(graph.precision, TOLERANCES["fp32"]) if rounds_alike or graph.tolerance is None else graph.tolerance


def _same(events: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> bool:
    """True for the same words at the same times; scores are compared elsewhere."""
    return [(event["name"], event["time"]) for event in events] == [(event["name"], event["time"]) for event in others]


def _largest(values: Floats, others: Floats) -> float:
    return float(np.abs(values.astype(np.float64) - others).max()) if values.shape == others.shape else float("inf")


class _Counter:
    """Counts instructions with a plugin of QEMU, which is compiled first."""

    def __init__(self, machine: Machine, work: Path) -> None:
        self._machine = machine
        self._work = work
        self._plugin = work / "count_instructions.so"
        run(["cc", "-shared", "-fPIC", "-O2", "-o", str(self._plugin), str(HERE / "count_instructions.c")], "cc", 60)

    def count(self, bundle: Path, graph: str, runtime: str) -> tuple[int, int]:
        """Instructions for 80 ms of audio: of the features and of the graph, including those of Python."""
        out = self._work / "count.txt"
        probe = [str(PROBE), "steps", str(bundle), str(self._work / "input.npz"), graph, runtime]
        arguments = command(self._machine, open_root(self._machine), probe, f"{self._plugin},out={out}")
        run(arguments, self._machine.qemu, SECONDS)
        marks = [int(line) for line in out.read_text().splitlines()]
        if len(marks) != 4:
            raise SpeechtlError(f"{self._machine.qemu} counted {len(marks)} marks where 4 were made; is it QEMU 7.2?")
        return round((marks[1] - marks[0]) / BLOCKS), round((marks[3] - marks[2]) / BLOCKS)


def _write_input(bundle: Bundle, work: Path) -> None:
    """Write the input of all machines: the bundle's golden audio, and its frames as this machine computes them."""
    audio = bundle.golden()["audio"]
    frames = front_end(bundle.features).compute(audio)
    whole = len(frames) // bundle.frames_per_step * bundle.frames_per_step
    np.savez(work / "input.npz", audio=audio, frames=frames[:whole])
    soundfile.write(work / "golden.wav", audio, SAMPLE_RATE, subtype="PCM_16")


def _legacy() -> Side:
    """This machine with tflite-runtime, in an environment that is cached."""
    folder = cache_folder() / "emulation" / "legacy"
    python = folder / "bin/python"
    if not (folder / "complete").is_file():
        say(f"Making the environment with tflite-runtime in {folder}; this is done once.")
        interpreter = sys.executable if sys.version.startswith(LEGACY_PYTHON) else f"python{LEGACY_PYTHON}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        run([interpreter, "-m", "venv", "--clear", str(folder)], interpreter, 120)
        run([str(python), "-m", "pip", "install", "-q", *base_requirements(LEGACY_MACHINE)], "pip", 1200)
        (folder / "complete").touch()
    return Side("legacy", [str(python)], {"PYTHONPATH": str(CHECKOUT)})


def base_requirements(platform_machine: str) -> list[str]:
    """The packages of a base install of speechtl on such a processor, as pip takes them."""
    project = read_toml(CHECKOUT / "pyproject.toml")["project"]
    listed = map(Requirement, project["dependencies"])
    return [
        f"{one.name}{one.specifier}" for one in listed if one.marker is None or one.marker.evaluate({"platform_machine": platform_machine})
    ]


def _run_there(names: Sequence[str], arguments: Sequence[str]) -> int:
    if len(names) != 1:
        raise SpeechtlError("--run needs one --machine, for example: --machine arm64 --run -m speechtl verify NAME.wake")
    if names[0] == "legacy":
        side = _legacy()
        return subprocess.run([*side.python, *arguments], env=side.environment, check=False).returncode
    machine = machines(_versions())[names[0]]
    return subprocess.run(command(machine, open_root(machine), arguments), check=False).returncode


def _versions() -> dict[str, str]:
    found = versions(SAME)
    for package in SAME:
        if package not in found:
            say(f"{package} is not installed on this machine, so it is left out on ARM, too.")
    return found


def table(results: Sequence[Result]) -> str:
    """A table of the results."""
    headings = ("machine", "graph", "runtime", "parity", "difference from", "allowed", "features", "graph", "verdict")
    lines = [headings, *(_row(result) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return f"{text}\nfeatures and graph: thousands of instructions for 80 ms of audio"


def _row(result: Result) -> tuple[str, ...]:
    difference = "-" if result.difference is None else f"{result.difference:.1e} {result.compared_with}"
    counts = ["-" if count is None else f"{count / 1000:.0f}" for count in (result.feature_instructions, result.graph_instructions)]
    verdict = "ok" if result.ok else "FAILED"
    return (result.machine, result.graph, result.runtime, f"{result.parity:.1e}", difference, f"{result.allowed:g}", *counts, verdict)


def to_json(path: Path, results: Sequence[Result]) -> dict[str, Any]:
    """The results as JSON."""
    return {
        "schema": SCHEMA,
        "bundle": path.name,
        "ok": all(result.ok for result in results),
        "results": [asdict(r) | {"ok": r.ok} for r in results],
    }


if __name__ == "__main__":
    sys.exit(main())
