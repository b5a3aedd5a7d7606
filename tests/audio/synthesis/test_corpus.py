"""A corpus spoken by the synthesisers that are on this machine: shards, resuming, and what goes wrong."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.manifest import read_manifest, usable
from speechtl.audio.data.recordings import load_recordings
from speechtl.audio.synthesis import corpus as spoken_corpus
from speechtl.audio.synthesis.base import RawSpeech, SpokenText
from speechtl.audio.synthesis.corpus import make_corpus
from speechtl.audio.synthesis.espeak import find_espeak
from speechtl.audio.synthesis.kokoro import Kokoro
from speechtl.audio.synthesis.sentences import contains_phrase
from speechtl.errors import AudioError, MissingExtraError, SpeechtlError
from tests.audio.synthesis.tiny_kokoro import tiny_kokoro

pytest.importorskip("espeakng_loader")

HOURS = 60 / 3600  # three shards of the size below, more or less
WORDS = ("zebra", "lamp", "seventeen", "don't")
SETTINGS: dict[str, Any] = {"seed": 3, "words": WORDS, "without": ("computer", "seven")}


@pytest.fixture(autouse=True)
def small_shards_without_recorded_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let eSpeak NG speak, which is fast and everywhere, in shards of twelve."""
    monkeypatch.setattr(spoken_corpus, "SHARD", 12)
    monkeypatch.setattr(spoken_corpus, "find_synthesizers", lambda: [find_espeak()])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spoken_corpus, "SHARD", 12)
        patch.setattr(spoken_corpus, "find_synthesizers", lambda: [find_espeak()])
        return make_corpus(folder, HOURS, **SETTINGS)


def shards(folder: Path, count: int) -> dict[str, str]:
    """Return the hashes of the files of the first shards; how many more there are depends on the number of workers."""
    paths = [path for index in range(count) for path in (folder / f"{index:05d}").iterdir()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def hours_of(manifest: Path) -> float:
    return sum(clip.duration for clip in read_manifest(manifest)) / 3600


def test_a_corpus_has_the_hours_asked_for_and_lines_that_describe_their_files(corpus: Path) -> None:
    clips = usable(read_manifest(corpus), lambda clip, reason: pytest.fail(f"{clip.where}: {reason}"))
    assert HOURS <= hours_of(corpus) < HOURS + 10 / 3600
    for clip in clips:
        assert clip.path is not None
        info = soundfile.info(clip.path)
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16_000, 1)
        assert info.duration == clip.duration
        assert hashlib.sha256(clip.path.read_bytes()).hexdigest() == clip.sha256
        assert (clip.source, clip.license, clip.label) == ("synthesised", "CC0-1.0", None)
    assert len({clip.speaker for clip in clips}) > 0.5 * len(clips)
    assert not any(contains_phrase(clip.text or "", SETTINGS["without"]) for clip in clips)
    assert len(load_recordings(clips, on_skip=pytest.fail)) == len(clips)


def test_speech_has_silence_around_it_and_levels_that_differ(corpus: Path) -> None:
    levels = []
    for recording in load_recordings(read_manifest(corpus), on_skip=pytest.fail):
        loud = np.flatnonzero(np.abs(recording.samples()) > 1e-3)
        before, after = loud[0] / 16_000, recording.seconds - loud[-1] / 16_000
        assert 0.04 < before < 0.6
        assert 0.04 < after < 0.8
        levels.append(20 * np.log10(np.sqrt(np.mean(recording.samples() ** 2))))
    assert np.std(levels) > 2
    assert -36 < min(levels) < max(levels) < -18


def test_the_number_of_workers_changes_nothing(corpus: Path, tmp_path: Path) -> None:
    again = make_corpus(tmp_path, HOURS, workers=1, **SETTINGS)
    assert again.read_text(encoding="utf-8") == corpus.read_text(encoding="utf-8")
    assert shards(tmp_path, 2) == shards(corpus.parent, 2)


def test_another_seed_gives_another_corpus(corpus: Path, tmp_path: Path) -> None:
    other = read_manifest(make_corpus(tmp_path, HOURS, **{**SETTINGS, "seed": 4}))
    assert {clip.sha256 for clip in other}.isdisjoint(clip.sha256 for clip in read_manifest(corpus))


def test_a_killed_corpus_goes_on_where_it_stopped(corpus: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from speechtl.audio.synthesis import corpus as c\n"
        "from speechtl.audio.synthesis.espeak import find_espeak\n"
        "c.SHARD = 12; c.find_synthesizers = lambda: [find_espeak()]\n"
        f"c.make_corpus(sys.argv[1], 100, **{SETTINGS!r})"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as process:
        while not (tmp_path / "00000").exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "manifest.jsonl").exists()
    (tmp_path / ".00001.part").mkdir(exist_ok=True)
    (tmp_path / ".00001.part" / "half.flac").write_bytes(b"fL")
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "00000").iterdir()}
    manifest = make_corpus(tmp_path, HOURS, **SETTINGS)
    assert manifest.read_text(encoding="utf-8") == corpus.read_text(encoding="utf-8")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert not list(tmp_path.glob(".*.part"))


def test_a_finished_corpus_is_not_spoken_again_and_more_hours_extend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = make_corpus(tmp_path, HOURS / 2, **SETTINGS).read_text(encoding="utf-8")
    long = make_corpus(tmp_path, HOURS, **SETTINGS).read_text(encoding="utf-8")
    assert long.startswith(short)
    assert len(long) > 1.5 * len(short)
    monkeypatch.setattr(spoken_corpus, "speak_all", lambda *_given: pytest.fail("spoken again"))
    spoken = {path.name for path in tmp_path.iterdir()}
    make_corpus(tmp_path, HOURS / 3, workers=1, **SETTINGS)
    assert {path.name for path in tmp_path.iterdir()} == spoken


class _Failing:
    """eSpeak NG, with texts at which it fails, falls silent or talks without end."""

    name = "espeak"

    def __init__(self) -> None:
        found = find_espeak()
        assert found is not None
        self._found = found
        self.voices = found.voices
        self.turn = itertools.count()

    def speak(self, utterance: SpokenText) -> RawSpeech:
        return self._found.speak(utterance)

    def speak_many(self, utterances: Any) -> list[RawSpeech | AudioError]:
        spoken = self._found.speak_many(utterances)
        spoken[0] = AudioError("it choked\non a bone")
        spoken[1] = (np.zeros(16_000, np.float32), 16_000)
        spoken[2] = (np.ones(60 * 16_000, np.float32), 16_000)
        spoken[3] = (np.ones(100, np.float32), 16_000)
        return spoken


def test_utterances_that_fail_are_left_out_and_reported_by_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken_corpus, "find_synthesizers", lambda: [_Failing()])
    first: list[str] = []
    clips = read_manifest(make_corpus(tmp_path, HOURS / 4, on_skip=first.append, workers=1, **SETTINGS))
    assert len(first) % 4 == 0
    assert [reason.partition(": ")[0] for reason in first[:4]] == [f"00000/{number:03d}" for number in range(4)]
    assert first[0].endswith("it choked on a bone")
    assert "gave no sound" in first[1]
    assert "took" in first[2]
    assert "cannot be right" in first[3]
    assert not {clip.audio_filepath for clip in clips} & {f"00000/{number:03d}.flac" for number in range(4)}
    again: list[str] = []
    make_corpus(tmp_path, HOURS / 4, on_skip=again.append, workers=1, **SETTINGS)
    assert again == first


def test_a_synthesiser_that_never_speaks_is_an_error_and_no_endless_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        spoken_corpus, "speak_all", lambda utterances, _synthesizers: dict.fromkeys(range(len(utterances)), AudioError("mute"))
    )
    with pytest.raises(AudioError, match=r"None of 12 utterances could be spoken.*mute"):
        make_corpus(tmp_path, HOURS, **SETTINGS)


def test_progress_rises_to_the_hours_asked_for(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    make_corpus(tmp_path, HOURS / 2, progress=lambda done, total: seen.append((done, total)), **SETTINGS)
    assert seen == sorted(seen)
    assert seen[-1] == (30, 30)


def test_other_settings_in_the_same_folder_are_an_error(corpus: Path) -> None:
    with pytest.raises(SpeechtlError, match=r"started with other settings \(seed 3, now 4\)"):
        make_corpus(corpus.parent, HOURS, **{**SETTINGS, "seed": 4})
    with pytest.raises(SpeechtlError, match="started with other settings"):
        make_corpus(corpus.parent, HOURS, **{**SETTINGS, "words": ()})


def test_two_processes_do_not_make_one_corpus(tmp_path: Path) -> None:
    with spoken_corpus._alone(tmp_path), pytest.raises(SpeechtlError, match="Another process is making the corpus"):
        make_corpus(tmp_path, HOURS, **SETTINGS)


@pytest.mark.parametrize(
    ("hours", "settings", "words"),
    [
        (0, {}, "hours must be above 0"),
        (float("nan"), {}, "hours must be above 0"),
        (1, {"workers": 0}, "workers must be 1 or more"),
        (1, {"seed": -1}, "seed must be 0 or more"),
        (1, {"words": ("42",)}, "None of the words"),
        (1, {"without": ("e", "a", "o")}, "No sentence without"),
        (1, {"without": "computer"}, "must be lists"),
        (1, {"words": "lamp"}, "must be lists"),
    ],
)
def test_settings_that_cannot_be_met_are_errors(tmp_path: Path, hours: float, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SpeechtlError, match=words):
        make_corpus(tmp_path / "new", hours, **{**SETTINGS, **settings})
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpeechtlError, match=r"cannot be written to .*file/corpus: Not a directory"):
        make_corpus(tmp_path / "file" / "corpus", HOURS, **SETTINGS)


def test_a_full_disk_is_an_error_and_leaves_no_half_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, count = Path.write_bytes, itertools.count()

    def write_until_full(path: Path, data: bytes) -> int:
        if next(count) > 15:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(SpeechtlError, match=r"No space left on device\. Free some space"):
        make_corpus(tmp_path, HOURS, workers=1, **SETTINGS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000", "settings.json"]
    monkeypatch.undo()


def test_without_a_synthesiser_the_error_tells_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        make_corpus(tmp_path, HOURS, **SETTINGS)


def test_manifest_lines_are_json_objects_with_the_usual_keys(corpus: Path) -> None:
    keys = {tuple(json.loads(line)) for line in corpus.read_text(encoding="utf-8").splitlines()}
    assert keys == {("audio_filepath", "duration", "text", "speaker", "source", "license", "sha256")}


@pytest.fixture
def kokoro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kokoro:
    """A small Kokoro beside eSpeak NG; one in two of its voices is silent, alone or as most of a blend."""
    folder = tmp_path / "kokoro"
    folder.mkdir()
    made = tiny_kokoro(folder, monkeypatch, peaks={"af_one": 0.5, "am_two": 0.6, "zf_silent": 0.001, "zm_silent": 0.001})
    monkeypatch.setattr(spoken_corpus, "find_synthesizers", lambda: [find_espeak(), made])
    return made


def test_takes_that_cannot_be_right_are_said_by_another_natural_voice(tmp_path: Path, kokoro: Kokoro) -> None:
    skipped: list[str] = []
    clips = read_manifest(make_corpus(tmp_path / "corpus", HOURS, on_skip=skipped.append, workers=1, **SETTINGS))
    plan = spoken_corpus.draw_plan(**SETTINGS)
    planned = {
        f"{index:05d}/{number:03d}.flac": utterance
        for index in range(3)
        for number, utterance in enumerate(plan.utterances(index, spoken_corpus.SHARD))
    }
    spoken = {clip.audio_filepath: clip for clip in clips}
    given_away = [path for path, clip in spoken.items() if planned[path].voice.name != clip.speaker]
    assert given_away
    assert all(planned[path].voice.is_natural for path in given_away)
    assert {spoken[path].text for path in given_away} == {planned[path].text for path in given_away}
    assert not {clip.speaker for clip in clips} & {"kokoro:zf_silent", "kokoro:zm_silent"}


def test_takes_that_no_voice_says_well_are_left_out_and_told(tmp_path: Path, kokoro: Kokoro, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechtl.audio.synthesis.kokoro.QUIETEST", 3.0)
    skipped: list[str] = []
    clips = read_manifest(make_corpus(tmp_path / "corpus", HOURS / 4, on_skip=skipped.append, workers=1, **SETTINGS))
    assert skipped
    assert all("cannot have said" in reason for reason in skipped)
    assert not any((clip.speaker or "").startswith("kokoro") for clip in clips)


def test_natural_voices_are_spoken_by_any_number_of_workers_alike(tmp_path: Path, kokoro: Kokoro) -> None:
    one, three = (make_corpus(tmp_path / f"{workers}", HOURS / 2, workers=workers, **SETTINGS) for workers in (1, 3))
    assert one.read_text(encoding="utf-8") == three.read_text(encoding="utf-8")
    assert any((clip.speaker or "").startswith("kokoro") for clip in read_manifest(one))
