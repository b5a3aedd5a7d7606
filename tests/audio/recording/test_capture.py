import time

import numpy as np
import pytest
import soundfile

from speechtl.audio.recording.capture import Capture, WordSaid, drain, record
from speechtl.runtime.listen.loop import PacedFile
from speechtl.runtime.microphone.stream import Block, Microphone


class Blocks:
    """A source of given blocks, one for each call."""

    hung = lost = False

    def __init__(self, samples, rate=16_000, seconds=0.04, gap_at=None):
        size = round(rate * seconds)
        parts = [samples[first : first + size] for first in range(0, len(samples), size)]
        self._blocks = [
            Block(np.asarray(part, np.float32)[:, None], rate, 0.5 if number == gap_at else 0.0, float(number))
            for number, part in enumerate(parts)
        ]

    @property
    def ended(self):
        return not self._blocks

    def read(self, timeout):
        return self._blocks.pop(0)

    def close(self):
        self._blocks = []

    def describe(self):
        return "blocks"


def captured(source, stop=lambda capture: False, **settings):
    return record(source, channel=1, stop=stop, meter=lambda level, clipped: None, log=lambda text: None, **settings)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_sound_of_any_rate_becomes_16_khz_without_loss_of_its_end(rate):
    time_axis = np.arange(rate) / rate
    sound = captured(Blocks(0.5 * np.sin(2 * np.pi * 440 * time_axis), rate))
    assert sound.rate == rate
    assert len(sound.samples) == pytest.approx(16_000, abs=2)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(sound.samples[1000:15_000] - expected[1000:15_000]).max() < 1e-3


def test_clipping_is_measured_before_the_rate_is_converted():
    square = np.sign(np.sin(2 * np.pi * 100 * np.arange(48_000) / 48_000)) * 1.0
    assert captured(Blocks(square, 48_000)).clipped_seconds == pytest.approx(1.0, abs=0.05)
    assert captured(Blocks(0.9 * square, 48_000)).clipped_seconds == 0.0


def test_a_gap_ends_the_recording_as_lost():
    sound = captured(Blocks(np.zeros(16_000), gap_at=3))
    assert sound.lost
    assert len(sound.samples) == 3 * 640


def test_blocks_from_before_the_signal_are_left_out():
    assert len(captured(Blocks(np.zeros(6400)), since=4.0).samples) == 6400 - 4 * 640


def test_recording_ends_soon_after_the_word(said):
    samples = np.concatenate([said.with_pauses([said.spoken()], [0.5], 40.0), 0.001 * np.random.default_rng(0).standard_normal(80_000)])
    sound = captured(Blocks(samples), WordSaid(5.0))
    assert 1.6 < len(sound.samples) / 16_000 < 2.3


def test_recording_without_a_word_ends_after_the_longest_time():
    noise = 0.001 * np.random.default_rng(0).standard_normal(80_000)
    assert len(captured(Blocks(noise), WordSaid(2.0)).samples) == pytest.approx(32_000, abs=640)


def test_the_level_is_that_of_the_last_block():
    capture = Capture()
    capture.feed(Block(np.full((640, 1), 0.1, np.float32), 16_000))
    assert capture.level_db == pytest.approx(-20.0, abs=0.01)
    assert not capture.is_clipped


def test_a_file_is_not_drained_further_than_its_pace(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    source = PacedFile(tmp_path / "a.wav")
    drain(source)
    assert not source.ended


@pytest.mark.slow
def test_a_microphone_that_nobody_read_for_a_while_is_drained_without_being_lost(virtual_microphone, monkeypatch):
    virtual = virtual_microphone(rate=48_000)
    for key, value in virtual.environment.items():
        monkeypatch.setenv(key, value)
    from speechtl.runtime.microphone.portaudio import rescan

    rescan()
    said = []
    microphone = Microphone("speechtl_mic", said.append)
    microphone.open()
    time.sleep(6.0)
    drain(microphone)
    begun = time.monotonic()
    block = microphone.read(0.25)
    microphone.close()
    assert said == []
    assert block.arrived >= begun - 0.2
