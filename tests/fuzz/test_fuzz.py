"""A hundred and fifty damaged files for each reader; `python -m tests.fuzz` tries two thousand."""

import pytest

from tests.fuzz.__main__ import main
from tests.fuzz.targets import NAMES

PARTS = 3


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_reader_reads_or_refuses_damaged_files_with_a_sentence(part, capfd):
    size = -(-len(NAMES) // PARTS)
    targets = NAMES[part * size : (part + 1) * size]  # neighbours share valid files
    assert main(["--inputs", "150", *(word for name in targets for word in ("--target", name))]) == 0, capfd.readouterr().out


@pytest.mark.slow
def test_one_input_can_be_run_again_by_its_seed_and_number(capfd):
    again = ["--seed", "3", "--only", "17"]
    assert main(["--target", "budgets", "--target", "table", *again]) == 0
    out = capfd.readouterr().out
    assert "budgets: 1 inputs, 0 failed" in out
    assert "table: 1 inputs, 0 failed" in out
