import numpy as np
import pytest
import torch

from speechtl.audio.data.manifest import Clip
from speechtl.audio.encoders import AudioEncoder, audio_input
from speechtl.audio.pretraining import evaluate as module
from speechtl.audio.pretraining.data import Utterance
from speechtl.audio.pretraining.evaluate import recognise, recognition, tell_word, word_accuracy
from speechtl.audio.pretraining.network import Answers, PretrainingHead, PretrainingNetwork
from speechtl.audio.pretraining.phones import PHONES
from speechtl.runtime.features import LogMelSettings
from speechtl.transfer import EncoderInfo


class Says(torch.nn.Module):
    """A network that says the same classes frame by frame, whatever it hears."""

    class Encoder:
        features = LogMelSettings()
        receptive_field = 76

    encoder = Encoder()
    device = torch.device("cpu")

    def __init__(self, classes):
        super().__init__()
        self.answer = torch.nn.functional.one_hot(torch.tensor(classes), len(PHONES) + 1)[:, None].float()

    def forward(self, inputs):
        assert inputs.shape[2] > 76
        return Answers(self.answer, None, torch.zeros(1, 0, 1))


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


def beep(hertz):
    sound = 1e-4 * np.random.default_rng(0).standard_normal(24_000)
    sound[8_000:16_000] += 0.3 * np.sin(2 * np.pi * hertz / 16_000 * np.arange(8_000))
    return sound.astype(np.float32)


@pytest.fixture
def which_band():
    """Return a network whose words are the loudest bands of the last 160 ms."""
    features = LogMelSettings()

    class Bands(torch.nn.Module):
        def forward(self, inputs):
            return torch.nn.functional.avg_pool2d(inputs, (16, 1), stride=(8, 1)).permute(0, 3, 2, 1)

    encoder = AudioEncoder({"bands": Bands()}, EncoderInfo("bands", audio_input(features), 32), features, stride=8, receptive_field=16)
    network = PretrainingNetwork(encoder, PretrainingHead(32, 0, words=32))
    with torch.no_grad():
        network.head.words.weight.copy_(torch.eye(32))
        network.head.words.bias.zero_()
    return network


def test_a_word_is_told_from_what_stands_at_its_end(which_band):
    low, high = (tell_word(which_band, beep(hertz)) for hertz in (300, 2000))
    assert low is not None
    assert high is not None
    assert 0 < low < high < 31
    assert tell_word(which_band, np.zeros(16_000, np.float32)) is None


def test_the_accuracy_of_words_is_of_those_that_are_known(which_band):
    class Beep(Utterance):
        def pcm(self):
            return beep(300)

    said = tell_word(which_band, beep(300))
    result = word_accuracy(which_band, [Beep(Clip("a.wav", 1.5), (1,), word) for word in (said, said + 1, None, said)])
    assert (result.words, result.right) == (3, 2)
    assert result.accuracy == pytest.approx(2 / 3)
