import pytest

from speechtl.cli.app import app
from speechtl.errors import RunError


def test_a_bundle_is_refused_before_anything_is_loaded(tiny_bundle, tmp_path):
    with pytest.raises(RunError, match="Give the folder of the run that the bundle was made from"):
        app(["microwakeword", str(tiny_bundle), "--out", str(tmp_path / "out")], standalone_mode=False)
