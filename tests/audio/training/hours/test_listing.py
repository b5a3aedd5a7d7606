"""Which recordings are mined."""

from __future__ import annotations

import gc
import json

import pytest

from speechtl.audio.recipe import read_recipe
from speechtl.audio.training.selection import EVERYONE, prepare
from speechtl.errors import ManifestError

pytestmark = pytest.mark.usefixtures("known_tiny")


@pytest.fixture
def listed(corpus):
    """Return a function that prepares the recipe with these lines to mine; recordings are those of the noise, in turn."""
    noise = [json.loads(line) for line in (corpus / "noise.jsonl").read_text().splitlines()]

    def make(*lines):
        (corpus / "mine.jsonl").write_text("".join(json.dumps(noise[index % 3] | line) + "\n" for index, line in enumerate(lines)))
        notes: list[str] = []
        data = prepare(read_recipe(corpus / "word.toml", {"data": {"mine": [str(corpus / "mine.jsonl")]}}), notes.append)
        return data, notes

    return make


def test_only_lines_of_the_training_split_are_mined_and_no_one_of_another_split(listed):
    data, notes = listed(
        {"speaker": "a"},
        {"speaker": "b", "split": "train"},
        {"speaker": "p7"},  # of whose positives the split is "validation"
        {"speaker": "c", "split": "validation", "sha256": "1" * 64, "audio_filepath": "other.wav"},
        {"speaker": "C", "sha256": "2" * 64},
        {"speaker": "d", "split": "test", "sha256": "3" * 64, "audio_filepath": "other.wav"},
        {"speaker": "d", "sha256": "4" * 64},
    )
    assert [clip.speaker for clip in data.mine] == ["a", "b"]
    assert len(data.mine) == 2
    assert [note for note in notes if "Left out 3 recordings to mine whose speaker" in note]
    assert [note for note in notes if "2 recordings (4 s) will be heard" in note]


def test_who_is_tested_on_in_a_manifest_to_mine_is_not_trained_on_either(listed):
    data, _ = listed({}, {"speaker": "n2", "split": "test"})
    assert "n2" not in {recording.clip.speaker for recording in data.negatives}


def test_the_word_and_what_the_training_has_are_left_out(listed, corpus):
    negative = json.loads((corpus / "negatives.jsonl").read_text().splitlines()[0])
    data, notes = listed({}, {"text": "burst, please"}, negative)
    assert len(list(data.mine)) == 1
    assert any("1 recording to mine whose text contains 'burst'" in note for note in notes)
    assert any("1 recording to mine that the training has anyway" in note for note in notes)


def test_a_person_of_the_negatives_stays_in_their_fold_and_others_are_for_everyone(listed):
    data, _ = listed({"speaker": "n1"}, {"speaker": "someone"})
    fold = next(recording.fold for recording in data.negatives if recording.clip.speaker == "n1")
    assert [data.mine.fold_of(clip) for clip in data.mine] == [fold, EVERYONE]


def test_nothing_to_mine_is_an_error_that_says_why(listed):
    with pytest.raises(ManifestError, match=r"mine\.jsonl have no line of the training split"):
        listed({"split": "test"})
    with pytest.raises(ManifestError, match=r"Nothing of .*mine\.jsonl is left to mine\. Left out: 1 recording to mine whose text"):
        listed({"text": "burst"})
    with pytest.raises(ManifestError, match=r"none\.wav is missing"):
        listed({"audio_filepath": "none.wav"})


def test_a_recording_of_two_manifests_is_heard_once(listed):
    data, _ = listed({}, {}, {}, {})  # the fourth line is of the first recording
    assert len(data.mine) == 3


def test_the_list_on_disk_goes_with_the_data(listed):
    data, _ = listed({})
    path = data.mine.listing.listed.path
    assert path.is_file()
    del data
    gc.collect()
    assert not path.parent.exists()


def test_the_key_is_that_of_the_lines(listed):
    one, same, other = (listed(*lines)[0].mine.key for lines in ([{}], [{}], [{}, {}]))
    assert one == same != other
