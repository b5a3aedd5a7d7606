"""Backgrounds, levels and microphones for rendered windows, drawn anew in every epoch on log-mel features.

The powers of independent sounds add up, but for cross terms, which are drawn at random here. So noise, talk and music need
not be mixed with the samples of every copy: it takes a twentieth of the time of a training step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechtl.audio.augment import Sound, at_level, excerpt, in_room
from speechtl.audio.backgrounds import BABBLE, talk
from speechtl.audio.data.recordings import Recording
from speechtl.audio.pretraining.data import LEVELS, SECONDS
from speechtl.audio.pretraining.recipe import BackgroundSection
from speechtl.errors import RunError
from speechtl.progress import tracked
from speechtl.runtime.features import LogMel, LogMelSettings, hz_to_mel, mel_filters, mel_to_hz
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.transfer import load_tensors, save_tensors

LEVEL_DBFS = sum(LEVELS) / 2  # of the active parts of backgrounds and, on average, of utterances
RECIPE = 1  # raise it when the same settings give other backgrounds
WINDOWS = 240  # of each kind of background, 20 s long
REVERBERANT = 0.5  # of them are in a room
SECOND = 0.2  # of the windows with a background have another one in addition
SNR_DB = {"noise": (-5.0, 25.0), "babble": (-3.0, 25.0), "talker": (2.0, 25.0), "music": (-5.0, 25.0)}
OUTPUT_DBFS = (-48.0, -12.0)  # level of the mixture
TILT_DB = 6.0  # per seven octaves, up or down
TELEPHONE = 0.08  # of the windows have the band of a telephone
TELEPHONE_HZ = (300.0, 3400.0)
TELEPHONE_DB = 40.0  # by which it lowers other frequencies


@dataclass(frozen=True)
class Sources:
    """What backgrounds are made from: noises, music, and recordings of several speakers."""

    noise: Sequence[Sound]
    music: Sequence[Sound]
    people: Sequence[Sequence[Recording]]
    rooms: Sequence[Samples]

    def window(self, kind: str, random: np.random.Generator) -> Samples:
        """A background of one kind, as long as a window."""
        length = int(SECONDS * SAMPLE_RATE)
        if kind in ("babble", "talker"):
            voices = int(random.integers(BABBLE[0], BABBLE[1] + 1)) if kind == "babble" else 1
            sound = talk(self.people, voices, random, SECONDS)
        else:
            sound = excerpt(self.music if kind == "music" else self.noise, length, random)
        if self.rooms and random.random() < REVERBERANT:
            sound = in_room(sound, self.rooms[int(random.integers(len(self.rooms)))])
        return at_level(sound, LEVEL_DBFS)

    def kinds(self, wanted: BackgroundSection) -> dict[str, float]:
        """The kinds that can be made, with their shares."""
        there = {"noise": self.noise, "babble": self.people[1:], "talker": self.people, "music": self.music}
        return {kind: share for kind, share in wanted.shares().items() if share and there[kind]}


@dataclass(frozen=True)
class Backgrounds:
    """Rendered windows of every kind of background, a file a kind; `settings` say what they are made from."""

    sources: Sources
    shares: Mapping[str, float]
    folder: Path
    settings: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """What tells these backgrounds from others, whatever their shares."""
        kept = json.dumps({**self.settings, "windows": WINDOWS, "recipe": RECIPE}, sort_keys=True)
        return hashlib.sha256(kept.encode()).hexdigest()[:16]

    def path(self, kind: str) -> Path:
        """The file of a kind."""
        return self.folder / f"{kind}-{self.digest}.safetensors"

    def render(self, features: LogMelSettings, *, rank: int = 0, world: int = 1) -> None:
        """Make the files that are not there yet, or the share of one of several processes."""
        log_mel = LogMel(features)
        for kind in [kind for kind in list(self.shares)[rank::world] if not self.path(kind).exists()]:
            seeds = ([int(self.digest, 16) % 2**63, list(SNR_DB).index(kind), index] for index in range(WINDOWS))
            made = [
                torch.from_numpy(log_mel.compute(self.sources.window(kind, np.random.default_rng(seed)))).half()
                for seed in tracked(f"rendering backgrounds: {kind}", seeds, WINDOWS)
            ]
            self.folder.mkdir(parents=True, exist_ok=True)
            save_tensors(self.path(kind), {"features": torch.stack(made)}, {})

    def load(self) -> dict[str, Tensor]:
        """Log-mel features `(windows, frames, bands)` of every kind."""
        return {kind: _read(self.path(kind)) for kind in self.shares}


def _read(path: Path) -> Tensor:
    try:
        return load_tensors(path)[0]["features"]
    except (RunError, KeyError) as error:
        path.unlink(missing_ok=True)  # it is only a cache
        raise RunError(f"{path} is damaged. It has been removed; the same command with --resume renders it again.") from error


class Mixer:
    """Mixes backgrounds into features `(windows, frames, bands)` and gives each window a microphone and a level."""

    def __init__(
        self, backgrounds: Mapping[str, Tensor], shares: Mapping[str, float], probability: float, features: LogMelSettings
    ) -> None:
        self.backgrounds = [backgrounds[kind] for kind in shares]
        self.kinds = list(shares)
        self.shares = np.array(list(shares.values())) / max(sum(shares.values()), 1e-9)
        self.probability = probability if shares else 0.0
        self.silence = features.silence
        centres = mel_to_hz(np.linspace(hz_to_mel(features.low_hz), hz_to_mel(features.high_hz), features.bands + 2))[1:-1]
        self.octaves = torch.from_numpy(np.log2(centres / 1000.0)).float()
        within = (centres >= TELEPHONE_HZ[0]) & (centres <= TELEPHONE_HZ[1])
        self.telephone = torch.from_numpy(np.where(within, 0.0, -TELEPHONE_DB / 10.0)).float()
        bins = (mel_filters(features) > 0).sum(axis=1)
        self.coherence = torch.from_numpy(1.0 / np.sqrt(bins)).float()  # cross terms of several bins average out

    def __call__(self, features: Tensor, random: np.random.Generator) -> Tensor:
        """A new mixture of every window; its choices depend on `random` alone."""
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        return torch.stack([self._mixed(window, random, generator) for window in features])

    def _mixed(self, window: Tensor, random: np.random.Generator, generator: torch.Generator) -> Tensor:
        level = random.uniform(*OUTPUT_DBFS)
        if random.random() < self.probability:
            for _ in range(1 + (random.random() < SECOND)):
                window = self._with_background(window, random, generator)
        window = window + (level - LEVEL_DBFS) / 10.0 + self.octaves * (random.uniform(-TILT_DB, TILT_DB) / 70.0)
        if random.random() < TELEPHONE:
            window = window + self.telephone
        return window.clamp(min=self.silence)

    def _with_background(self, window: Tensor, random: np.random.Generator, generator: torch.Generator) -> Tensor:
        kind = int(random.choice(len(self.kinds), p=self.shares))
        sounds = self.backgrounds[kind]
        background = sounds[int(random.integers(len(sounds)))].float()
        background = torch.roll(background, int(random.integers(len(background))), dims=0)
        background = background - random.uniform(*SNR_DB[self.kinds[kind]]) / 10.0
        cross = torch.cos(2.0 * torch.pi * torch.rand(window.shape, generator=generator)) * self.coherence
        return added(window, background, cross)


def added(one: Tensor, other: Tensor, cross: Tensor | float = 0.0) -> Tensor:
    """The log-mel features of the sum of two sounds; `cross` is the cosine of the angle between them, from -1 to 1."""
    difference = 10.0 ** ((other - one) / 2.0)  # of amplitudes
    return one + torch.log10((1.0 + difference.square() + 2.0 * cross * difference).clamp(min=0.05))
