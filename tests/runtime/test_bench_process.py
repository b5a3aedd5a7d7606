import json
import subprocess
import sys

import numpy as np
import pytest

from speechtl.runtime.bench import WORKER
from speechtl.runtime.bench_audio import speech_like
from speechtl.runtime.bench_process import WorkerError, run_worker


def fake(answer: str) -> list[str]:
    return [sys.executable, "-c", answer]


def test_the_worker_hears_all_chunks_and_tells_what_they_cost(tiny_bundle):
    cost, answer = run_worker([sys.executable, "-m", WORKER, str(tiny_bundle)], speech_like(2, 0))
    assert answer["chunks"] == 25
    assert cost.audio_seconds == 2.0
    assert 0 < cost.cpu_ms_per_second < cost.cpu_ms_per_second_with_start
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


def test_costs_are_per_second_of_audio_without_and_with_start():
    answer = json.dumps({"chunks": 25, "cpu_seconds": 0.5, "start_cpu_seconds": 0.1, "peak_bytes": 3 * 2**20})
    cost, _ = run_worker(
        fake(f"print('ready', flush=True); import sys; sys.stdin.buffer.read(); print('{answer}')"), np.zeros(32_000, np.int16)
    )
    assert cost.cpu_ms_per_second == pytest.approx(200.0)
    assert cost.cpu_ms_per_second_with_start == pytest.approx(250.0)
    assert cost.peak_mb == 3.0


def test_a_process_that_fails_is_an_error_with_its_last_words():
    with pytest.raises(WorkerError, match="ended with 3: no such luck"):
        run_worker(
            fake("import sys; print('first', file=sys.stderr); print('no such luck', file=sys.stderr); sys.exit(3)"), np.zeros(0, np.int16)
        )


def test_a_process_that_says_something_else_than_ready_is_an_error():
    with pytest.raises(WorkerError, match="it said nothing"):
        run_worker(fake("print('hello')"), np.zeros(1280, np.int16))


def test_a_program_that_cannot_be_started_is_named(tmp_path):
    with pytest.raises(WorkerError, match="no-python cannot be started: No such file"):
        run_worker([str(tmp_path / "no-python")], np.zeros(1280, np.int16))
