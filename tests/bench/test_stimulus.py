import hashlib
import io

import numpy as np
import pytest
import scipy.signal

from speechtl.bench.stimulus import (
    PICTURE_SIZES,
    PICTURES_PER_SIZE,
    Spoken,
    camera_picture,
    chunks,
    golden_words,
    passages,
    picture_hash,
    schedule,
    speech_like,
    to_microphone,
    to_ppm,
    write_pictures,
)
from speechtl.bench.worker import CHUNK_SAMPLES
from speechtl.errors import BundleError
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.pictures import read_picture

GOLDEN = {"audio": np.arange(-2000, 2001, dtype=np.int16)}


def tone(hertz: float, rate: int, seconds: float) -> np.ndarray:
    return np.round(10_000 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.int16)


def test_the_schedule_is_whole_chunks_and_the_same_every_time():
    heard = schedule(GOLDEN)
    assert heard.dtype == np.int16
    assert len(heard) % CHUNK_SAMPLES == 0
    np.testing.assert_array_equal(heard, schedule(GOLDEN))


def test_the_schedule_holds_silence_and_the_bundles_golden_audio():
    heard = schedule(GOLDEN)
    assert not heard[:32_000].any()
    end = len(np.trim_zeros(heard, "b"))
    np.testing.assert_array_equal(heard[end - 4001 : end], GOLDEN["audio"])


def test_golden_audio_stored_as_numbers_gives_the_same_schedule():
    floats = {"audio": (GOLDEN["audio"] / 32767.0).astype(np.float32)}
    np.testing.assert_array_equal(schedule(floats), schedule(GOLDEN))


def test_the_rhythm_of_speech_depends_on_its_seed_alone():
    first, again, other = speech_like(3, 1), speech_like(3, 1), speech_like(3, 2)
    assert first.dtype == np.int16
    assert len(first) == 48_000
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 10_000 < np.abs(first).max() <= 32_767


@pytest.mark.parametrize("hertz", [100.0, 1000.0, 3000.0, 7000.0])
def test_a_tone_is_the_same_tone_at_48_khz(hertz):
    made = to_microphone(tone(hertz, 16_000, 0.5))
    np.testing.assert_allclose(made, tone(hertz, 48_000, 0.5), atol=1.5)


@pytest.mark.parametrize("count", [16_000, 16_001])
def test_48_khz_samples_are_those_of_an_independent_resampler(count):
    samples = np.random.default_rng(0).integers(-8000, 8000, count).astype(np.int16)
    reference = scipy.signal.resample(samples.astype(np.float64), 3 * count)
    np.testing.assert_allclose(to_microphone(samples), reference, atol=0.51)


def test_loud_audio_is_clipped_and_does_not_turn_over():
    square = np.where(np.arange(4000) // 40 % 2, 32767, -32768).astype(np.int16)
    made = to_microphone(square).astype(int)
    assert made.max() == 32767
    assert np.abs(np.diff(made)).max() < 65_000


def test_a_word_begins_at_as_many_places_within_a_chunk_as_are_asked_for():
    word = Spoken(np.full(4000, 0.5), 0.05, 0.2)
    made = list(passages([word, word], phases=4))
    assert len(made) == 8
    starts = [passage.start * 16_000 - 0.05 * 16_000 for passage in made]
    assert [round(start) % CHUNK_SAMPLES for start in starts[:4]] == [0, 320, 640, 960]
    for passage in made:
        assert len(passage.samples) % (3 * CHUNK_SAMPLES) == 0
        assert passage.end - passage.start == pytest.approx(0.15)
        loud = np.flatnonzero(np.abs(passage.samples) > 8000)
        assert loud[0] / 48_000 == pytest.approx(passage.start - 0.05, abs=0.001)
        assert len(passage.samples) / 48_000 - passage.end > 2.0


def test_chunks_are_80_ms_and_what_does_not_fill_one_is_left_out():
    lengths = [len(chunk) for chunk in chunks(np.zeros(10_000, np.int16), 48_000)]
    assert lengths == [3840, 3840]


@pytest.fixture
def with_words(tiny_bundle, remake):
    """Write the tiny bundle with other limits of words in its golden audio."""

    def write(words) -> object:
        golden = open_bundle(tiny_bundle).golden()
        golden.pop("words", None)
        file = io.BytesIO()
        np.savez(file, **golden, **({} if words is None else {"words": words}))
        return open_bundle(remake(files={"golden.npz": file.getvalue()}))

    return write


def test_golden_words_are_cut_out_where_the_bundle_says(with_words):
    bundle = with_words(np.array([[100, 5100], [9000, 17_000]]))
    words = golden_words(bundle)
    assert [(word.start, word.end) for word in words] == [(0.0, 5000 / 16_000), (0.0, 0.5)]
    np.testing.assert_array_equal(words[1].samples * 32768, bundle.golden()["audio"][9000:17_000])


def test_a_bundle_that_says_nothing_of_words_has_none(with_words):
    assert golden_words(with_words(None)) == []


@pytest.mark.parametrize(
    "words", [np.array([[5, 3]]), np.array([[0, 10**9]]), np.array([[-5, 3]]), np.array([1, 2]), np.array([[0.5, 3.5]])]
)
def test_limits_of_words_that_cannot_be_are_a_damaged_bundle(with_words, words):
    with pytest.raises(BundleError, match=r"is damaged: .*word"):
        golden_words(with_words(words))


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
    found = hashlib.sha256(b"".join(to_ppm(camera_picture(*size, 0)) for size in PICTURE_SIZES.values())).hexdigest()
    assert found == "b8ef4349c335a8589b53282f64560b4a6a8dfc635c6a82744b72c927dc553630"


def test_files_are_read_back_as_they_were_made_sizes_in_turn(tmp_path):
    files = write_pictures(tmp_path)
    sizes = [read_picture(file).size for file in files]
    assert sizes == list(PICTURE_SIZES.values()) * PICTURES_PER_SIZE
    assert np.array_equal(np.asarray(read_picture(files[1])), camera_picture(1280, 720, 0))


@pytest.mark.parametrize("change", ["file", "golden"])
def test_the_hash_covers_files_and_golden_pictures(tmp_path, change):
    golden = np.zeros((1, 3, 4, 4), np.uint8)
    (tmp_path / "a.ppm").write_bytes(b"a")
    before = picture_hash([tmp_path / "a.ppm"], golden)
    if change == "file":
        (tmp_path / "a.ppm").write_bytes(b"b")
    else:
        golden[0, 0, 0, 0] = 1
    assert picture_hash([tmp_path / "a.ppm"], golden) != before
