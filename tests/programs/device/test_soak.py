import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from speechtl.runtime.detector import Detector

PROGRAM = Path(__file__).parents[3] / "device" / "soak.py"
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


@pytest.fixture
def program(load_program):
    return load_program("device/soak")


@pytest.fixture
def heard(bursts):
    return (bursts((1.0, 3.0), 4.8) * 32768).astype(np.int16)


def test_every_pass_gives_the_same_events(program, tiny_bundle, heard):
    seen = program.soak(Detector.open(tiny_bundle), heard, 6 * 4.8 / 3600)
    assert (seen.passes, seen.chunks, seen.events) == (6, 360, 12)
    assert seen.hours == pytest.approx(6 * 4.8 / 3600)
    assert seen.different_passes == []
    assert len(seen.resident_mb) == len(seen.files) == len(seen.threads) == 6


def test_a_pass_is_cut_so_that_all_are_cut_alike(program, tiny_bundle, heard):
    seen = program.soak(Detector.open(tiny_bundle), heard[:-100], 6 * 4.8 / 3600)
    assert seen.different_passes == []
    assert seen.events == 12


def test_events_that_come_elsewhere_in_a_later_pass_are_found(program, tiny_bundle, heard):
    detector = Detector.open(tiny_bundle)
    run, steps = detector.scorer.engine.run, 0

    def forgetful(frames):
        nonlocal steps
        steps += len(frames) // 4
        scores = run(frames)
        return scores if steps < 4 * 120 else 0.0 * scores

    detector.scorer.engine.run = forgetful
    seen = program.soak(detector, heard, 8 * 4.8 / 3600)
    assert seen.different_passes[0] in (4, 5)
    assert any("gave other events than the second" in problem for problem in seen.problems)


def test_passes_are_the_same_when_times_scores_and_numbers_of_events_are(program):
    one = [(1.0, 0.9), (3.0, 0.8)]
    assert program.same(one, [(1.0, 0.9), (3.0, 0.80001)])
    assert not program.same(one, [(1.0, 0.9), (3.01, 0.8)])
    assert not program.same(one, [(1.0, 0.9), (3.0, 0.81)])
    assert not program.same(one, one[:1])


def test_what_grows_and_what_is_late_is_a_problem(program):
    calm = {"passes": 8, "resident_mb": [50.0, 55.0, *[60.0] * 6], "files": [9] * 8, "threads": [3] * 8}
    assert program.Soak(**calm).problems == []  # what is allocated in the first quarter is no growth
    leak = program.Soak(**{**calm, "resident_mb": [50.0 + 0.2 * index for index in range(8)]})
    assert leak.problems == ["Memory grew by 0.80 MB, where 0.5 MB are allowed."]
    files = program.Soak(**{**calm, "files": [9, 9, 9, 9, 10, 10, 10, 11]})
    assert files.problems == ["There were 9 open files in the beginning and 11 at the end."]
    late = program.Soak(**calm, missed=2, longest_ms=91.23, longest_cpu_ms=3.0)
    assert late.problems[0].startswith(
        "2 chunks took longer than the 80 ms they last; the longest 91.2 ms, where none needed more than 3.0 ms"
    )


def test_a_problem_is_exit_code_1_and_stands_in_the_json(program, tiny_bundle, monkeypatch, capsys):
    counts = iter(range(100))
    monkeypatch.setattr(program, "open_files", lambda: next(counts))
    assert program.main([str(tiny_bundle), "--hours", "0.001", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["ok"]) == (1, False)
    assert "open files" in document["problems"][0]


def test_bad_input_is_a_sentence_and_exit_code_2(program, tiny_bundle, tmp_path, capsys):
    assert program.main([str(tmp_path / "none.wake")]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'none.wake'} does not exist, and is no ready word")
    assert program.main([str(tiny_bundle), "--graph", "x"]) == 2
    for hours in ("0", "-1", "nan", "many"):
        with pytest.raises(SystemExit) as stopped:
            program.main([str(tiny_bundle), "--hours", hours])
        assert stopped.value.code == 2


@pytest.mark.slow
def test_memory_files_and_threads_do_not_grow_in_an_hour_of_audio(tiny_bundle):
    command = [sys.executable, str(PROGRAM), str(tiny_bundle), "--hours", "1", "--json"]  # other tests leave memory to grow into
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seen = json.loads(done.stdout)
    problems = [problem for problem in seen["problems"] if "80 ms" not in problem]  # other work on this machine is not the detector's fault
    assert problems == []
    assert seen["events"] > 0


def test_an_int8_score_may_round_to_the_next_step(program):
    assert program.same([(1.0, 0.80)], [(1.0, 0.81)], 0.05)
    assert not program.same([(1.0, 0.80)], [(1.0, 0.81)])
    assert not program.same([(1.0, 0.80)], [(1.1, 0.80)], 0.05)
