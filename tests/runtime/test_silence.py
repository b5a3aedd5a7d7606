import os
import subprocess
import sys

import pytest

from speechtl.runtime.silence import quiet


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
