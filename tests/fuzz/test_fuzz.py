import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tests.fuzz", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_reader_reads_or_refuses_damaged_files_with_a_sentence():
    done = fuzz("--inputs", "2000")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_one_input_can_be_run_again_by_its_seed_and_number():
    first, again = (fuzz("--target", "budgets", "--target", "table", "--seed", "3", "--only", "17") for _ in range(2))
    assert first.returncode == again.returncode == 0, first.stdout + first.stderr
    assert "budgets: 1 inputs, 0 failed" in first.stdout
    assert "table: 1 inputs, 0 failed" in again.stdout
