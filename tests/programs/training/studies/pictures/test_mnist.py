import gzip

import numpy as np
import pytest
from mnist import read_idx

from speechtl.errors import PictureError

HEADER = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3])


@pytest.mark.parametrize("name", ["a.gz", "a"])
def test_plain_and_gzipped_files_are_read(tmp_path, name):
    content = HEADER + bytes(range(6))
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert np.array_equal(read_idx(tmp_path / name), [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize("content", [b"", b"hello world", HEADER, HEADER + bytes(7), b"\0\0\x0d\x02", HEADER[:6]])
def test_what_is_cut_short_or_something_else_is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(PictureError):
        read_idx(tmp_path / "a")


def test_a_cut_gzip_file_is_refused(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(HEADER + bytes(6))[:20])
    with pytest.raises(PictureError, match="damaged or cut short"):
        read_idx(tmp_path / "a.gz")


def test_a_gzip_file_with_damage_within_is_refused(tmp_path):
    packed = bytearray(gzip.compress(HEADER + bytes(range(6))))
    packed[12:16] = b"\xff\xff\xff\xff"
    (tmp_path / "a.gz").write_bytes(packed)
    with pytest.raises(PictureError, match="damaged or cut short"):
        read_idx(tmp_path / "a.gz")


def test_a_gzip_file_is_unpacked_no_further_than_its_header_announces(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(HEADER + bytes(50_000_000)))
    with pytest.raises(PictureError, match="too long"):
        read_idx(tmp_path / "a.gz")
