"""The output layer of a bundle's graphs, and what that of the float graph sees.

The output layer is float in every graph, int8 ones included, so its weights are the same bytes in all of them: an adapted bundle
is the old one with these bytes replaced.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.adapt.layer import Layer
from speechtl.errors import BundleError, CheckFailedError, MissingExtraError
from speechtl.export.bundle import ONNX, ONNX_INT8
from speechtl.progress import say
from speechtl.runtime.bundle.archive import write_bundle
from speechtl.runtime.bundle.wake_word import GOLDEN, Bundle, open_bundle
from speechtl.runtime.detector import Scorer
from speechtl.runtime.engine.session import OUTPUT
from speechtl.runtime.parity import verify
from speechtl.runtime.samples import Doubles, Floats, from_int16

PRODUCTS = ("Conv", "Gemm", "MatMul")
READ = (ONNX, ONNX_INT8)  # graphs that show what the output layer sees, the one to prefer first


@dataclass(frozen=True)
class Output:
    """The output layer of a word in a graph, which it may share with other words: each has a row of weights."""

    graph: str
    layer: Layer
    rows: Doubles  # `(words, size)`
    place: int  # of the word's row
    own: npt.NDArray[np.intp]  # the places of the layer's weights in that row: at all others it is 0
    shown: bytes  # the graph with what the layer sees as its output

    def with_layer(self, layer: Layer) -> Doubles:
        """The rows with the weights of another layer."""
        rows = self.rows.copy()
        rows[self.place, self.own] = layer.weights
        return rows


class GraphFeatures:
    """An engine that gives what the output layer of a bundle's first word in use sees, in place of scores."""

    def __init__(self, bundle: Bundle) -> None:
        from speechtl.runtime.engine.onnx import OnnxSession

        self._bundle = bundle
        self.output = opened_graph(bundle)
        self.size = len(self.output.own)
        self._session = OnnxSession(self.output.shown)
        self._session.bind(bundle.states)
        self.run(np.full((bundle.silent_steps * bundle.frames_per_step, bundle.features.bands), bundle.features.silence, np.float32))
        self._silent = self._session.save()

    def reset(self) -> None:
        """Begin a new stream, preceded by silence."""
        self._session.load(self._silent)

    def run(self, frames: Floats) -> Floats:
        """Features `(steps, size)` of the next frames `(steps * frames_per_step, bands)`."""
        length = self._bundle.frames_per_step
        rows = np.empty((len(frames) // length, self.size), np.float32)
        for step in range(len(rows)):
            rows[step] = self._session.step(frames[step * length : (step + 1) * length]).reshape(-1)[self.output.own]
        return rows


def features_of_bundle(bundle: Bundle) -> tuple[Output, Scorer]:
    """The output layer of a bundle's first word in use, and a scorer whose scores are the features that it sees."""
    engine = GraphFeatures(bundle)
    return engine.output, Scorer(bundle.features, bundle.frames_per_step, engine, engine.size)


def opened_graph(bundle: Bundle) -> Output:
    """The output layer of a bundle's first word in use, in its float graph, or in the int8 one where that is not there."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingExtraError("Adapting a bundle", "train") from error
    name = next((graph for graph in READ if graph in bundle.graphs), None)
    if name is None:
        raise BundleError(f"{bundle.path} has no {ONNX}, which is needed to adapt it; adapt its run, or export that again with {ONNX}.")
    model = onnx.load_from_string(bundle.files[name])
    node = _output_node(model.graph, bundle, name)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name in node.input}
    rows = constants[node.input[1]].astype(np.float64)
    rows = rows.reshape(len(rows), -1)
    place = bundle.words[0].column if len(rows) > 1 else 0
    bias = float(constants[node.input[2]].reshape(len(rows), -1)[place].sum()) if len(node.input) > 2 else 0.0
    own = np.flatnonzero(rows[place]) if len(rows) > 1 else np.arange(rows.shape[1])
    _show(model.graph, node.input[0], rows.shape[1])
    return Output(name, Layer(rows[place, own], bias), rows, place, own, model.SerializeToString())


def _output_node(graph: Any, bundle: Bundle, name: str) -> Any:
    """The last product of a graph: its output layer, with constant weights, a row for each word."""
    producer = {name: node for node in graph.node for name in node.output}
    value, rows = OUTPUT, bundle.columns
    while (node := producer.get(value)) is not None and node.op_type not in PRODUCTS:
        apart = node.op_type == "Concat" and len(node.input) == rows  # heads of several kinds, one after the other
        value, rows = (node.input[bundle.words[0].column], 1) if apart else (node.input[0], rows)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    known = node is not None and len(node.input) > 1 and node.input[1] in constants
    if node is None or not known or constants[node.input[1]].dims[0] != rows:
        raise BundleError(f"{bundle.path}: the output layer of {name} is of a kind that cannot be adapted; adapt its run.")
    return node


def _show(graph: Any, name: str, size: int) -> None:
    """Make a tensor the output of a graph in place of the score."""
    from onnx import TensorProto, helper

    for node in graph.node:
        node.input[:] = [_renamed(given, name) for given in node.input]
        node.output[:] = [_renamed(given, name) for given in node.output]
    place = next(index for index, value in enumerate(graph.output) if value.name == OUTPUT)
    graph.output[place].CopyFrom(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, size, 1, 1]))


def _renamed(given: str, shown: str) -> str:
    return {shown: OUTPUT, OUTPUT: f"{OUTPUT}_before"}.get(given, given)


def rewritten(bundle: Bundle, old: Output, new: Layer, about: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Description and files of a bundle with another output layer of a word in all graphs, and `about` changed.

    A graph in which the old layer is not found as it is in the one that was read is left out. Raises `CheckFailedError` where a graph
    does not give the scores of the float one.
    """
    files = dict(bundle.files)
    before, after = (rows.astype("<f4").tobytes() for rows in (old.rows, old.with_layer(new)))
    for name in bundle.graphs:
        if files[name].count(before) == 1:
            files[name] = files[name].replace(before, after)
        elif name == old.graph:
            raise BundleError(f"{bundle.path}: the output layer of {name} is not stored as it is; adapt its run.")
        else:
            del files[name]
            say(f"{name} is left out: its output layer is stored in another form. Adapt the run to have it.")
    graphs = {name: entry for name, entry in bundle.about["graphs"].items() if name in files}
    kept = {key: value for key, value in bundle.about.items() if key not in ("schema", "files")}
    description = {**kept, **about, "graphs": graphs, "parity": []}
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / bundle.path.name
        if GOLDEN in files and ONNX not in files:
            del files[GOLDEN]  # what the float graph would score now is not known
        if GOLDEN in files:
            write_bundle(trial, description, files)
            files[GOLDEN] = _golden(_opened(trial))
            write_bundle(trial, description, files)
            description["parity"] = _checked(_opened(trial))
    return description, files


def _opened(path: Path) -> Bundle:
    return replace(open_bundle(path), made_here=True)


def _golden(bundle: Bundle) -> bytes:
    """The golden audio with the scores of the float graph."""
    golden = bundle.golden()
    scores = Scorer.of(bundle, ONNX).feed(from_int16(golden["audio"]))
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **{**golden, "scores": scores})
    return file.getvalue()


def _checked(bundle: Bundle) -> list[dict[str, Any]]:
    """The parity of every graph with the float one."""
    results = verify(bundle)
    for result in results:
        if not result.ok:
            raise CheckFailedError(
                f"{result.graph} in {result.engine} differs from {ONNX} by {result.largest_difference:.2g} after adapting, where "
                f"{result.tolerance:.2g} is allowed; nothing was written. Adapt the run, and export it."
            )
    return [result.to_json() for result in results]
