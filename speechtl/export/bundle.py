"""Export runs as a bundle that contains the evidence of its own parity."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speechtl import __version__
from speechtl.adapt.memory import memory_file, pack, room
from speechtl.adapt.remember import SMALL, remember
from speechtl.audio.run import Run
from speechtl.errors import CheckFailedError, SpeechtlError
from speechtl.export.golden import golden as make_golden_file
from speechtl.export.how_to_run import how_to_run
from speechtl.export.int8 import calibration
from speechtl.export.int8.calibration import Accuracy, Check
from speechtl.export.int8.scales import ALL_LEVELS, FEW_LEVELS
from speechtl.export.onnx_graph import to_onnx
from speechtl.export.step import ExportStep, share_encoder
from speechtl.files import check_place, writing
from speechtl.progress import Advance, progress, say
from speechtl.runtime.bundle.archive import write_bundle
from speechtl.runtime.bundle.description import MAX_FILES
from speechtl.runtime.bundle.document import HASHES
from speechtl.runtime.bundle.wake_word import GOLDEN, Bundle, State, open_bundle
from speechtl.runtime.detector import Scorer
from speechtl.runtime.parity import TOLERANCE, Parity, verify
from speechtl.runtime.samples import Floats

ONNX, ONNX_INT8, TFLITE, TFLITE_INT8 = "model.onnx", "model.int8.onnx", "model.tflite", "model.int8.tflite"
# By preference of a device: the graph that takes the least CPU time first (see README).
ORDER = (TFLITE_INT8, TFLITE, ONNX_INT8, ONNX)
FORMATS = {
    ONNX: {"runtime": "onnx", "precision": "fp32", "layout": "NCHW"},
    ONNX_INT8: {"runtime": "onnx", "precision": "int8", "layout": "NHWC"},
    TFLITE: {"runtime": "tflite", "precision": "fp32", "layout": "NHWC"},
    TFLITE_INT8: {"runtime": "tflite", "precision": "int8", "layout": "NHWC"},
}
INT8 = (ONNX_INT8, TFLITE_INT8)
MOST_REMEMBERED = MAX_FILES - len(ORDER) - 1  # words of a bundle: each memory is a file beside the graphs and the golden audio
WORST_FIRST = ("no", "unclear", "yes")  # verdicts on commercial use
INT8_MARGIN = 2.0  # int8 rounds differently in other versions and on other processors: tflite-runtime differs 1.8 times as much as LiteRT
INT8_SLACK = 0.03  # of a score


@dataclass
class _Work:
    """The parts of a bundle as they are made."""

    runs: Sequence[Run]
    step: ExportStep
    materials: Mapping[str, calibration.Material] = field(default_factory=dict)
    graphs: dict[str, bytes] = field(default_factory=dict)
    accuracy: dict[str, list[Accuracy]] = field(default_factory=dict)
    golden: bytes = b""
    streams: Sequence[Floats] = ()  # log-mel frames on which int8's ranges are measured


def export_run(run: Run, out: Path, *, int8: bool = True, tflite: bool | None = None) -> dict[str, Any]:
    """Write one run as a bundle; see `graphs_for` and `export_runs`."""
    return export_runs([run], out, graphs_for([run], int8=int8, tflite=tflite))


def graphs_for(runs: Sequence[Run] = (), *, int8: bool = True, tflite: bool | None = None) -> list[str]:
    """Names of the graphs to export with and without int8 and TFLite; `tflite` None means TFLite if its converter is installed."""
    if reason := _only_onnx(runs):
        if tflite:
            raise SpeechtlError(f"{reason} Leave out --tflite.")
        if int8 or tflite is None:
            say(reason)
        return [ONNX]
    if tflite is None:
        tflite = importlib.util.find_spec("litert_torch") is not None
        if not tflite:
            say("TFLite graphs, the fastest on a device, are left out. Install their converter with: pip install 'speechtl[export]'")
    return [name for name in ORDER if (int8 or name not in INT8) and (tflite or FORMATS[name]["runtime"] != "tflite")]


@progress("exporting")
def export_runs(
    runs: Sequence[Run], out: Path, graphs: Collection[str] = ORDER, *, golden: bool = True, memory: bool = True
) -> dict[str, Any]:
    """Write one run, or several that share a frozen encoder, as a bundle to `out`, complete or not at all; return its `bundle.json`.

    With `memory` each word can be adapted when its run is gone.

    Raises `CheckFailedError` when an exported graph does not reproduce the network's scores, and `SpeechtlError` when runs cannot be
    joined, an operator cannot be converted, or the recordings for int8 calibration are missing.
    """
    check_place(out)
    check_joinable(runs)
    wanted = _checked_graphs(runs, graphs)
    with progress("exporting, stage") as advance:
        work = _make(runs, wanted, advance)
    files = {**{graph: work.graphs[graph] for graph in wanted}, GOLDEN: work.golden, **(_memory(runs) if memory else {})}
    about = _describe(work, runs[0].name if len(runs) == 1 else out.stem)
    about["graphs"] = _describe_graphs(work, about, files)
    results: list[Parity] = _trial(about, files, verify)
    for result in results:
        if not result.ok:
            raise CheckFailedError(
                f"{result.graph} in {result.engine} differs from the network by {result.largest_difference:.2g} where "
                f"{result.tolerance:.2g} is allowed; nothing was written."
            )
    about["parity"] = [result.to_json() for result in results]
    with writing(out) as beside:
        write_bundle(beside, about, {file: content for file, content in files.items() if golden or file != GOLDEN})
    return about


def _memory(runs: Sequence[Run]) -> dict[str, bytes]:
    """The memory of each run as a file of the bundle; none where its recordings are not on this machine, or many words share the room."""
    files: dict[str, bytes] = {}
    if len(runs) > MOST_REMEMBERED:
        say(f"A bundle of more than {MOST_REMEMBERED} words has no memory of them, so only their runs can be adapted later.")
        return files
    for run in runs:
        if run.network.encoder.in_windows:
            continue
        try:
            content = pack(remember(run, SMALL), room(len(runs)))
            files[memory_file(run.name, alone=len(runs) == 1)] = content
        except (SpeechtlError, ValueError) as error:
            say(f"The bundle has no memory of {run.name}, so only its run can be adapted later: {error}")
    return files


def check_joinable(runs: Sequence[Run]) -> None:
    """Raise `SpeechtlError` for runs that cannot share a graph: two of one name, or encoders that differ."""
    if not runs:
        raise SpeechtlError("Give at least one run to export.")
    names = [run.name for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SpeechtlError(f"Two of the runs are called {twice!r}; their events could not be distinguished. Give runs of different names.")
    if not share_encoder([run.network for run in runs]):
        trained = ", ".join(f"{run.name} on {run.network.encoder.info.name} with {run.about['policy']}" for run in runs)
        raise SpeechtlError(
            'The runs do not share an encoder: only runs with the same frozen encoder (policy = "head") can be joined. '
            f"Export each into a bundle of its own; these were trained: {trained}."
        )


def _checked_graphs(runs: Sequence[Run], graphs: Collection[str]) -> list[str]:
    """The graphs to export, in order of preference; raises `SpeechtlError` for those that are unknown or that the runs do not allow."""
    unknown = [graph for graph in graphs if graph not in ORDER]
    if unknown or not graphs:
        raise SpeechtlError(f"There is no graph {(unknown or ['(none)'])[0]!r} to export; choose from: {', '.join(ORDER)}.")
    if set(graphs) != {ONNX} and (reason := _only_onnx(runs)):
        raise SpeechtlError(f"{reason} Requested: {', '.join(graphs)}.")
    return [graph for graph in ORDER if graph in graphs]


def _only_onnx(runs: Sequence[Run]) -> str | None:
    """The reason why runs can only be exported to float ONNX, or None."""
    name = next((run.network.encoder.info.name for run in runs if run.network.encoder.in_windows), None)
    return (
        name
        and f"The encoder {name} computes a whole window at every step; such runs are exported as {ONNX} only, without int8 and TFLite."
    )


def _make(runs: Sequence[Run], graphs: Sequence[str], advance: Advance) -> _Work:
    """Make the graphs and the golden audio, stage by stage."""
    work = _Work(runs, ExportStep([run.network for run in runs]))
    int8 = any(graph in INT8 for graph in graphs)
    tflite = TFLITE in graphs or TFLITE_INT8 in graphs
    stage = _Stages(advance, 2 + tflite + 3 * int8)
    if int8:
        with stage.show("choosing recordings for int8"):
            work.materials = {run.name: calibration.choose(run) for run in runs}
            work.streams = [stream for material in work.materials.values() for stream in calibration.streams(material, work.step.features)]
    with stage.show("ONNX"):
        work.graphs[ONNX] = to_onnx(work.step)
    with stage.show("golden audio"):
        work.golden = make_golden_file([run.network for run in runs], [run.about["phrases"][0] for run in runs])
    if tflite:
        from speechtl.export.tflite_graph import to_tflite

        with stage.show("TFLite"):
            work.graphs[TFLITE] = to_tflite(work.step)
    if int8:
        with stage.show("int8"):
            _quantise(work, graphs)
        with stage.show("accuracy of int8"):
            _check_accuracy(work)
    return work


class _Stages:
    """Progress over the stages of an export."""

    def __init__(self, advance: Advance, total: int) -> None:
        self._advance, self._done, self._total = advance, 0, total
        advance(0, total)

    @contextmanager
    def show(self, name: str) -> Iterator[None]:
        """Show a stage as at work until the block ends."""
        with progress(f"exporting, {name} ({self._done + 1} of {self._total})"):
            yield
        self._done += 1
        self._advance(self._done, self._total)


def _quantise(work: _Work, graphs: Collection[str], levels: int = FEW_LEVELS) -> None:
    if ONNX_INT8 in graphs:
        from speechtl.export.int8.onnx import quantise_onnx

        work.graphs[ONNX_INT8] = quantise_onnx(work.graphs[ONNX], work.step.states(), work.streams, work.step.silent_steps, levels)
    if TFLITE_INT8 in graphs:
        from speechtl.export.int8.tflite import quantise_tflite

        work.graphs[TFLITE_INT8] = quantise_tflite(work.graphs[TFLITE], work.step.states(), work.streams, work.step.silent_steps, levels)


def _check_accuracy(work: _Work) -> None:
    """Compare each int8 graph with the float one; where few levels cost accuracy, quantise with all levels and keep the better graph."""
    _compare(work, [graph for graph in INT8 if graph in work.graphs])
    lossy = {graph: (work.graphs[graph], found) for graph, found in work.accuracy.items() if not all(result.ok for result in found)}
    if not lossy:
        return
    for graph in lossy:
        say(f"{graph} costs accuracy; trying finer steps of its weights, which makes it larger.")
    _quantise(work, lossy, ALL_LEVELS)
    _compare(work, lossy)
    for graph, (content, found) in lossy.items():
        if not all(result.ok for result in work.accuracy[graph]):
            work.graphs[graph], work.accuracy[graph] = content, found


def _compare(work: _Work, graphs: Collection[str]) -> None:
    """Measure the accuracy of int8 graphs against the float one, on recordings of the training."""
    files = {graph: work.graphs[graph] for graph in (ONNX, *graphs)}
    about = {**_describe(work, work.runs[0].name), "graphs": {graph: {**FORMATS[graph]} for graph in files}}

    def compare(bundle: Bundle) -> None:
        found: dict[str, list[Accuracy]] = {graph: [] for graph in graphs}
        for column, (word, material) in enumerate(zip(bundle.words, work.materials.values(), strict=True)):
            check = Check(word, column, *calibration.check_passages(material))
            fp32 = check.count(Scorer.of(bundle, ONNX))
            for graph in graphs:
                found[graph].append(check.compare(Scorer.of(bundle, graph), fp32))
        work.accuracy.update(found)

    _trial(about, files, compare)


def _describe_graphs(work: _Work, about: dict[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """Entries of `bundle.json` for each graph: format, tolerance of its scores, and whether it may run by default."""
    described: dict[str, dict[str, Any]] = {graph: {**FORMATS[graph]} for graph in files if graph in FORMATS}
    measured: list[Parity] = _trial({**about, "graphs": described}, files, verify) if set(described) & set(INT8) else []
    for graph, entry in described.items():
        found = [result.largest_difference for result in measured if result.graph == graph]
        entry["tolerance"] = TOLERANCE
        if graph not in INT8:
            continue
        entry["tolerance"] = round(max(found, default=0.0) * INT8_MARGIN + INT8_SLACK, 4)
        entry["accuracy"] = [result.to_json() for result in work.accuracy[graph]]
        lost = [str(result) for result in work.accuracy[graph] if not result.ok]
        if lost:
            entry["default"] = False
            say(f"{graph} costs accuracy, so it only runs when requested by name: {'; '.join(lost)}.")
    if not any(entry.get("default", True) for entry in described.values()):
        raise CheckFailedError(
            "int8 costs accuracy, and no float graph was requested that could run by default; nothing was written. "
            f"Add one of these: {TFLITE}, {ONNX}."
        )
    return described


def _trial(about: Mapping[str, Any], files: Mapping[str, bytes], use: Callable[[Bundle], Any]) -> Any:
    """Write a temporary bundle, open it as a device does, and call `use` on it."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.wake"
        write_bundle(trial, about, files)
        return use(replace(open_bundle(trial), made_here=True))


def _describe(work: _Work, name: str) -> dict[str, Any]:
    """The content of `bundle.json` without graphs and parity."""
    step, features = work.step, work.step.features
    return {
        "name": name,
        **_describe_words(work.runs),
        "made_by": f"speechtl {__version__}",
        "sample_rate": features.sample_rate,
        "features": features.to_json(),
        "chunk": {"frames": step.stride, "samples": step.stride * features.hop, "silent_steps": step.silent_steps},
        "states": [_state(state) for state in step.states()],
        "how_to_run": how_to_run(features),
        **({"calibration": calibration.describe(work.materials)} if work.materials else {}),
    }


def _describe_words(runs: Sequence[Run]) -> dict[str, Any]:
    """The part of `bundle.json` that comes from the runs; several runs are listed under `words`."""
    first = runs[0].about
    described: dict[str, Any] = {
        "phrases": [phrase for run in runs for phrase in run.about["phrases"]],
        "detector": runs[0].trigger.to_json(),
        "operating_points": first["operating_points"],
        "sensitivity": first.get("sensitivity"),
        "timing": first.get("timing"),
        "encoder": first["encoder"],
        "policy": first["policy"],
        "data": first["data"],
        "licence": first["licence"],
        "versions": first["versions"],
    }
    if len(runs) == 1:
        return described
    described["words"] = [
        {
            "name": run.name,
            "phrases": list(run.about["phrases"]),
            "detector": run.trigger.to_json(),
            "sensitivity": run.about.get("sensitivity"),
            "timing": run.about.get("timing"),
            "data": {key: value for key, value in run.about["data"].items() if key != HASHES},  # those of all words stand above
            **{key: run.about[key] for key in ("operating_points", "policy", "licence")},
        }
        for run in runs
    ]
    described["data"] = {HASHES: " ".join(sorted({one for run in runs for one in run.about["data"].get(HASHES, "").split()}))}
    verdicts = [run.about["licence"] for run in runs]
    described["licence"] = {
        "commercial": min((verdict["commercial"] for verdict in verdicts), key=WORST_FIRST.index),
        "reasons": [f"{run.name}: {reason}" for run in runs for reason in run.about["licence"]["reasons"]],
    }
    return described


def _state(state: State) -> dict[str, Any]:
    return {"name": state.name, "output": state.output, "shape": list(state.shape)}
