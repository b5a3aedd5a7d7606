"""Train one recipe, for a wake word or for pictures, with several policies and amounts of data: for advice and learning curves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from speechtl.progress import say, tracked
from speechtl.settings import read_recipe_file
from speechtl.study.advise import Target
from speechtl.study.curves import Point
from speechtl.transfer import Encoder, SourceNetwork

FRAMES = 96  # of a picture that is fed to an audio encoder


class Trials(Protocol):
    """Trainings of one recipe; the same for both modalities."""

    measure: str
    encoder: Encoder

    @property
    def target(self) -> Target:
        """The task to be learned."""

    @property
    def available(self) -> int:
        """Number of training examples."""

    def run(self, policy: str, examples: int | None = None, seed: int = 0) -> float:
        """Train with a policy, or from `scratch`, on a number of examples; return the measure on held-out examples."""


def open_trials(path: Path, *, force: bool = False) -> Trials:
    """Open a recipe of either modality; `force` allows an encoder whose input type differs from the data's."""
    data = read_recipe_file(path).get("data")
    if isinstance(data, dict) and "train" in data:
        from speechtl.image.recipe import read_image_recipe
        from speechtl.study.trials_image import ImageTrials

        _register_audio_encoders()
        return ImageTrials(read_image_recipe(path), force=force)
    from speechtl.audio.recipe import read_recipe
    from speechtl.study.trials_audio import AudioTrials

    return AudioTrials(read_recipe(path))


def curve(trials: Trials, policies: Sequence[str], amounts: Sequence[int | None], seeds: int) -> list[Point]:
    """Train every policy with every amount and seed; an amount of None, or one that is too large, means all examples."""
    points = []
    taken = sorted({min(amount or trials.available, trials.available) for amount in amounts})
    trainings = list(itertools.product(taken, policies, range(seeds)))
    for amount, policy, seed in tracked("comparing, training", trainings, len(trainings)):
        value = trials.run(policy, amount, seed)
        points.append(Point(policy, amount, seed, value))
        say(f"{policy}, {amount} examples, seed {seed}: {trials.measure} {value:.3f}")
    return points


class PictureAsSpectrogram(nn.Module):
    """Pixels `(batch, 3, height, width)` as a log-mel spectrogram `(batch, 1, frames, bands)`.

    With it an audio encoder accepts pictures, so that transfer across input types can be measured.
    """

    def __init__(self, bands: int, silence: float, loud: float) -> None:
        super().__init__()
        self.bands = bands
        self.silence = silence
        self.loud = loud

    def forward(self, pixels: Tensor) -> Tensor:
        """Grey values scaled to the range of log-mel features; black becomes silence."""
        grey = pixels.float().mean(dim=1, keepdim=True) / 255.0
        resized = nn.functional.interpolate(grey, size=(FRAMES, self.bands), mode="bilinear", antialias=True)
        return self.silence + resized * (self.loud - self.silence)


def _register_audio_encoders() -> None:
    """Register audio encoders as backbones, so that picture recipes that name one are refused by input type, or measured by force."""
    from speechtl.audio.encoders import ENCODERS, RANDOM_INIT, AudioEncoder, build_encoder, load_encoder
    from speechtl.image.backbones import BACKBONES, register_backbone

    def network(encoder: AudioEncoder) -> SourceNetwork:
        features = encoder.features
        first = PictureAsSpectrogram(features.bands, features.silence, 10.0)
        groups: dict[str, nn.Module] = {"spectrogram": first, **encoder.groups}
        return SourceNetwork(groups, nn.Identity(), encoder.info)

    def register(name: str) -> None:
        register_backbone(name, lambda: network(build_encoder(name)), lambda weights: network(load_encoder(name)))

    for name in set(ENCODERS) - set(BACKBONES) - set(RANDOM_INIT):
        register(name)
