import numpy as np
import pytest

from speechtl.runtime.microphone.stream import Block
from speechtl.runtime.microphone.watch import InputWatch

RATE = 16_000
BLOCK = 640


class Played:
    """What a watch says of sound that comes block by block, at `speed` times the rate that is announced."""

    def __init__(self, channel: int = 1):
        self.said: list[str] = []
        self._watch = InputWatch(self.said.append, channel)
        self._now = 50.0

    def play(self, samples: np.ndarray, speed: float = 1.0, jitter: float = 0.0, gap: float = 0.0) -> list[str]:
        frames = samples[:, None] if samples.ndim == 1 else samples
        random = np.random.default_rng(1)
        before = len(self.said)
        for first in range(0, len(frames), BLOCK):
            block = frames[first : first + BLOCK].astype(np.float32)
            self._now += len(block) / RATE / speed
            self._watch.feed(Block(block, RATE, gap if first == 0 else 0.0, self._now + random.uniform(0, jitter)))
        return self.said[before:]


def speech(seconds: float, channels: int | None = None, level: float = 0.03) -> np.ndarray:
    shape = round(seconds * RATE) if channels is None else (round(seconds * RATE), channels)
    return np.random.default_rng(0).normal(0, level, shape)


def test_ordinary_sound_is_no_trouble():
    assert Played().play(speech(130), jitter=0.08) == []


def test_the_soft_noise_of_a_quiet_room_is_no_trouble():
    assert Played().play(np.round(speech(20, level=2e-5) * 32768) / 32768) == []


@pytest.mark.parametrize(
    ("sound", "says"),
    [
        (np.zeros(5 * RATE), "digital silence (only zeros): is it muted? See: alsamixer"),
        (np.full(5 * RATE, -0.25), "stuck at one value (-0.250)"),
        (np.clip(speech(5, level=0.4) * 3, -1, 1), "% of the samples are at full scale: turn its gain down"),
        (np.clip(speech(5, level=0.4) * 3, -1, 32767 / 32768), "The microphone clips, "),
        (speech(6) + 0.2, "DC offset of +20 % of full scale"),
        (speech(6) - 0.1, "DC offset of -10 % of full scale"),
    ],
)
def test_each_trouble_is_said_once_with_what_to_do(sound, says):
    said = Played().play(sound)
    assert len(said) == 1
    assert says in said[0]
    assert ": " in said[0]  # where doctor divides it


def test_a_short_silence_or_a_single_click_is_no_trouble():
    sound = speech(10)
    sound[3 * RATE : int(4.5 * RATE)] = 0.0
    sound[8 * RATE : 8 * RATE + 5] = 1.0
    assert Played().play(sound) == []


def test_a_dead_channel_is_named_with_the_live_one():
    both = speech(5, channels=2)
    both[:, 0] = 0.0
    (said,) = Played(channel=1).play(both)
    assert "Channel 1 of the microphone is dead while channel 2 carries sound" in said
    assert "--channel 2" in said
    assert Played(channel=2).play(both) == []


def test_a_channel_of_nothing_but_its_own_hiss_counts_as_dead():
    both = speech(5, channels=2)
    both[:, 0] *= 1e-3
    assert "Channel 1" in Played().play(both)[0]


@pytest.mark.parametrize(("speed", "percent"), [(1.02, "+2.0 %"), (0.98, "-2.0 %"), (3.0, "+200.0 %")])
def test_a_clock_that_drifts_is_told_with_what_it_delivers(speed, percent):
    said = Played().play(speech(70 * speed), speed=speed, jitter=0.02)
    assert len(said) == 1
    assert "clock drifts" in said[0]
    assert percent.split(".")[0] in said[0]


def test_blocks_that_come_late_now_and_then_are_no_drift():
    assert Played().play(speech(200), jitter=0.2) == []


def test_lost_sound_is_told_once_and_is_no_drift():
    played = Played()
    assert len(played.play(speech(20), gap=0.5)) == 1
    assert "0.50 s" in played.said[0]
    assert played.play(speech(20), gap=0.5) == []


def test_a_trouble_that_comes_back_after_a_while_is_told_again_with_the_sum():
    played = Played()
    played.play(speech(61), gap=0.5)
    again = played.play(speech(5), gap=0.25)
    assert len(again) == 1
    assert "(0.25 s, 0.75 s since the start)" in again[0]


def test_a_microphone_that_comes_back_with_another_rate_is_judged_anew():
    said: list[str] = []
    watch = InputWatch(said.append)
    for rate, channels in ((16_000, 2), (48_000, 1)):
        for index in range(100):
            watch.feed(Block(np.random.default_rng(index).normal(0, 0.1, (rate // 25, channels)).astype(np.float32), rate, 0.0, index / 25))
    assert said == []
