"""Backgrounds, levels and microphones on rendered windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from speechtl.audio.augment import at_level
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording
from speechtl.audio.pretraining import mixing
from speechtl.audio.pretraining.mixing import LEVEL_DBFS, OUTPUT_DBFS, Backgrounds, Mixer, Sources, added
from speechtl.audio.pretraining.recipe import BackgroundSection
from speechtl.errors import RunError
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.samples import SAMPLE_RATE, Samples

FEATURES = LogMelSettings()


def sound(seed: int, seconds: float = 2.0) -> Samples:
    made: Samples = np.random.default_rng(seed).standard_normal(int(seconds * SAMPLE_RATE)).astype(np.float32)
    return at_level(made, LEVEL_DBFS)


def log_mel(samples: Samples) -> Tensor:
    return torch.from_numpy(LogMel(FEATURES).compute(samples))


def said(speaker: str) -> Recording:
    return Recording(Clip("a.wav", 2.0, speaker=speaker), (sound(5) * 8000).astype(np.int16), (0.0, 2.0))


def mixer(kind: str = "noise", probability: float = 1.0) -> Mixer:
    return Mixer({kind: log_mel(sound(1))[None]}, {kind: 1.0}, probability, FEATURES)


@pytest.mark.parametrize("snr", [-5.0, 5.0, 20.0])
def test_features_add_up_as_sounds_do(snr: float) -> None:
    one, other = sound(1), sound(2) * np.float32(10.0 ** (-snr / 20.0))
    found, mixed = (10.0**features for features in (added(log_mel(one), log_mel(other)), log_mel(one + other)))
    np.testing.assert_allclose(found.mean(dim=0), mixed.mean(dim=0), rtol=0.1)


def test_opposite_sounds_do_not_vanish_to_minus_infinity() -> None:
    assert torch.isfinite(added(torch.full((2, 2), 6.0), torch.full((2, 2), 6.0), -1.0)).all()


def test_mixtures_depend_on_the_random_choices_alone() -> None:
    windows = log_mel(sound(3))[None].repeat(3, 1, 1)
    first, again, other = (mixer()(windows, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_levels_stay_within_their_limits_and_above_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "TELEPHONE", 0.0)
    monkeypatch.setattr(mixing, "TILT_DB", 0.0)
    window = log_mel(sound(3))[None]
    shifts = [float((mixer(probability=0.0)(window, np.random.default_rng(seed)) - window).mean()) * 10 for seed in range(200)]
    assert min(shifts) >= OUTPUT_DBFS[0] - LEVEL_DBFS - 0.5
    assert max(shifts) <= OUTPUT_DBFS[1] - LEVEL_DBFS + 0.5
    assert max(shifts) - min(shifts) > 25.0
    quiet = torch.full((1, 5, 32), FEATURES.silence)
    assert float(mixer(probability=0.0)(quiet, np.random.default_rng(0)).min()) >= FEATURES.silence


def test_a_background_keeps_to_the_ratio_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mixing.SNR_DB, "noise", (20.0, 20.0))
    monkeypatch.setattr(mixing, "SECOND", 0.0)
    monkeypatch.setattr(mixing, "OUTPUT_DBFS", (LEVEL_DBFS, LEVEL_DBFS))
    monkeypatch.setattr(mixing, "TILT_DB", 0.0)
    monkeypatch.setattr(mixing, "TELEPHONE", 0.0)
    silence = torch.full_like(log_mel(sound(1)), FEATURES.silence)[None]
    found = mixer()(silence, np.random.default_rng(0))
    assert float(found.mean() - log_mel(sound(1)).mean()) * 10 == pytest.approx(-20.0, abs=1.0)


def test_a_telephone_has_no_low_and_no_high_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "TELEPHONE", 1.0)
    found = mixer(probability=0.0)(log_mel(sound(1))[None], np.random.default_rng(0))[0].mean(dim=0)
    assert float(found[0]) < float(found[16]) - 2.0
    assert float(found[-1]) < float(found[16]) - 2.0


def test_kinds_without_recordings_are_left_out() -> None:
    wanted = BackgroundSection(noise=0.0)
    assert Sources([], [], [[said("a")], [said("b")]], []).kinds(wanted) == {"babble": 0.25, "talker": 0.15}
    assert Sources([], [], [[said("a")]], []).kinds(wanted) == {"talker": 0.15}
    assert Sources([sound(1)], [sound(2)], [], []).kinds(wanted) == {"music": 0.2}


def backgrounds(folder: Path, **settings: int) -> Backgrounds:
    sources = Sources([sound(1)], [], [[said("a")], [said("b")]], [np.ones(1, np.float32)])
    return Backgrounds(sources, {"noise": 1.0, "babble": 1.0}, folder, settings)


def test_backgrounds_are_rendered_once_and_shared_by_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "WINDOWS", 2)
    made = backgrounds(tmp_path)
    made.render(FEATURES, rank=1, world=2)
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["babble"]
    made.render(FEATURES)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    made.render(FEATURES)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert {kind: features.shape for kind, features in made.load().items()} == dict.fromkeys(("noise", "babble"), (2, 1997, 32))
    assert backgrounds(tmp_path, seed=1).path("noise") not in written


def test_damaged_backgrounds_are_removed_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "WINDOWS", 1)
    made = backgrounds(tmp_path)
    made.render(FEATURES)
    made.path("noise").write_bytes(b"nothing")
    with pytest.raises(RunError, match="--resume renders it again"):
        made.load()
    assert not made.path("noise").exists()
