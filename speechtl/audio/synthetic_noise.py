"""Noises that need no recordings: hiss, rumble, hum and their like."""

from __future__ import annotations

import numpy as np

from speechtl.runtime.samples import SAMPLE_RATE, Doubles, Samples

SECONDS = 10.0


def synthetic_noises(seed: int) -> list[Samples]:
    """Return noises of different colour, steady and gusty, and mains hum, each ten seconds long."""
    random = np.random.default_rng([seed, 7])
    colours = [coloured_noise(exponent, random) for exponent in (0.0, 1.0, 1.5, 2.0)]
    gusts = [noise * _gusts(random) for noise in colours[1:]]
    return [*colours, *gusts, _hum(50.0, random), _hum(60.0, random)]


def coloured_noise(exponent: float, random: np.random.Generator) -> Samples:
    """Noise whose power falls with frequency to the given exponent: 0 white, 1 pink, 2 brown."""
    return _quiet(coloured(random.standard_normal(int(SECONDS * SAMPLE_RATE)), exponent))


def coloured(white: Doubles, exponent: float, lowest: float = 20.0) -> Doubles:
    """White noise as noise of root mean square 1 whose power falls with frequency to the given exponent, from `lowest` (hertz) on."""
    frequencies = np.maximum(np.fft.rfftfreq(len(white), 1.0 / SAMPLE_RATE), lowest)
    return _unit(np.fft.irfft(np.fft.rfft(white) * frequencies ** (-exponent / 2.0), len(white)))


def _gusts(random: np.random.Generator) -> Samples:
    knots = random.uniform(-20.0, 0.0, int(SECONDS * 2))
    level = np.interp(np.arange(int(SECONDS * SAMPLE_RATE)), np.linspace(0, SECONDS * SAMPLE_RATE, len(knots)), knots)
    return np.asarray(10.0 ** (level / 20.0), np.float32)


def _hum(hertz: float, random: np.random.Generator) -> Samples:
    time = np.arange(int(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    partials = [random.uniform(0.2, 1.0) / order * np.sin(2 * np.pi * hertz * order * time) for order in range(1, 12)]
    return _quiet(_unit(np.sum(partials, axis=0)))


def _unit(samples: Doubles) -> Doubles:
    """Samples at a root mean square of 1."""
    scaled: Doubles = samples / np.sqrt(np.mean(samples**2))
    return scaled


def _quiet(samples: Doubles) -> Samples:
    return np.asarray(samples * 0.1, np.float32)
