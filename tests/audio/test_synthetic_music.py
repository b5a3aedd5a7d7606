"""Music made without recordings."""

from __future__ import annotations

import numpy as np

from speechtl.audio.synthetic_music import PIECES, SECONDS, synthetic_music, with_synthetic_music
from speechtl.runtime.samples import SAMPLE_RATE


def test_pieces_differ_and_depend_on_the_seed_alone() -> None:
    first, again, other = synthetic_music(0, 3), synthetic_music(0, 3), synthetic_music(1, 3)
    assert all(np.array_equal(one, same) for one, same in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_pieces_are_of_one_loudness_without_gaps() -> None:
    for piece in synthetic_music(3, 8):
        assert len(piece) == int(SECONDS * SAMPLE_RATE)
        assert np.isfinite(piece).all()
        assert abs(np.sqrt(np.mean(piece**2)) - 0.1) < 1e-3
        levels = np.sqrt(np.mean(piece[: 16 * SAMPLE_RATE].reshape(8, -1) ** 2, axis=1))
        assert levels.min() > 0.01


def test_music_is_tonal_unlike_noise() -> None:
    flatness = []
    for piece in synthetic_music(5, 8):
        power = np.abs(np.fft.rfft(piece[: 4 * SAMPLE_RATE])) ** 2 + 1e-12
        flatness.append(float(np.exp(np.mean(np.log(power))) / np.mean(power)))
    assert np.median(flatness) < 0.3  # that of white noise is 0.56


def test_recorded_pieces_are_half_of_the_music() -> None:
    recorded = [np.zeros(10, np.float32)] * 3
    music = with_synthetic_music(recorded, 0)
    assert len(music) == 6
    assert all(one is recorded[0] for one in music[:3])
    assert len(with_synthetic_music([], 0)) == PIECES
