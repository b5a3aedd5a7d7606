import os
import subprocess
import sys

import pytest

from speechtl.runtime.silence import quiet, silent_library


def test_output_of_a_library_does_not_reach_the_terminal_and_ours_does(capfd, monkeypatch):
    with os.fdopen(os.dup(2), "w") as _keeper, open(2, "w", closefd=False, buffering=1) as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with silent_library():
            os.write(2, b"from the library\n")
            with silent_library():
                print("ours", file=sys.stderr)
            os.write(2, b"from the library\n")
        print("after", file=sys.stderr)
        assert sys.stderr is terminal
    assert capfd.readouterr().err == "ours\nafter\n"


def test_a_closed_standard_error_is_no_obstacle():
    code = "import os; from speechtl.runtime.silence import silent_library\nos.close(2)\nwith silent_library(): print('done')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout == "done\n"


def test_nothing_that_the_block_writes_comes_through_and_what_follows_does(capfd):
    with quiet():
        print("python")
        os.system("echo shell; echo error >&2")
        subprocess.run([sys.executable, "-c", "print('child')"], check=True)
    print("after")
    said = capfd.readouterr()
    assert (said.out, said.err) == ("after\n", "")


def test_errors_are_raised_and_output_is_restored(capfd):
    with pytest.raises(ValueError, match="loud"), quiet():
        raise ValueError("loud")
    print("after")
    assert capfd.readouterr().out == "after\n"
