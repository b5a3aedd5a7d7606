import json
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from speechtl.errors import BundleError, SpeechtlError
from speechtl.runtime.bundle import archive as module
from speechtl.runtime.bundle.archive import bundle_kind, write_bundle
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector
from speechtl.runtime.parity import verify


def read(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, target, change) -> None:
    """Copy a bundle with its description changed in place, hashes and all as they were."""
    files = read(path)
    about = json.loads(files["bundle.json"])
    about = change(about) or about
    files["bundle.json"] = json.dumps(about).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def test_a_bundle_tells_what_it_is(tiny_bundle, tiny_run):
    bundle = open_bundle(tiny_bundle)
    assert bundle.name == "burst"
    assert [word.trigger for word in bundle.words] == [tiny_run.trigger]
    assert bundle.features == tiny_run.network.encoder.features
    assert bundle.frames_per_step == 4
    assert list(bundle.graphs) == ["model.onnx"]


def test_any_zip_tool_reads_it_and_it_holds_no_pickle(tiny_bundle):
    files = read(tiny_bundle)
    assert set(files) == {"bundle.json", "model.onnx", "golden.npz"}
    assert zipfile.ZipFile(tiny_bundle).testzip() is None
    assert json.loads(files["bundle.json"])["schema"] == 1
    with np.load(tiny_bundle.parent / "burst.wake", allow_pickle=False) as outer:
        assert "golden.npz" in outer.files


@pytest.mark.parametrize("content", [b"", b"RIFF" * 100, b"wake up\n" * 50], ids=["empty", "binary", "text"])
def test_what_is_no_zip_is_refused(tmp_path, content):
    (tmp_path / "a.wake").write_bytes(content)
    with pytest.raises(BundleError, match="not a bundle"):
        open_bundle(tmp_path / "a.wake")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_bundle_cut_short_is_refused(tiny_bundle, tmp_path, share):
    content = tiny_bundle.read_bytes()
    (tmp_path / "a.wake").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BundleError, match=r"cut short|no bundle"):
        open_bundle(tmp_path / "a.wake")


def test_a_file_that_is_not_listed_is_refused(tiny_bundle, tmp_path):
    (tmp_path / "a.wake").write_bytes(tiny_bundle.read_bytes())
    with zipfile.ZipFile(tmp_path / "a.wake", "a") as archive:
        archive.writestr("extra.txt", "hello")
    with pytest.raises(BundleError, match=r"'extra.txt', which its bundle.json does not list"):
        open_bundle(tmp_path / "a.wake")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(tiny_bundle, tmp_path):
    (tmp_path / "a.wake").write_bytes(tiny_bundle.read_bytes())
    with zipfile.ZipFile(tmp_path / "a.wake", "a") as archive:
        archive.writestr("model.onnx", b"other")
    with pytest.raises(BundleError, match=r"'model.onnx', which its bundle.json does not list"):
        open_bundle(tmp_path / "a.wake")


@pytest.mark.parametrize("schema", [True, 0, -1, "1", 1.5])
def test_a_schema_that_is_no_number_from_one_on_is_refused(tiny_bundle, tmp_path, schema):
    rewrite(tiny_bundle, tmp_path / "a.wake", lambda about: about.update(schema=schema))
    with pytest.raises(BundleError, match="no schema number"):
        open_bundle(tmp_path / "a.wake")


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(BundleError, match=r"folder.*speechtl export"):
        open_bundle(tmp_path)
    with pytest.raises(BundleError, match="does not exist"):
        open_bundle(tmp_path / "none.wake")


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_a_changed_byte_is_noticed(tiny_bundle, tmp_path, name):
    content = bytearray(tiny_bundle.read_bytes())
    with zipfile.ZipFile(tiny_bundle) as archive:
        entry = archive.getinfo(name)
    content[entry.header_offset + zipfile.sizeFileHeader + len(name) + entry.compress_size // 2] ^= 1
    (tmp_path / "a.wake").write_bytes(content)
    with pytest.raises(BundleError, match=f"damaged: {name}"):
        open_bundle(tmp_path / "a.wake")


def test_content_of_right_checksum_and_wrong_hash_is_noticed(tiny_bundle, tmp_path):
    files = read(tiny_bundle)
    files["model.onnx"] = files["model.onnx"][::-1]
    with zipfile.ZipFile(tmp_path / "a.wake", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    bundle = open_bundle(tmp_path / "a.wake")
    with pytest.raises(BundleError, match="does not match its hash"):
        bundle.files.check_hashes()


def test_another_size_than_the_listed_one_is_noticed(tiny_bundle, tmp_path):
    files = read(tiny_bundle) | {"model.onnx": b"cut"}
    with zipfile.ZipFile(tmp_path / "a.wake", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(BundleError, match=r"model\.onnx has 3 bytes"):
        open_bundle(tmp_path / "a.wake")


def test_a_bundle_that_was_replaced_since_it_was_opened_is_noticed(tiny_bundle, remake, tmp_path):
    path = tmp_path / "a.wake"
    path.write_bytes(tiny_bundle.read_bytes())
    bundle = open_bundle(path)
    path.write_bytes(remake(files={"model.onnx": b"another"}, name="b.wake").read_bytes())
    with pytest.raises(BundleError, match=r"model\.onnx"):
        bundle.files["model.onnx"]


def test_detection_loads_no_hashes(tiny_bundle):
    """They would take 4 MB of its memory, and masked arrays one."""
    said = "import sys; from speechtl.runtime import Detector; Detector.open(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", said, str(tiny_bundle)], check=True, capture_output=True, text=True)
    assert not {"_hashlib", "numpy.ma"} & set(done.stdout.split())


def test_any_single_changed_byte_is_refused_or_harmless(tiny_bundle, tmp_path):
    content = tiny_bundle.read_bytes()
    whole = open_bundle(tiny_bundle)
    random = np.random.default_rng(0)
    tail = content.rindex(b"PK\x01\x02") - 400  # the zip's directory, where every byte has a meaning
    places = [*random.integers(len(content), size=150), *random.integers(tail, len(content), size=150), *range(0, 60)]
    path = tmp_path / "a.wake"
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << random.integers(8)
        path.write_bytes(changed)
        try:
            opened = open_bundle(path)
        except BundleError:
            continue
        assert opened.about == whole.about
        assert opened.files == whole.files


def test_the_kind_is_told_without_reading_the_files(tiny_bundle, halves, remake, tmp_path):
    assert bundle_kind(tiny_bundle) == "wake word"
    assert bundle_kind(halves / "halves.wake") == "image"
    assert bundle_kind(remake({"kind": "smell"})) == "smell"
    changed = bytearray(tiny_bundle.read_bytes())
    changed[changed.index(b"model.onnx", changed.index(b"PK\x03\x04", 10)) + 100] ^= 1  # in a file's content
    (tmp_path / "changed.wake").write_bytes(changed)
    assert bundle_kind(tmp_path / "changed.wake") == "wake word"


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_what_is_no_bundle_has_no_kind(tiny_bundle, tmp_path, content):
    whole = tiny_bundle.read_bytes()
    (tmp_path / "a.wake").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(BundleError, match="is not a bundle, or was cut short"):
        bundle_kind(tmp_path / "a.wake")
    with pytest.raises(BundleError, match="does not exist"):
        bundle_kind(tmp_path / "none.wake")


def test_a_newer_schema_asks_for_an_update(tiny_bundle, tmp_path):
    rewrite(tiny_bundle, tmp_path / "a.wake", lambda about: about.update(schema=99))
    with pytest.raises(BundleError, match=r"schema 99.*pip install -U"):
        open_bundle(tmp_path / "a.wake")


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil", "a/b.txt", "..", "..\\evil.txt"])
def test_a_path_that_climbs_is_refused(tiny_bundle, tmp_path, name):
    shutil.copy(tiny_bundle, tmp_path / "a.wake")
    with zipfile.ZipFile(tmp_path / "a.wake", "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(BundleError, match="not safe"):
        open_bundle(tmp_path / "a.wake")


def test_opening_unpacks_nothing(tiny_bundle, tmp_path, monkeypatch):
    shutil.copy(tiny_bundle, tmp_path / "a.wake")
    monkeypatch.chdir(tmp_path)
    open_bundle("a.wake")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wake"]


def test_a_zip_without_a_description_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.wake", "w") as archive:
        archive.writestr("model.onnx", b"x")
    with pytest.raises(BundleError, match=r"has no bundle\.json"):
        open_bundle(tmp_path / "a.wake")


@pytest.mark.slow
def test_a_bundle_that_unpacks_to_gigabytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.wake", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("model.onnx", "w") as entry:
            for _ in range(260):
                entry.write(b"\0" * 2**20)
        archive.writestr("bundle.json", "{}")
    with pytest.raises(BundleError, match="larger than"):
        open_bundle(tmp_path / "a.wake")


def test_only_what_packs_well_is_packed(tiny_bundle, tmp_path):
    bundle = open_bundle(tiny_bundle)
    about = {key: value for key, value in bundle.about.items() if key not in ("schema", "files")}
    noise = np.random.default_rng(0).bytes(10_000)
    write_bundle(tmp_path / "a.wake", about, {**dict(bundle.files.items()), "noise": noise, "zeros": bytes(10_000)})
    with zipfile.ZipFile(tmp_path / "a.wake") as archive:
        assert archive.getinfo("noise").compress_type == zipfile.ZIP_STORED
        assert archive.getinfo("zeros").compress_size < 100
    assert open_bundle(tmp_path / "a.wake").files["noise"] == noise


def test_a_large_bundle_that_is_stored_as_it_is_opens(tiny_bundle, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    assert open_bundle(tiny_bundle).name == "burst"


@pytest.mark.parametrize("key", ["name", "phrases", "features", "chunk", "states", "detector", "graphs", "files"])
def test_a_missing_key_is_named(tiny_bundle, tmp_path, key):
    rewrite(tiny_bundle, tmp_path / "a.wake", lambda about: about.pop(key) and None)
    with pytest.raises(BundleError, match=f"no '{key}'"):
        open_bundle(tmp_path / "a.wake")


@pytest.mark.parametrize("wrong", [[], "text", None, 7, {}], ids=repr)
def test_a_description_that_is_no_description_is_refused(tiny_bundle, tmp_path, wrong):
    files = read(tiny_bundle) | {"bundle.json": json.dumps(wrong).encode()}
    with zipfile.ZipFile(tmp_path / "a.wake", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(BundleError):
        open_bundle(tmp_path / "a.wake")


@pytest.mark.parametrize("key", ["features", "chunk", "states", "detector", "graphs", "files"])
@pytest.mark.parametrize("wrong", [[], "text", None, 7, {"a": 1}, [{"a": 1}], {"model.onnx": 3}], ids=repr)
def test_values_of_the_wrong_kind_are_refused_in_words(tiny_bundle, tmp_path, key, wrong):
    rewrite(tiny_bundle, tmp_path / "a.wake", lambda about: about.update({key: wrong}))
    with pytest.raises(SpeechtlError):
        Detector.open(tmp_path / "a.wake")


@pytest.mark.parametrize(
    "changes",
    [
        {"chunk": {"frames": 0, "silent_steps": 3}},
        {"chunk": {"frames": -4, "silent_steps": 3}},
        {"chunk": {"frames": 4, "silent_steps": -1}},
        {"features": {"kind": "log_mel", "hop": 0}},
        {"features": {"kind": "log_mel", "bands": 0}},
        {"features": {"kind": "log_mel", "bands": "many"}},
        {"features": {"kind": "log_mel", "window": 4000}},
        {"features": {"kind": "log_mel", "sample_rate": 0}},
        {"features": {"kind": "log_mel", "sample_rate": 8000}},
        {"states": [{"name": "state_0", "output": "new_state_0", "shape": [-1, 2]}]},
        {"detector": {"threshold": "high"}},
        {"detector": {"threshold": 0.5, "smoothing": 1.5}},
        {"detector": {"threshold": 0.5, "smoothing": 2, "refractory": float("nan")}},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_in_words(remake, changes):
    with pytest.raises(BundleError):
        Detector.open(remake(changes))


@pytest.mark.parametrize("name", ["", "two\nlines", "nothing\0behind", "bell\a"])
def test_a_name_that_cannot_be_printed_or_told_to_a_command_is_refused(remake, name):
    with pytest.raises(BundleError, match=r"\bname\b.*(printable|printed)"):
        open_bundle(remake({"name": name}))


def test_unknown_detector_settings_are_refused(remake):
    with pytest.raises(BundleError, match=r"detector has 'patience', which this version"):
        open_bundle(remake({"detector": {"threshold": 0.5, "patience": 3}}))


def test_a_graph_that_is_named_and_not_there_is_refused(remake):
    with pytest.raises(BundleError, match=r"the graph 'model\.int8\.onnx', which is not in it"):
        open_bundle(remake({"graphs": {"model.int8.onnx": {"runtime": "onnx"}}}))


def test_writing_the_same_twice_gives_the_same_bytes(remake):
    assert remake(name="a.wake").read_bytes() == remake(name="b.wake").read_bytes()


def test_golden_audio_that_is_absent_is_reported(remake, tmp_path, tiny_bundle):
    files = read(tiny_bundle)
    about = json.loads(files["bundle.json"])
    del about["files"]["golden.npz"]
    with zipfile.ZipFile(tmp_path / "a.wake", "w") as archive:
        archive.writestr("bundle.json", json.dumps(about))
        archive.writestr("model.onnx", files["model.onnx"])
    with pytest.raises(BundleError, match="golden"):
        verify(open_bundle(tmp_path / "a.wake"))


def test_golden_audio_that_cannot_be_read_is_a_damaged_bundle(tiny_bundle, tmp_path):
    bundle = open_bundle(tiny_bundle)
    files = {**bundle.files, "golden.npz": b"no arrays"}
    about = {key: value for key, value in bundle.about.items() if key not in ("schema", "files")}
    write_bundle(tmp_path / "a.wake", about, files)
    with pytest.raises(BundleError, match=r"golden\.npz cannot be read"):
        open_bundle(tmp_path / "a.wake").golden()
