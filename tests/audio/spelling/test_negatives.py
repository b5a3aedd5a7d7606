"""Default negatives come from SPEECHTL_DATA, the cache or a download; without any the sentence says what to do."""

import json

import pytest

from speechtl.audio.spelling import manifests, negatives
from speechtl.audio.spelling.negatives import are_at_hand, default_recordings, expected_bytes
from speechtl.errors import SpeechtlError

PORT = 9  # discard: nobody listens


@pytest.fixture
def few(tmp_path, monkeypatch):
    """Manifests of two recordings each, of which none is here, and that nobody serves."""
    (tmp_path / "manifests").mkdir()
    for names in negatives.SETS.values():
        for name in names:
            lines = [
                {
                    "audio_filepath": f"{name}/{index}.wav",
                    "duration": 2.0,
                    "sha256": f"{index}" * 64,
                    "url": f"http://127.0.0.1:{PORT}/{name}.wav",
                }
                for index in range(2)
            ]
            (tmp_path / "manifests" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(manifests, "PLACES", (tmp_path / "manifests",))
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPEECHTL_DATA", str(tmp_path / "data"))
    return tmp_path


def put(folder, names) -> None:
    for name in names:
        for index in range(2):
            path = folder / "data" / name / f"{index}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"here")


def test_without_a_network_one_sentence_says_what_to_do(few):
    said = []
    with pytest.raises(SpeechtlError) as caught:
        default_recordings(said.append)
    message = str(caught.value)
    assert "could not be downloaded: http://127.0.0.1:9/" in message
    assert "SPEECHTL_DATA" in message
    assert "--negatives FOLDER" in message
    assert "\n" not in message
    assert "about 0.8 MB, once" in said[0]  # twelve recordings of 2 s


def test_what_is_in_speechtl_data_is_not_downloaded(few):
    put(few, [name for names in negatives.SETS.values() for name in names])
    said = []
    found = default_recordings(said.append)
    assert said == []
    assert [path.stem for path in found["negatives"]] == list(negatives.SETS["negatives"])
    assert are_at_hand()


def test_training_goes_on_where_most_negatives_are_here(few):
    put(few, negatives.SETS["negatives"])
    said = []
    assert set(default_recordings(said.append)) == {"negatives", "noise", "music"}
    assert "Training goes on with the others" in said[-1]


def test_the_manifests_are_in_the_wheel(tmp_path):
    from speechtl.toml_files import read_toml
    from tests.conftest import ROOT

    included = read_toml(ROOT / "pyproject.toml")["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {
        f"data_manifests/{name}.jsonl": f"speechtl/manifests/{name}.jsonl" for names in negatives.SETS.values() for name in names
    }
    assert all((ROOT / path).is_file() for path in included)


def test_the_size_is_told_before_a_download(few):
    from speechtl.audio.data.manifest import read_manifest

    assert expected_bytes(read_manifest(few / "manifests" / "librispeech.jsonl")) == 2 * 2 * 32_000
