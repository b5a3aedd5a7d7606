import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from speechtl.errors import AudioError
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector, Scorer
from speechtl.runtime.features import LogMel, Waveform
from speechtl.runtime.samples import from_int16, to_float, to_int16, to_symmetric_int16

PCM = np.array([0, 1, -1, 32767, -32768], np.int16)
FLOATS = PCM.astype(np.float32) / 32768


@pytest.fixture(scope="module")
def feeds(tiny_bundle) -> list:
    """Everything public that takes samples."""
    log_mel, waveform = LogMel(), Waveform()
    return [
        Detector.open(tiny_bundle).feed,
        Scorer.of(open_bundle(tiny_bundle)).feed,
        log_mel.feed,
        log_mel.compute,
        waveform.feed,
        waveform.compute,
    ]


@pytest.mark.parametrize(
    ("given", "write"),
    [
        (PCM.tobytes(), "np.frombuffer(x, np.int16)"),
        (bytearray(PCM.tobytes()), "np.frombuffer(x, np.int16)"),
        (memoryview(PCM.tobytes()), "np.frombuffer(x, np.int16)"),
        (PCM.tolist(), "np.array(x, np.int16)"),
        (tuple(PCM.tolist()), "np.array(x, np.int16)"),
        (PCM.astype(np.int32), "x.astype(np.int16)"),
        (PCM.astype(np.int64), "x.astype(np.int16)"),
        (PCM.astype(">i2"), "x.astype(np.int16)"),
        (PCM.astype(np.int32) * 65536, "x.astype(np.float32) / 2**31"),
        (PCM.astype(np.float32), "x.astype(np.int16)"),
        (PCM.astype(np.float64), "x.astype(np.int16)"),
        (PCM.astype(float).tolist(), "np.array(x, np.int16)"),
        (FLOATS.astype(np.float16), "x.astype(np.float32)"),
        (FLOATS.astype(np.longdouble), "x.astype(np.float32)"),
        (PCM[:, None], "x[:, 0]"),
        (np.stack([PCM, PCM], axis=1), "x[:, 0]"),
        (np.stack([PCM, PCM]), "x[0]"),
        (PCM[None, :, None], "np.ravel(x)"),
        (PCM > 0, "np.asarray(x, np.int16)"),
        (FLOATS.astype(complex), "np.asarray(x, np.int16)"),
        (PCM.astype(object), "np.asarray(x, np.int16)"),
        ([[1, 2], [3]], "cannot be converted"),
        ("samples", "one-dimensional"),
        (None, "one-dimensional"),
        (5, "one-dimensional"),
        (np.array([0.0, np.nan]), "not numbers"),
        ([0.0, float("inf")], "not numbers"),
        ([1e300], "not numbers"),
        ([10**400], "np.asarray"),
    ],
)
def test_what_cannot_be_taken_says_what_to_write(feeds, given, write):
    for feed in feeds:
        with pytest.raises(AudioError) as refused:
            feed(given)
        assert write in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [PCM, array.array("h", PCM.tolist()), memoryview(PCM), PCM[::-1][::-1], FLOATS, FLOATS.astype(np.float64), FLOATS.tolist(), PCM.view()],
)
def test_the_same_samples_in_every_form_that_is_taken(given):
    np.testing.assert_array_equal(to_float(given), FLOATS)


@pytest.mark.parametrize("given", [[], (), np.zeros(0, np.int16), np.zeros(0, np.float64)])
def test_nothing_is_taken_as_no_samples(feeds, given):
    assert all(len(feed(given)) == 0 for feed in feeds)


def test_floats_a_little_beyond_full_scale_are_taken():
    np.testing.assert_array_equal(to_float(np.array([1.5, -3.0])), np.array([1.5, -3.0], np.float32))


ANYTHING = st.one_of(
    st.none(),
    st.binary(max_size=8),
    st.text(max_size=4),
    st.lists(st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=2), st.lists(st.integers(), max_size=2))),
    arrays.arrays(
        st.one_of(arrays.scalar_dtypes(), arrays.unicode_string_dtypes(max_len=2)), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0)
    ),
)


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
def test_anything_at_all_is_samples_or_a_sentence(given):
    refusal = ""
    try:
        samples = to_float(given)
    except AudioError as error:
        refusal = str(error)
    if refusal:
        assert refusal[0].isupper()
        assert "\n" not in refusal
    else:
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert np.isfinite(samples).all()


def test_int16_samples_come_back_from_float():
    every = np.arange(-32768, 32768).astype(np.int16)
    floats = from_int16(every)
    assert (floats.dtype, floats.min(), floats.max()) == (np.float32, -1.0, 32767 / 32768)
    np.testing.assert_array_equal(to_int16(floats), every)
    np.testing.assert_array_equal(to_int16(floats.astype(np.float64)), every)


def test_samples_are_rounded_and_clipped_to_int16():
    samples = np.array([-2.0, -1.0, -0.6 / 32768, 0.4 / 32768, 0.6 / 32768, 1.0, 2.0], np.float32)
    np.testing.assert_array_equal(to_int16(samples), np.array([-32768, -32768, -1, 0, 1, 32767, 32767], np.int16))


def test_a_full_scale_wave_is_symmetric_in_int16():
    np.testing.assert_array_equal(to_symmetric_int16(np.array([-2.0, -1.0, 0.0, 1.0, 2.0])), [-32767, -32767, 0, 32767, 32767])
