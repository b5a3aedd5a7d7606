import pytest
import torch

from speechtl.audio.manifest import Clip
from speechtl.audio.phones import PHONES
from speechtl.audio.pretraining import recognition as module
from speechtl.audio.pretraining.recognition import recognise, recognition, written
from speechtl.audio.pretraining.utterances import Utterance
from speechtl.runtime.features import LogMelSettings


class Says(torch.nn.Module):
    """A network that says the same classes frame by frame, whatever it hears."""

    class Encoder:
        features = LogMelSettings()
        receptive_field = 76

    encoder = Encoder()

    def __init__(self, classes):
        super().__init__()
        self.answer = torch.nn.functional.one_hot(torch.tensor(classes), len(PHONES) + 1)[:, None].float()

    def forward(self, inputs):
        assert inputs.shape[2] > 76
        return self.answer, None


def test_repeats_and_blanks_are_left_out():
    assert recognise(Says([0, 3, 3, 0, 3, 4, 4, 0, 5]), 0.1 * torch.ones(16000).numpy()) == [3, 3, 4, 5]


def test_silence_can_be_recognised():
    assert recognise(Says([0, 0]), torch.zeros(1000).numpy()) == []


def test_the_error_rate_is_edits_a_phone(monkeypatch):
    class Sound(Utterance):
        def pcm(self):
            return torch.zeros(100).numpy()

    clips = [Sound(Clip("a.wav", 1.0), (1, 2, 3, 4)), Sound(Clip("b.wav", 1.0), (1, 2))]
    result = recognition(Says([1, 0, 2]), clips)
    assert (result.utterances, result.phones, result.edits) == (2, 6, 2)
    assert result.error_rate == pytest.approx(1 / 3)
    assert module.BLANK == 0


def test_phones_are_written_by_name():
    assert written([1, len(PHONES)]) == f"{PHONES[0]} {PHONES[-1]}"
