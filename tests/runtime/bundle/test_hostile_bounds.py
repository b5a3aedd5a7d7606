"""What the worst bundles cost a command: one sentence, 5 seconds and 200 MB, each measured in a process of its own."""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest

from speechtl.errors import BundleError
from speechtl.runtime import parity as verify
from speechtl.runtime.bundle.pictures import open_picture_bundle
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine import trial
from speechtl.runtime.engine.pictures import PictureEngine
from speechtl.runtime.engine.select import open_engine
from speechtl.runtime.parity import verify_pictures

SECONDS = 5.0  # of processor time, for a whole command
MEGABYTES = 200.0
STEP = 1 << 20


# A process and its children; the peak of what a program had before it became another one counts for neither.
MEASURED = """
import atexit, resource, sys
from pathlib import Path
def tell():
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    print("TOOK", seconds, max(peak, children.ru_maxrss) / 1024, file=sys.stderr)
atexit.register(tell)
sys.argv[0] = "speechtl"
from speechtl.cli.app import main
main()
"""


def npy(shape, descr: str = "<i2") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def zip_of_zeros(name: bytes, head: bytes, zeros: int) -> bytes:
    """A zip of one file that begins with `head` and goes on with so many megabytes of zeros, made without packing them all."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    begin = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = begin + (packer.compress(bytes(STEP)) + packer.flush(zlib.Z_FULL_FLUSH)) * zeros + packer.flush()
    common = (8, 0, 0x21, 0, len(packed), len(head) + zeros * STEP, len(name), 0)
    local = struct.pack("<4s2H3H3I2H", b"PK\3\4", 20, 0, *common) + name + packed
    central = struct.pack("<4s3H3H3I2H3H2I", b"PK\1\2", 20, 20, 0, *common, 0, 0, 0, 0, 0) + name
    return local + central + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)


def npz(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def with_node(graph: bytes, kind: str, output: str, shape: list[int]) -> bytes:
    """A graph with one more node, whose mean times zero is added to an output; ConstantOfShape and RandomUniform fill a shape."""
    import onnx
    from onnx import helper

    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        node.output[:] = ["before" if name == output else name for name in node.output]
    if kind == "RandomUniform":
        model.graph.node.insert(0, helper.make_node(kind, [], ["many"], shape=shape))
    else:
        model.graph.initializer.append(helper.make_tensor("shape", onnx.TensorProto.INT64, [len(shape)], shape))
        model.graph.node.insert(0, helper.make_node(kind, ["shape"], ["many"]))
    model.graph.initializer.append(helper.make_tensor("nothing", onnx.TensorProto.FLOAT, [], [0.0]))
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["many"], ["one"], keepdims=0),
            helper.make_node("Mul", ["one", "nothing"], ["zero"]),
            helper.make_node("Add", ["before", "zero"], [output]),
        ]
    )
    return model.SerializeToString()


def zeros_of_240_megabytes(remake, tiny_bundle):
    path = remake()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(members.pop("bundle.json"))
    about["files"]["zeros"] = {"size": 240_000_000, "sha256": "0" * 64}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in {"bundle.json": json.dumps(about), **members, "zeros": bytes(240_000_000)}.items():
            archive.writestr(name, content)
    return path


def golden_of_2_gigabytes(remake, tiny_bundle):
    return remake(files={"golden.npz": zip_of_zeros(b"audio.npy", npy((STEP * 1000,)), 2000)})


def golden_of_2_gigabytes_that_announces_little(remake, tiny_bundle):
    return remake(files={"golden.npz": zip_of_zeros(b"audio.npy", npy((1000,)), 2000)})


def golden_of_a_terabyte(remake, tiny_bundle):
    return remake(files={"golden.npz": npz("audio", npy((10**12,)))})


def constant_of_40_gigabytes(remake, tiny_bundle):
    graph = open_bundle(tiny_bundle).files["model.onnx"]
    return remake(files={"model.onnx": with_node(graph, "ConstantOfShape", "score", [10**10])})


def numbers_of_1_gigabyte_at_each_step(remake, tiny_bundle):
    graph = open_bundle(tiny_bundle).files["model.onnx"]
    return remake(files={"model.onnx": with_node(graph, "RandomUniform", "score", [250_000_000])})


def words_100_000(remake, tiny_bundle):
    word = {"name": "a", "phrases": [], "detector": {}}
    return remake({"words": [{**word, "name": str(index)} for index in range(100_000)]})


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux tells what a process took at most")
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (zeros_of_240_megabytes, "larger than a bundle may be"),
        (golden_of_2_gigabytes, "audio must have 1 to 480000 values"),
        (golden_of_2_gigabytes_that_announces_little, "does not have the size that it announces"),
        (golden_of_a_terabyte, "audio must have 1 to 480000 values"),
        (constant_of_40_gigabytes, "model.onnx"),
        (numbers_of_1_gigabyte_at_each_step, "model.onnx"),
        (words_100_000, "it is larger than 2 MB"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_worst_bundles_are_refused_within_bounds(remake, tiny_bundle, tmp_path, make, sentence):
    path = make(remake, tiny_bundle)
    environment = {**os.environ, "SPEECHTL_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "500"}
    command = [sys.executable, "-c", MEASURED, "verify", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    said, _, took = done.stderr.rpartition("TOOK ")
    seconds, megabytes = map(float, took.split())
    assert done.returncode == 2, said
    assert "Traceback" not in said
    assert sentence in said
    assert seconds < SECONDS
    assert megabytes < MEGABYTES


def slow(bundle, remake, output: str) -> bytes:
    return remake(files={"model.onnx": with_node(bundle.files["model.onnx"], "RandomUniform", output, [3_000_000])})


def test_verify_stops_at_a_graph_that_is_slower_than_its_audio(tiny_bundle, remake, monkeypatch):
    monkeypatch.setattr(verify, "GRACE", 0.2)
    monkeypatch.setitem(verify.PACE, "log_mel", 0.01)
    with pytest.raises(BundleError, match=r"verifying model\.onnx in onnxruntime was stopped: it took more than \d+ s"):
        verify.verify(open_bundle(slow(open_bundle(tiny_bundle), remake, "score")))


@pytest.fixture
def slow_clock(monkeypatch):
    """A clock of the processor on which every look at it takes ten seconds."""
    clock = iter(range(0, 10**9, 10))
    monkeypatch.setattr(verify.time, "process_time", lambda: float(next(clock)))


@pytest.mark.slow
def test_verify_stops_at_slow_pictures(halves, slow_clock):
    with pytest.raises(BundleError, match="was stopped"):
        verify_pictures(open_picture_bundle(halves / "halves.wake"))


def test_a_graph_of_this_process_takes_its_time(tiny_bundle, halves, slow_clock):
    from dataclasses import replace

    assert verify.verify(replace(open_bundle(tiny_bundle), made_here=True))[0].ok
    assert verify_pictures(replace(open_picture_bundle(halves / "halves.wake"), made_here=True))[0].ok


def test_a_picture_graph_that_takes_too_much_memory_is_refused(halves, remake_halves, monkeypatch, tmp_path):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path))
    bundle = open_picture_bundle(halves / "halves.wake")
    name = bundle.graph("model.onnx")
    graph = with_node(bundle.files[name], "RandomUniform", "scores", [250_000_000])
    with pytest.raises(BundleError, match=r"model\.onnx"):
        PictureEngine(open_picture_bundle(remake_halves(files={name: graph})), name)


def test_golden_pictures_are_bounded(halves, remake_halves):
    path = remake_halves(files={"golden.npz": npz("pixels", npy((10**6, 3, 1024, 1024), "|u1"))})
    with pytest.raises(BundleError, match=r"pixels must have 0 to \d+ values"):
        open_picture_bundle(path).golden()


def test_scores_that_are_no_numbers_fail_for_any_picture(halves, remake_halves):
    pixels, scores = open_picture_bundle(halves / "halves.wake").golden()
    scores[1] = np.nan
    file = io.BytesIO()
    np.savez(file, pixels=pixels, scores=scores)
    assert not any(result.ok for result in verify_pictures(open_picture_bundle(remake_halves(files={"golden.npz": file.getvalue()}))))


@pytest.mark.slow
def test_a_slow_start_is_refused(tiny_bundle, remake, monkeypatch, tmp_path):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path))
    monkeypatch.setattr(trial, "SECONDS", 1)
    bundle = open_bundle(tiny_bundle)
    path = remake(
        {"chunk": {**bundle.about["chunk"], "silent_steps": 10_000}},
        {"model.onnx": with_node(bundle.files["model.onnx"], "RandomUniform", "score", [1_000_000])},
    )
    with pytest.raises(
        BundleError, match=r"takes longer than [17] s to start"
    ):  # of the processor, or by the clock where others keep it busy
        open_engine(open_bundle(path))
