import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.audio.augment import excerpt
from speechtl.audio.data import recordings as module
from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.recordings import OnDisk, RecordedSound, heard_only, load_recordings, log_silent
from speechtl.errors import ManifestError

RATE = 16_000


@pytest.fixture
def folder(tmp_path):
    """Write recordings into a folder; a recording is samples, or samples and a rate."""

    def write(**files) -> Path:
        for name, samples in files.items():
            samples, rate = samples if isinstance(samples, tuple) else (samples, RATE)
            soundfile.write(tmp_path / f"{name}.wav", samples, rate, subtype="FLOAT" if samples.dtype == np.float32 else "PCM_16")
        return tmp_path

    return write


def load(folder: Path, **options) -> tuple[list, list[str]]:
    skipped: list[str] = []
    return load_recordings(read_clips([folder]), on_skip=skipped.append, **options), skipped


def sound(seconds: float = 1.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.4, 0.4, round(seconds * rate))


def test_what_does_not_fit_into_memory_is_decoded_when_it_is_used_and_sounds_the_same(folder, monkeypatch):
    place = folder(a=sound(2.0), b=(sound(2.0, 44_100), 44_100), c=sound(2.0, seed=2))
    before, _ = load(place)
    monkeypatch.setattr(module, "IN_MEMORY", 2.5)
    after, _ = load(place)
    assert [isinstance(recording.pcm, OnDisk) for recording in after] == [False, True, True]
    for one, other in zip(before, after, strict=True):
        assert (one.seconds, one.word, one.heard) == (other.seconds, other.word, other.heard)
        np.testing.assert_array_equal(one.samples(), other.samples())


@pytest.mark.parametrize("options", [{}, {"find_words": True, "phrases": ["word"]}])
def test_a_file_is_decoded_once_until_it_changes(folder, options, monkeypatch):
    place = folder(a=sound())
    (before,), _ = load(place, **options)
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_audio", lambda *_: pytest.fail("the file was decoded again"))
        (again,), _ = load(place, **options)
    assert again.pcm is before.pcm
    (after,), _ = load(folder(a=sound(seed=1)), **options)
    assert not np.array_equal(after.pcm, before.pcm)


def test_a_clip_from_the_cache_is_the_one_that_was_asked_for(folder, said):
    place = folder(many=said.with_pauses([said.spoken()] * 4, [1.1, 0.5, 1.8, 0.6], 40.0))
    clips = read_clips([place])
    options = {"find_words": True, "phrases": ["computer"], "on_skip": pytest.fail}
    before = load_recordings(clips, **options)
    other = load_recordings([dataclasses.replace(clips[0], manifest=place / "other.jsonl", line=7)], **options)
    assert [one.clip for one in other] == [one.clip for one in before]
    assert {one.clip.where for one in other} == {f"{place / 'other.jsonl'}:7"}


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), length=st.integers(1, 5 * RATE), rate=st.sampled_from([8_000, 16_000, 44_100, 48_000]))
def test_an_excerpt_is_as_long_as_asked_for_wherever_the_sound_is(tmp_path_factory, seed, length, rate):
    place = tmp_path_factory.mktemp("noise")
    soundfile.write(place / "a.wav", sound(0.3, rate, seed), rate)
    whole = RecordedSound(load(place)[0][0])
    clip = load(place)[0][0].clip
    on_disk = RecordedSound(module.Recording(clip, OnDisk(clip.path, 0.0, None, len(whole)), (0.0, 0.3)))
    one, other = (excerpt([noise], length, np.random.default_rng(seed)) for noise in (whole, on_disk))
    assert len(one) == len(other) == length
    np.testing.assert_allclose(one, other, atol=2 / 32768 if rate == RATE else 0.01)


def test_the_channel_of_a_line_is_read_in_memory_and_from_disk(folder, monkeypatch):
    channels = np.stack([sound(2.0), sound(2.0, seed=1)], axis=1)
    (clip,) = read_clips([folder(stereo=channels.astype(np.float32))])
    for budget in (8000.0, 0.0):
        monkeypatch.setattr(module, "IN_MEMORY", budget)
        (recording,) = load_recordings([dataclasses.replace(clip, channel=2)], on_skip=pytest.fail)
        np.testing.assert_allclose(recording.samples(), channels[:, 1], atol=1 / 32768)
        np.testing.assert_allclose(recording.samples(slice(5000, 6000)), channels[5000:6000, 1], atol=1 / 32768)


@pytest.mark.parametrize("options", [{}, {"find_words": True, "phrases": ["word"]}])
def test_a_recording_of_which_nothing_is_left_is_skipped_with_a_note(folder, options, monkeypatch):
    place = folder(good=sound(), one=(np.ones(1) * 0.5, 48_000), nan=np.array([0.1, np.nan] * RATE, np.float32))
    (place / "none.wav").write_bytes(b"")
    for budget in (8000.0, 0.0):
        monkeypatch.setattr(module, "IN_MEMORY", budget)
        recordings, skipped = load(place, **options)
        assert [recording.clip.audio_filepath for recording in recordings] == ["good.wav"]
        assert len(skipped) == 3
        assert any("one.wav is too short: at 16000 Hz nothing is left of it." in problem for problem in skipped)


def test_only_recordings_of_which_nothing_is_left_are_an_error(folder):
    with pytest.raises(ManifestError, match="The only recording cannot be used"):
        load(folder(one=(np.ones(1) * 0.5, 48_000)))


def test_a_manifest_without_its_recordings_is_counted_in_one_sentence_and_stops_nothing(folder, tmp_path):
    place = folder(good=sound())
    lines = [json.dumps({"audio_filepath": f"gone{number}.wav", "duration": 1.0}) for number in range(3)]
    (tmp_path / "gone.jsonl").write_text("\n".join(lines))
    skipped: list[str] = []
    clips = [*read_clips([tmp_path / "gone.jsonl"]), *read_clips([place])]
    recordings = load_recordings(clips, on_skip=skipped.append)
    assert [recording.clip.audio_filepath for recording in recordings] == ["good.wav"]
    assert len(skipped) == 1
    assert skipped[0].startswith(f"{tmp_path / 'gone.jsonl'}: 3 recordings are missing; the first: gone0.wav is missing: not in")


def test_silent_recordings_are_left_out_with_a_note_that_names_the_first(folder):
    place = folder(loud=sound(), **{f"mute{index}": np.zeros(RATE) for index in range(5)})
    notes: list[str] = []
    kept = heard_only(load(place)[0], "any sound", notes.append)
    assert [recording.clip.audio_filepath for recording in kept] == ["loud.wav"]
    assert notes == ["Left out 5 recordings without any sound: mute0.wav, mute1.wav, mute2.wav and 2 more."]


def test_takes_without_a_word_are_known_by_their_movement(folder, bursts):
    place = folder(word=bursts((0.5,), 1.5), hiss=sound(1.5), mute=np.zeros(RATE), short=sound(0.012))
    recordings, skipped = load(place, find_words=True, phrases=["burst"])
    assert {recording.clip.audio_filepath: recording.heard for recording in recordings} == {
        "word.wav": True,
        "hiss.wav": False,
        "mute.wav": False,
        "short.wav": False,
    }
    assert skipped == []
    notes: list[str] = []
    log_silent(recordings, notes.append)
    assert notes[0].startswith("Only silence or noise was found in 3 recordings of the word: hiss.wav, mute.wav, short.wav.")


@pytest.mark.parametrize("budget", [8000.0, 0.0])
def test_a_file_in_which_the_word_is_said_several_times_is_cut_at_the_pauses(folder, said, bursts, monkeypatch, budget):
    samples = said.with_pauses([said.spoken()] * 4, [1.1, 0.5, 1.8, 0.6], 40.0)
    starts = np.cumsum([0.5, *(0.6 + pause for pause in (1.1, 0.5, 1.8))])
    place = folder(many=samples, once=bursts((0.5,), 2.0))
    monkeypatch.setattr(module, "IN_MEMORY", budget)
    recordings, _ = load(place, find_words=True, phrases=["computer"])
    cut = [recording for recording in recordings if recording.times > 1]
    assert len(cut) == len(starts)
    assert len(recordings) == len(starts) + 1
    whole = load(place)[0][0].samples()
    for recording, start in zip(cut, starts, strict=True):
        assert recording.clip.offset + recording.word[0] == pytest.approx(start, abs=0.06)
        assert recording.word[1] - recording.word[0] == pytest.approx(0.57, abs=0.1)
        first = round(recording.clip.offset * RATE)
        np.testing.assert_array_equal(recording.samples(), whole[first : first + len(recording.pcm)])
        assert recording.clip.names == cut[0].clip.names


def test_limits_of_a_manifest_are_not_looked_for_again(folder, said):
    place = folder(many=said.with_pauses([said.spoken()] * 3, [1.1] * 3, 40.0))
    (place / "m.jsonl").write_text('{"audio_filepath": "many.wav", "duration": 5.5, "word_start": 2.4, "word_end": 2.9}\n')
    recordings = load_recordings(read_clips([place / "m.jsonl"]), find_words=True, phrases=["computer"], on_skip=pytest.fail)
    assert [(recording.word, recording.times) for recording in recordings] == [((2.4, 2.9), 1)]


def test_a_text_tells_in_every_spelling_that_only_the_phrase_is_said(folder, said):
    place = folder(many=said.with_pauses([said.spoken()] * 4, [1.1] * 4, 40.0))
    (place / "m.jsonl").write_text('{"audio_filepath": "many.wav", "duration": 6.0, "text": "\uff23omputer\u3002"}\n')
    recordings = load_recordings(read_clips([place / "m.jsonl"]), find_words=True, phrases=["computer"], on_skip=pytest.fail)
    assert [recording.times for recording in recordings] == [4, 4, 4, 4]
