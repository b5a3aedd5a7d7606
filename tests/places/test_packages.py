import pytest

from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.places import packages
from speechtl.places.packages import require


@pytest.mark.parametrize("installed", ["1.10.2", "1.10.2rc1", "1.11", "2", "1.10.10"])
def test_a_package_that_is_new_enough_is_taken(installed, monkeypatch):
    monkeypatch.setattr(packages, "version_of", lambda _: installed)
    require("Listening", "livekit", "livekit", "1.10.2")


@pytest.mark.parametrize("installed", ["1.10.1", "1.9.9", "0.0.108", "unknown"])
def test_a_package_that_is_too_old_is_one_sentence_with_the_pip_command(installed, monkeypatch):
    monkeypatch.setattr(packages, "version_of", lambda _: installed)
    expected = f"Listening needs livekit 1.10.2 or newer, and {installed} is installed. Update it with: pip install -U 'speechtl[livekit]'"
    with pytest.raises(SpeechtlError) as raised:
        require("Listening", "livekit", "livekit", "1.10.2")
    assert str(raised.value) == expected


def test_a_package_that_is_not_there_is_one_sentence_with_the_pip_command():
    with pytest.raises(MissingExtraError, match=r"pip install 'speechtl\[livekit\]'"):
        require("Listening", "livekit", "no-such-package", "1")
