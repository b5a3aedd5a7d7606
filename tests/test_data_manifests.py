import os
import re
from pathlib import Path

import pytest

from speechtl.audio.data.check import duplicates, split_leaks, validate
from speechtl.audio.data.manifest import read_manifest, read_manifests
from speechtl.audio.data.stats import stats

ROOT = Path(__file__).parents[1]
MANIFESTS = sorted((ROOT / "data_manifests").glob("*.jsonl"))
SMALL = ("precise_computer", "wake_alexa", "noise_kitchen", "rir")


@pytest.fixture(scope="module")
def clips():
    return read_manifests(MANIFESTS)


def test_there_are_manifests():
    assert len(MANIFESTS) == 31


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_line_has_address_licence_and_hashes(path):
    for clip in read_manifest(path):
        assert clip.license, clip.where
        assert clip.sha256, clip.where
        assert clip.source_sha256, clip.where
        assert re.fullmatch(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/[\w./%~-]+", clip.url or ""), clip.where
        assert clip.audio_filepath.startswith(f"{path.stem}/"), clip.where


def test_no_speaker_is_in_two_splits(clips):
    assert split_leaks(clips) == []


@pytest.mark.slow
def test_no_recording_stands_twice(clips):
    assert duplicates(clips) == []


@pytest.mark.parametrize("name", ["wake_computer", "wake_jarvis", "wake_smart_mirror", "wake_alexa"])
def test_wake_words_have_plausible_limits(name):
    clips = read_manifest(ROOT / "data_manifests" / f"{name}.jsonl")
    lengths = [clip.word_end - clip.word_start for clip in clips if clip.word_start is not None]
    assert len(lengths) >= len(clips) - 1
    assert sum(0.35 <= length <= 1.3 for length in lengths) >= 0.97 * len(lengths)


@pytest.mark.slow
def test_the_table_in_the_readme_is_that_of_the_manifests(load_program):
    table = load_program("training/make_manifests").table(stats(MANIFESTS))
    assert table in (ROOT / "data_manifests" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.skipif(not os.environ.get("SPEECHTL_DATA"), reason="SPEECHTL_DATA is not set: the recordings are not here")
def test_the_recordings_of_small_sets_are_there_whole_and_as_described():
    report = validate([ROOT / "data_manifests" / f"{name}.jsonl" for name in SMALL])
    assert report.clips > 200
    assert [str(problem) for problem in report.problems] == []
