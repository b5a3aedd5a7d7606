import numpy as np
import pytest

from speechtl.audio.augment import active_level
from speechtl.runtime.samples import SAMPLE_RATE, from_int16


@pytest.fixture
def tracks(load_program, monkeypatch):
    module = load_program("training/studies/tracks")
    monkeypatch.setattr(module, "PIECE", 3 * SAMPLE_RATE)
    return module


@pytest.fixture
def track(tracks, recording_of, bursts):
    random = np.random.default_rng(0)
    clips = [recording_of(bursts((0.2,), 0.7)) for _ in range(3)]
    utterances = [recording_of(random.normal(0, 0.01, SAMPLE_RATE // size)) for size in (2, 4)]
    noises = [recording_of(random.normal(0, level, SAMPLE_RATE)) for level in (0.1, 0.01)]
    return tracks.make_track(clips, utterances, noises, 40 / 3600)


def test_every_clip_is_played_once_between_stretches_of_equal_length(track):
    assert len({id(part.recording) for part in track.clips}) == 3
    assert all(before.end == part.start for before, part in zip(track.parts, track.parts[1:], strict=False))
    gaps = np.diff([0, *(limit for part in track.clips for limit in (part.start, part.end)), track.parts[-1].end])[::2]
    assert all(10.0 <= gap / SAMPLE_RATE < 10.5 for gap in gaps)


def test_a_fifth_of_the_utterances_sound(tracks, recording_of):
    utterances = [recording_of(np.full(1600, 0.1))]
    track = tracks.make_track(utterances, utterances, utterances, 0.05)
    assert track.speech_hours / track.hours == pytest.approx(0.2, abs=0.02)
    again = tracks.make_track(utterances, utterances, utterances, 0.05)
    assert [part.sounds for part in again.parts] == [part.sounds for part in track.parts]


def test_pieces_are_the_whole_track_and_never_cut_near_a_word(track):
    assert [part for piece in track.pieces for part in piece] == track.parts
    assert len(track.pieces) > 5
    assert not any(part.has_word for piece in track.pieces[:-1] for part in piece[-2:])
    assert max(np.abs(track.samples(piece).astype(int)).max() for piece in track.pieces) >= 32767


def test_a_piece_is_the_same_alone_as_within_the_track(tracks, track, monkeypatch):
    pieces = [track.samples(piece) for piece in track.pieces]
    monkeypatch.setattr(tracks, "PIECE", 10**9)
    (whole,) = tracks.Track(track.parts, track.noises).pieces
    assert np.array_equal(tracks.Track(track.parts, track.noises).samples(whole), np.concatenate(pieces))


def test_speech_is_10_db_above_the_noise_by_the_largest_frame(tracks):
    speech, noise = np.zeros(5120, np.float32), np.zeros(5120, np.float32)
    speech[600:700], noise[512:1024] = 0.3, 0.01
    speech_energy, noise_energy = (tracks.largest_energy(sound) for sound in (tracks.louder(speech, noise), noise))
    assert 10.0 * np.log10(speech_energy / noise_energy) == pytest.approx(10.0, abs=1e-3)
    assert not tracks.louder(np.zeros(5120, np.float32), noise).any()
    assert tracks.largest_energy(noise[:500]) == 0.0


def test_noise_runs_through_and_each_recording_has_its_own_peak(track):
    silent = next(piece for piece in track.pieces if not any(part.sounds for part in piece))
    heard = from_int16(track.samples(silent)) * track.peak
    assert active_level(heard) > 0.1
    assert np.abs(heard).max() == pytest.approx(1.0, abs=0.001)
