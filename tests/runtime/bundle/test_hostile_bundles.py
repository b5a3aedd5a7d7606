import contextlib
import io
import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechtl.errors import BundleError
from speechtl.runtime.bundle.arrays import read_arrays
from speechtl.runtime.bundle.description import read_description
from speechtl.runtime.bundle.document import read_document
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine.onnx_check import check_onnx
from speechtl.runtime.engine.trial import try_out

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=20),
    st.floats(),
    st.integers(),
    st.sampled_from([1e308, 10**5000, -1, 10**9, "5", [], {}, [[1]], {"a": 1}]),
)
FIELDS = [
    ("features", "hop"),
    ("features", "dft"),
    ("features", "window"),
    ("features", "bands"),
    ("features", "low_hz"),
    ("features", "high_hz"),
    ("features", "floor_db"),
    ("chunk", "frames"),
    ("chunk", "silent_steps"),
    ("detector", "threshold"),
    ("detector", "smoothing"),
    ("detector", "refractory"),
    ("states", 0, "shape", 0),
    ("states", 0, "name"),
    ("states",),
    ("graphs", "model.onnx", "default"),
    ("graphs", "model.onnx", "tolerance"),
    ("graphs", "model.onnx", "layout"),
    ("parity", 0, "ok"),
    ("encoder", "source"),
    ("data", "recordings"),
    ("name",),
    ("phrases",),
    ("words",),
]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(FIELDS), value=ODD)
def test_any_value_in_any_field_is_taken_or_refused_in_words(tiny_bundle, place, value):
    about = json.loads(json.dumps(dict(open_bundle(tiny_bundle).about)))
    held = about
    for key in place[:-1]:
        held = held[key]
    held[place[-1]] = value
    said = ""
    try:
        read_description(about)
    except BundleError as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) < 500


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ({"detector": {"threshold": True}}, r"detector\.threshold must be a number from 0 to 1; got True"),
        ({"detector": {"smoothing": 10**9}}, r"detector\.smoothing must be a whole number from 1 to 1000"),
        ({"chunk": {"frames": 10**400, "silent_steps": 1}}, "63 bits"),
    ],
    ids=["boolean", "smoothing", "huge"],
)
def test_the_field_is_named(remake, field, sentence):
    with pytest.raises(BundleError, match=sentence):
        open_bundle(remake(field))


def test_the_word_is_named(tiny_bundle):
    about = dict(open_bundle(tiny_bundle).about)
    word = {"name": "one", "phrases": [], "detector": {"smoothing": 1}}
    about["words"] = [word, {**word, "name": "two", "detector": {"smoothing": 0}}]
    with pytest.raises(BundleError, match=r"words\[1\]\.detector\.smoothing"):
        read_description(about)
    about["words"] = [{**word, "name": str(index)} for index in range(257)]
    with pytest.raises(BundleError, match="words must be a list of 0 to 256"):
        read_description(about)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b"[" * 50 + b"]" * 50,
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\\ud800"}',
        b'{"a": "\\u001b[2J"}',
        b'{"\\n": 1}',
        b'{"a": "' + b"x" * 5000 + b'"}',
        b"[" + b"1," * 200_000 + b"1]",
        b" " * (2**21 + 1),
    ],
    ids=["deep", "nested", "twice", "NaN", "infinite", "digits", "surrogate", "ANSI", "key", "long", "many", "large"],
)
def test_a_document_that_would_do_harm_is_refused(content):
    with pytest.raises(ValueError):  # noqa: PT011
        read_document(content)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_a_value_error(content):
    with contextlib.suppress(ValueError):
        read_document(content)


def npz(**arrays: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(shape: object, descr: str = "<i2", data: bytes = b"") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


@pytest.mark.parametrize(
    "content",
    [
        npy((10**12,)),
        npy((2**40, 2**40)),
        npy((0,)),
        npy((-3,)),
        npy((True,)),
        npy((2,), "|O", bytes(16)),
        npy((2,), "<U100000", bytes(16)),
        npy((4,), data=bytes(2)),
        npy((4,), data=bytes(2**22)),
        b"no array",
        npy((4,), data=bytes(8)).replace(b"(4,)", b"((4,"),
    ],
    ids=["huge", "overflow", "empty", "negative", "boolean", "object", "text", "short", "long", "none", "unclosed"],
)
def test_an_array_that_is_not_as_announced_is_refused_before_it_is_read(content):
    with pytest.raises(ValueError):  # noqa: PT011
        read_arrays(npz(audio=content), {"audio": (1, 1000)})


def test_an_array_keeps_its_values_and_others_are_not_read():
    content = npz(audio=npy((2, 3), data=np.arange(6, dtype="<i2").tobytes()), other=b"anything")
    arrays = read_arrays(content, {"audio": (1, 6)})
    assert list(arrays) == ["audio"]
    assert arrays["audio"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_zip_of_thousands_of_entries_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.wake", "w") as archive:
        for index in range(2000):
            archive.writestr(str(index), b"")
    with pytest.raises(BundleError, match="more files than a bundle may have"):
        open_bundle(tmp_path / "a.wake")


def test_a_child_that_dies_or_wants_all_memory_is_one_sentence():
    with pytest.raises(BundleError, match=r"a\.tflite is damaged: it crashes its runtime \(SIGABRT\)"):
        try_out(os.abort, 0, "a.tflite")
    with pytest.raises(BundleError, match="crashes its runtime"):
        try_out(lambda: bytearray(2**30), 0, "a.tflite")
    try_out(lambda: None, 0, "a.tflite")


def test_what_the_child_refuses_is_refused_in_its_words():
    def refuse() -> None:
        raise BundleError("It has three legs.")

    with pytest.raises(BundleError, match=r"It has three legs\."):
        try_out(refuse, 0, "a.tflite")


def message(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def test_a_graph_that_names_another_file_is_refused():
    entry = message(1, b"location") + message(2, b"/etc/passwd")
    for tensor in (message(13, entry), b"\x70\x01"):
        with pytest.raises(ValueError, match="another file"):
            check_onnx(message(7, message(5, tensor)))
        with pytest.raises(ValueError, match="another file"):
            check_onnx(message(7, message(1, message(5, message(5, tensor)))))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_an_onnx_graph_or_a_value_error(content):
    with contextlib.suppress(ValueError):
        check_onnx(content)
