"""Takes that say something else are found among takes of a word."""

import numpy as np
import pytest

from speechtl.audio.encoders import load_encoder
from speechtl.audio.spelling.check import odd_takes
from speechtl.audio.synthesis.base import SpokenText
from speechtl.audio.synthesis.espeak import find_espeak
from speechtl.audio.synthesis.speak import speak_many

pytest.importorskip("espeakng_loader")


def test_other_words_and_noise_are_odd_and_other_people_are_not():
    espeak = find_espeak()
    people = espeak.voices()[:14]
    said = speak_many(espeak, [SpokenText("elephant" if index == 5 else "computer", voice) for index, voice in enumerate(people)])
    said.append(np.random.default_rng(0).normal(0, 0.1, 9000).astype(np.float32))
    odd = odd_takes(said, load_encoder("conv-ctc"))
    assert {5, 14} <= set(odd)
    assert len(odd) <= 3


def test_a_few_takes_are_not_judged():
    assert odd_takes([np.zeros(8000, np.float32)] * 3, load_encoder("conv-ctc-tiny")) == []
