"""One recipe, of either modality, trained in several ways and from several amounts: for advice and for learning curves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from speechtl.progress import say, tracked
from speechtl.settings import read_toml
from speechtl.study.advise import Target
from speechtl.study.curves import Point
from speechtl.transfer import Encoder, SourceNetwork

FRAMES = 96  # of a picture that stands in for a spectrogram


class Trials(Protocol):
    """What both modalities promise."""

    measure: str
    encoder: Encoder

    @property
    def target(self) -> Target:
        """What is to be learned."""

    @property
    def available(self) -> int:
        """How many examples there are to learn from."""

    def run(self, way: str, examples: int | None = None, seed: int = 0) -> float:
        """Train one way, a policy or `scratch`, with so many examples; return its value on examples kept out of training."""


def open_trials(path: Path, *, force: bool = False) -> Trials:
    """Read a recipe of either modality; `force` allows an encoder of another input type than the data's."""
    data = read_toml(path).get("data")
    if isinstance(data, dict) and "train" in data:
        from speechtl.image.recipe import read_image_recipe
        from speechtl.study.trials_image import ImageTrials

        _know_audio_encoders()
        return ImageTrials(read_image_recipe(path), force=force)
    from speechtl.audio.recipe import read_recipe
    from speechtl.study.trials_audio import AudioTrials

    return AudioTrials(read_recipe(path))


def curve(trials: Trials, ways: Sequence[str], amounts: Sequence[int | None], seeds: int) -> list[Point]:
    """Train every way with every amount, None or more than there are standing for all, and every seed."""
    points = []
    taken = sorted({min(amount or trials.available, trials.available) for amount in amounts})
    trainings = list(itertools.product(taken, ways, range(seeds)))
    for amount, way, seed in tracked("comparing, training", trainings, len(trainings)):
        value = trials.run(way, amount, seed)
        points.append(Point(way, amount, seed, value))
        say(f"{way}, {amount} examples, seed {seed}: {trials.measure} {value:.3f}")
    return points


class PictureAsSpectrogram(nn.Module):
    """Bytes `(batch, 3, height, width)` to numbers `(batch, 1, frames, bands)` of a log-mel spectrogram's size and range.

    It makes a network for sound take pictures, to measure what that is worth.
    """

    def __init__(self, bands: int, silence: float, loud: float) -> None:
        super().__init__()
        self.bands = bands
        self.silence = silence
        self.loud = loud

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the grey values, dark as silence."""
        grey = pixels.float().mean(dim=1, keepdim=True) / 255.0
        resized = nn.functional.interpolate(grey, size=(FRAMES, self.bands), mode="bilinear", antialias=True)
        return self.silence + resized * (self.loud - self.silence)


def _know_audio_encoders() -> None:
    """Let picture recipes name encoders of sound, so that they can be refused by their input type, or measured by force."""
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
