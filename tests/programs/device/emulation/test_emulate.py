import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechtl.errors import SpeechtlError
from speechtl.runtime.bundle.wake_word import Graph, open_bundle
from speechtl.runtime.detector import Scorer
from speechtl.runtime.features import LogMel

FOLDER = Path(__file__).parents[4] / "device/emulation"


@pytest.fixture
def program(load_program):
    return load_program("device/emulation/emulate")


@pytest.fixture
def given(tiny_bundle, program, tmp_path) -> Path:
    program._write_input(open_bundle(tiny_bundle), tmp_path)
    return tmp_path / "input.npz"


@pytest.fixture
def passed(program):
    return program.Result("arm64", "model.onnx", "onnxruntime", 1e-7, True, 1, "this machine", 2e-6, 1e-5, 0.0, True, 500_000, 4_000_000)


@pytest.mark.slow
def test_the_probe_gives_the_scores_of_the_frames_that_it_is_given(program, tiny_bundle, given, tmp_path):
    found = program.Side("this machine", [sys.executable]).scores(tiny_bundle, given, tmp_path / "out.npz")
    bundle = open_bundle(tiny_bundle)
    audio = bundle.golden()["audio"]
    expected = Scorer.of(bundle).feed(audio)
    np.testing.assert_allclose(found["model.onnx|onnxruntime"], expected, atol=1e-6)
    np.testing.assert_array_equal(found["frames"], LogMel(bundle.features).compute(audio))


@pytest.mark.slow
def test_a_side_detects_and_verifies_with_the_command_line(program, tiny_bundle, given):
    side = program.Side("this machine", [sys.executable])
    parity = side.verify(tiny_bundle)[("model.onnx", "onnxruntime")]
    assert parity["ok"]
    events = side.detect(tiny_bundle, given.with_name("golden.wav"), "model.onnx", "onnxruntime")
    assert {event["name"] for event in events} <= {"burst"}


@pytest.mark.parametrize(
    "changes",
    [
        {"difference": 1.1e-5},
        {"difference": float("nan")},
        {"verified": False},
        {"same_events": False},
        {"frames_difference": 0.1},
        {"allowed": 0.0},
    ],
)
def test_any_difference_is_a_failure(program, passed, changes):
    assert passed.ok
    failed = replace(passed, **changes)
    assert not failed.ok
    assert "FAILED" in program.table([passed, failed]).splitlines()[2]
    assert program.to_json(Path("x.wake"), [passed, failed])["ok"] is False


def test_what_differs_in_shape_differs_without_end(program):
    assert program._largest(np.zeros((3, 1)), np.zeros((4, 1))) == float("inf")
    assert program._largest(np.zeros((3, 1)), np.full((3, 1), 0.5)) == 0.5


@pytest.mark.slow
def test_a_root_is_found_again_only_for_the_same_contents(program):
    arm_root = sys.modules["arm_root"]
    if shutil.which("apt-cache") is None:
        pytest.skip("this is no Debian")
    one, other = (arm_root.machines({"numpy": version})["arm64"] for version in ("2.0.0", "2.0.1"))
    assert one.digest == arm_root.machines({"numpy": "2.0.0"})["arm64"].digest
    assert one.digest != other.digest


def test_a_missing_program_is_named_with_its_package(program, monkeypatch):
    run = sys.modules["arm_root"].run
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SpeechtlError, match="apt-get install qemu-user-static"):
        run(["qemu-aarch64-static"], "qemu-aarch64-static", 5)
    with pytest.raises(SpeechtlError, match="apt-get install gcc"):
        run(["cc"], "cc", 5)


def test_a_program_that_fails_says_why(program):
    run = sys.modules["arm_root"].run
    with pytest.raises(SpeechtlError, match="sh failed with exit code 3: no space"):
        run(["sh", "-c", "echo no space >&2; exit 3"], "sh", 5)
    with pytest.raises(SpeechtlError, match="did not end within"):
        run(["sleep", "9"], "sleep", 0.1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["none.wake", "--machine", "arm64"], "does not exist"), (["--run", "-c", "1"], "--run needs one --machine")],
)
def test_bad_input_is_exit_code_2(program, capsys, arguments, says):
    assert program.main(arguments) == 2
    assert says in capsys.readouterr().err


MARKED = """
import os
from contextlib import suppress
def mark():
    with suppress(OSError):
        os.getpriority(0x5EED, 0x5EED)
def spin(times):
    mark()
    for _ in range(times):
        pass
spin(1000), spin(11000), spin(21000), mark()
"""


def test_the_plugin_counts_what_is_executed_between_marks(tmp_path):
    for needed in ("cc", "qemu-x86_64"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    plugin, out = tmp_path / "count.so", tmp_path / "count.txt"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-O2", "-o", plugin, FOLDER / "count_instructions.c"], check=True)
    subprocess.run(
        ["qemu-x86_64", "-cpu", "max", "-plugin", f"{plugin},out={out}", sys.executable, "-S", "-c", MARKED], check=True, timeout=100
    )
    marks = [int(line) for line in out.read_text().splitlines()]
    few, more, most = (after - before for before, after in itertools.pairwise(marks))
    assert most - more == pytest.approx(more - few, rel=0.02)
    assert 10 < (more - few) / 10_000 < 1000


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["arm64"])
def test_a_bundle_does_on_arm_what_it_does_here(program, tiny_bundle, tmp_path, machine):
    if shutil.which("qemu-aarch64-static") is None or shutil.which("apt-cache") is None:
        pytest.skip("qemu-user-static is not installed")
    arm_root = sys.modules["arm_root"]
    found = arm_root.machines(program._versions())[machine]
    if not (arm_root.cache_folder() / "emulation" / f"{found.name}-{found.digest}/complete").is_file():
        pytest.skip("the arm64 root is not in the cache; build it once with: python device/emulation/emulate.py --machine arm64 --run -V")
    counting = shutil.which("qemu-aarch64") and shutil.which("cc")
    arguments = [str(tiny_bundle), "--machine", machine, "--json", str(tmp_path / "out.json"), *([] if counting else ["--no-count"])]
    assert program.main(arguments) == 0
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["ok"]
    assert [(result["graph"], result["runtime"]) for result in document["results"]] == [("model.onnx", "onnxruntime")]
    assert not counting or 10_000 < document["results"][0]["graph_instructions"] < 10_000_000


def test_a_runtime_that_rounds_otherwise_everywhere_is_held_to_what_verification_allows(program):
    int8, fp32 = (Graph("graph", "tflite", precision, tolerance=0.05) for precision in ("int8", "fp32"))
    assert program._allowed(int8, "tflite-runtime") == 0.05
    assert program._allowed(int8, "ai-edge-litert") == program._allowed(replace(int8, tolerance=None), "tflite-runtime") == 1e-6
    assert program._allowed(fp32, "tflite-runtime") == 1e-5


def test_the_base_packages_are_those_of_the_processor(program):
    arm, other = program.base_requirements("armv7l"), program.base_requirements("x86_64")
    assert {"numpy<2,>=1.26", "tflite-runtime>=2.14", "soxr>=0.5"} <= set(arm)
    assert not [one for one in arm if one.startswith("onnxruntime")]
    assert {"numpy>=1.26", "onnxruntime>=1.17", "soxr>=0.5"} <= set(other)
