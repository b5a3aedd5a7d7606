import dataclasses
import hashlib
import urllib.error
import urllib.request

import pytest

from speechtl.cache import Published
from speechtl.errors import WeightsError


@pytest.fixture
def published(tmp_path, monkeypatch) -> Published:
    """A published file behind a file:// address, and an empty cache."""
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "origin.bin").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    return Published("the toy network", (tmp_path / "origin.bin").as_uri(), digest, "toy.bin", "Install toys")


def test_a_file_is_downloaded_once_and_checked(published, monkeypatch):
    asked = []
    opening = urllib.request.urlopen
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **o: asked.append(a) or opening(*a, **o))
    found = [published.find() for _ in range(2)]
    assert len(asked) == 1
    assert found[0] == found[1]
    assert found[0].read_bytes() == b"weights"


def test_the_beginning_of_a_hash_is_enough_where_no_more_is_published(published):
    assert dataclasses.replace(published, sha256=published.sha256[:8]).find().is_file()


def test_a_download_of_something_else_is_refused_and_leaves_nothing(published, tmp_path):
    (tmp_path / "origin.bin").write_text("<h1>Log in first</h1>")
    with pytest.raises(WeightsError, match="is not the toy network"):
        published.find()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_without_a_network_the_error_says_what_else_to_do(published, monkeypatch):
    def refuse(*arguments, **options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(WeightsError, match=r"The toy network is not on this machine.*no route to host.*Install toys, or put the file"):
        published.find()


def test_a_missing_file_is_refused(published, tmp_path):
    with pytest.raises(WeightsError, match=r"none\.bin is not a file"):
        published.check(tmp_path / "none.bin")
