import hashlib

import numpy as np
import pytest

from speechtl.bench.pictures import EACH, SIZES, camera_picture, digest, to_ppm, write_pictures
from speechtl.runtime.pictures import read_picture


def test_a_picture_depends_on_its_size_and_number_alone():
    first, again, other = camera_picture(640, 480, 0), camera_picture(640, 480, 0), camera_picture(640, 480, 1)
    assert (first.shape, first.dtype) == ((480, 640, 3), np.uint8)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_picture_has_areas_of_colour_with_noise_and_all_of_the_range():
    picture = camera_picture(640, 480, 0).astype(int)
    means = picture.reshape(12, 40, 16, 40, 3).mean(axis=(1, 3))
    assert means.std() > 50  # from one tile to the next
    assert 5 < picture.reshape(12, 40, 16, 40, 3).std(axis=(1, 3)).mean() < 20  # within one
    assert (picture.min(), picture.max()) == (0, 255)


def test_the_pictures_are_the_same_bytes_as_on_other_machines():
    # What numpy 1.26 and 2.4 give; another one makes the reports of different versions incomparable.
    found = hashlib.sha256(b"".join(to_ppm(camera_picture(*size, 0)) for size in SIZES.values())).hexdigest()
    assert found == "b8ef4349c335a8589b53282f64560b4a6a8dfc635c6a82744b72c927dc553630"


def test_files_are_read_back_as_they_were_made_sizes_in_turn(tmp_path):
    files = write_pictures(tmp_path)
    sizes = [read_picture(file).size for file in files]
    assert sizes == list(SIZES.values()) * EACH
    assert np.array_equal(np.asarray(read_picture(files[1])), camera_picture(1280, 720, 0))


@pytest.mark.parametrize("change", ["file", "golden"])
def test_the_hash_covers_files_and_golden_pictures(tmp_path, change):
    golden = np.zeros((1, 3, 4, 4), np.uint8)
    (tmp_path / "a.ppm").write_bytes(b"a")
    before = digest([tmp_path / "a.ppm"], golden)
    if change == "file":
        (tmp_path / "a.ppm").write_bytes(b"b")
    else:
        golden[0, 0, 0, 0] = 1
    assert digest([tmp_path / "a.ppm"], golden) != before
