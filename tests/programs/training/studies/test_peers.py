import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[4] / "training" / "studies"
WORKER = FOLDER / "peer_workers" / "play_stream.py"


@pytest.fixture
def program(load_program):
    return load_program("training/studies/peers")


@pytest.fixture
def no_environments(program, monkeypatch, tmp_path):
    """Let the cache be empty and every installation fail."""
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def test_a_missing_bundle_is_a_sentence_and_exit_code_2(program, tmp_path, capsys):
    assert program.main([str(tmp_path / "none.wake")]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'none.wake'} does not exist, and is no ready word")


@pytest.mark.parametrize("arguments", [["--repetitions", "0"], ["--seconds", "-1"], ["--against", "snowboy"]])
def test_arguments_that_make_no_sense_are_refused(program, arguments):
    with pytest.raises(SystemExit) as stopped:
        program.main(["some.wake", *arguments])
    assert stopped.value.code == 2


def test_a_graph_that_the_bundle_lacks_is_said(program, tiny_bundle, capsys):
    assert program.main([str(tiny_bundle), "--against", "--graph", "other.onnx", "--seconds", "1", "--repetitions", "1"]) == 2
    assert "has no graph 'other.onnx'" in capsys.readouterr().err


def test_the_worker_says_ready_before_it_takes_audio(tiny_bundle):
    process = subprocess.Popen([sys.executable, str(WORKER), "speechtl", str(tiny_bundle)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    answer = json.loads(process.communicate(bytes(2 * 1280 * 25 + 100))[0])
    assert process.returncode == 0
    assert answer["pieces"] == 25
    assert 0 < answer["start_cpu_seconds"] < answer["cpu_seconds"]
    assert set(answer["versions"]) == {"python", "speechtl", "numpy", "onnxruntime"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux carries the peak over from one program to the next")
def test_the_memory_of_the_measuring_program_is_not_billed_to_the_worker(program, tiny_bundle):
    held = np.ones(60_000_000)  # 480 MB in this process, and its peak is what getrusage would report of the worker
    cost, _ = program.run_worker([sys.executable, str(WORKER), "speechtl", str(tiny_bundle)], program.speech_like(1, 0).tobytes())
    assert 20 < cost.peak_mb < held.nbytes / 2**20 / 2


def test_the_worker_imports_the_runtime_and_nothing_heavier(tiny_bundle):
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: print(*sys.modules)"
    )
    command = [sys.executable, "-c", code, str(WORKER), "speechtl", str(tiny_bundle)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split("\n")[-2].split())
    assert "speechtl.runtime" in imported
    assert not {"torch", "scipy", "typer", "rich", "speechtl.audio", "speechtl.transfer", "speechtl.cli"} & imported


def test_the_window_is_recomputed_once_every_80_ms(load_program, embedding_path):
    take = load_program("training/studies/peer_workers/play_stream").open_recomputing(str(embedding_path)).take
    shapes = [[np.shape(embedding)[-1] for embedding in take(bytes(2 * 1280))] for _ in range(10)]
    assert shapes == [[]] + [[96]] * 9  # the first 80 ms hold 5 frames


@pytest.mark.slow
def test_json_holds_machine_versions_medians_and_every_repetition(program, tiny_bundle, capsys):
    assert program.main([str(tiny_bundle), "--against", "--json", "--seconds", "2", "--repetitions", "3"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["machine"]["processor"]
    assert document["audio"] == {"seconds": 2.0, "chunk_seconds": 0.08, "seed": 0}
    (first,) = document["contenders"]
    assert first["versions"]["python"].startswith("3.")
    for measure in program.MEASURES:
        runs = [run[measure] for run in first["repetitions"]]
        assert len(runs) == 3
        assert first["median"][measure] == sorted(runs)[1] > 0
        assert first["ratio"][measure] == 1.0


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_says_why_and_the_rest_goes_on(program, no_environments, tmp_path, tiny_bundle, capsys):
    assert program.main([str(tiny_bundle), "--against", "pymicro", "--json", "--seconds", "1", "--repetitions", "1"]) == 0
    first, peer = json.loads(capsys.readouterr().out)["contenders"]
    assert first["median"]
    assert peer["reason"].startswith("pymicro-wakeword==2.5.0 cannot be installed here: ERROR: No matching distribution")
    assert not peer["repetitions"]
    assert not list((tmp_path / "cache" / "peers").iterdir())  # nothing half made is left


def test_the_table_shows_a_row_that_cannot_run_with_its_reason(program, tiny_bundle, monkeypatch, capsys):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    assert program.main([str(tiny_bundle), "--against", "recomputing", "--seconds", "1", "--repetitions", "1"]) == 0
    printed = capsys.readouterr().out
    assert f"{tiny_bundle} model.onnx: python" in printed
    assert "window recomputed: embedding_model.onnx is not here; install it" in printed
    assert "\x1b" not in printed


@pytest.mark.slow
def test_several_bundles_are_measured_in_one_run_and_their_networks_counted(program, tiny_bundle, tmp_path, embedding_path, capsys):
    other = shutil.copy(tiny_bundle, tmp_path / "other.wake")
    arguments = [str(tiny_bundle), str(other), "--against", "recomputing", "--json", "--seconds", "1", "--repetitions", "1"]
    assert program.main(arguments) == 0
    *ours, recomputed = json.loads(capsys.readouterr().out)["contenders"]
    assert [row["name"] for row in ours] == [f"{tiny_bundle} model.onnx", f"{other} model.onnx"]
    assert ours[0]["network"]["weights"] == ours[1]["network"]["weights"] > 0
    assert all(row["median"] for row in (*ours, recomputed))
    assert recomputed["network"]["weights"] == 326_808  # and 1,320 biases
    assert recomputed["network"]["multiply_adds"] == 524_448_000  # a second: 42 million a window, 12.5 windows
    assert recomputed["ratio"]["cpu_ms_per_second"] > 0.0


def test_a_bundle_that_fails_while_it_is_measured_costs_its_own_row_alone(program, tiny_bundle, tmp_path, monkeypatch, capsys):
    other = shutil.copy(tiny_bundle, tmp_path / "other.wake")
    measured = program.run_worker

    def fails(command, audio):
        if str(tiny_bundle) in command:
            raise program.WorkerError("it ended with -11")
        return measured(command, audio)

    monkeypatch.setattr(program, "run_worker", fails)
    assert program.main([str(tiny_bundle), str(other), "--against", "--seconds", "1", "--repetitions", "1"]) == 2
    said = capsys.readouterr()
    assert f"{tiny_bundle} model.onnx: it ended with -11" in said.out
    assert f"{other} model.onnx: python" in said.out
    assert said.err.endswith(f"{tiny_bundle} model.onnx could not be measured; the reason is above.\n")


def test_recordings_take_the_place_of_made_audio(program, tiny_bundle, tmp_path, capsys):
    import soundfile

    for name, seconds in (("a.wav", 1.0), ("b.wav", 0.5)):
        soundfile.write(tmp_path / name, np.zeros(round(8000 * seconds)), 8000)
    files = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    assert program.main([str(tiny_bundle), "--against", "--json", "--repetitions", "1", "--audio", *files]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["audio"] == {"seconds": 1.44, "chunk_seconds": 0.08, "files": files}  # whole chunks of 80 ms
    assert document["contenders"][0]["repetitions"][0]["audio_seconds"] == 1.44
