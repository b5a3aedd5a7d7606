import subprocess
import sys

import pytest

from speechtl.audio.encoders import torchaudio_import
from speechtl.errors import MissingExtraError


def test_networks_are_there_whether_or_not_the_compiled_extension_fits():
    library = torchaudio_import.torchaudio()
    assert library is torchaudio_import.torchaudio()
    assert library.pipelines.HUBERT_BASE.sample_rate == 16_000


def test_without_torchaudio_the_pip_command_is_printed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'speechtl\[torchaudio\]'"):
        torchaudio_import.torchaudio()


FAIL = """
import importlib, sys
from speechtl.audio.encoders import torchaudio_import
real, tried = importlib.import_module, []
def fail(name):
    tried.append(name)
    if len(tried) == 1:
        raise OSError({message!r})
    return real(name)
importlib.import_module = fail
try:
    library = torchaudio_import.torchaudio()
    stub = sys.modules[torchaudio_import.EXTENSION]
    print("stepped over", stub._IS_TORCHAUDIO_EXT_AVAILABLE, hasattr(stub, "__file__"), hasattr(library, "pipelines"))
except OSError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Could not load this library: /somewhere/torchaudio/lib/_torchaudio.abi3.so", "stepped over False False True"),
        ("No space left on device", "No space left on device"),
    ],
)
def test_only_an_extension_that_does_not_load_is_stepped_over(message, said):
    done = subprocess.run([sys.executable, "-c", FAIL.format(message=message)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == said, done.stderr
