import json
import subprocess
import sys

import pytest

from speechtl.bench.detection import WORKER
from speechtl.bench.process import Unit, WorkerError, repeat_worker, run_worker
from speechtl.bench.stimulus import SECOND, speech_like


def fake(answer: str) -> list[str]:
    return [sys.executable, "-c", answer]


def test_the_worker_hears_all_chunks_and_tells_what_they_cost(tiny_bundle):
    cost, answer = run_worker([sys.executable, "-m", WORKER, str(tiny_bundle)], speech_like(2, 0).tobytes())
    assert (cost.pieces, answer["pieces"]) == (25, 25)
    assert cost.per(SECOND)["audio_seconds"] == 2.0
    assert 0 < cost.per(SECOND)["cpu_ms_per_second"] < cost.per(SECOND)["cpu_ms_per_second_with_start"]
    assert cost.start_cpu_seconds > 0
    assert cost.start_seconds > 0
    assert 20 < cost.peak_mb < 200


def test_the_worker_imports_the_runtime_and_nothing_heavier(tiny_bundle):
    code = f"import sys; from {WORKER} import main; main([sys.argv[1]]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_bundle)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert "speechtl.runtime" in imported
    assert not {"torch", "scipy", "typer", "rich", "soxr", "soundfile", "speechtl.audio", "speechtl.transfer", "speechtl.cli"} & imported


def answering(pieces: int) -> list[str]:
    answer = json.dumps({"pieces": pieces, "cpu_seconds": 0.5, "start_cpu_seconds": 0.1, "peak_bytes": 3 * 2**20})
    return fake(f"print('ready', flush=True); import sys; sys.stdin.buffer.read(); print('{answer}')")


def test_costs_are_per_second_of_audio_without_and_with_start():
    cost = run_worker(answering(25), bytes(64_000))[0].per(SECOND)
    assert cost["cpu_ms_per_second"] == pytest.approx(200.0)
    assert cost["cpu_ms_per_second_with_start"] == pytest.approx(250.0)
    assert cost["peak_mb"] == 3.0


def test_a_worker_is_warmed_up_and_repeated_and_told_in_its_unit():
    seen = []
    process = repeat_worker(answering(4), bytes(8), b"", Unit("picture", "pictures"), 3, seen.append)
    assert seen == [1, 2, 3]
    assert len(process["each"]) == 3
    assert (process["pictures"], process["cpu_ms_per_picture"], process["cpu_ms_per_picture_with_start"]) == (4.0, 100.0, 125.0)


def test_a_process_that_fails_is_an_error_with_its_last_words():
    with pytest.raises(WorkerError, match="ended with 3: no such luck"):
        run_worker(fake("import sys; print('first', file=sys.stderr); print('no such luck', file=sys.stderr); sys.exit(3)"), b"")


def test_a_process_that_says_something_else_than_ready_is_an_error():
    with pytest.raises(WorkerError, match="it printed nothing"):
        run_worker(fake("print('hello')"), bytes(2560))


def test_a_program_that_cannot_be_started_is_named(tmp_path):
    with pytest.raises(WorkerError, match="no-python cannot be started: No such file"):
        run_worker([str(tmp_path / "no-python")], bytes(2560))
