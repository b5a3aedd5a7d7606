import asyncio
import importlib.util

import numpy as np
import pytest
import soxr

from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.places import packages
from speechtl.places.livekit import WakeWordGate, listen
from speechtl.runtime import Detector

INSTALLED = importlib.util.find_spec("livekit") is not None and importlib.util.find_spec("livekit.rtc") is not None
real = pytest.mark.skipif(not INSTALLED, reason="livekit is not installed: pip install 'speechtl[livekit]'")
RATE = 48_000


@pytest.fixture
def detector(tiny_bundle):
    return Detector.open(tiny_bundle)


@pytest.fixture
def frames(bursts):
    """Stereo frames of 10 ms at 48 kHz, as a track delivers them, with two words."""
    from livekit import rtc

    mono = soxr.resample(bursts((1.0, 3.0)), 16_000, RATE)
    pcm = np.round(mono * 32767).clip(-32768, 32767).astype(np.int16)
    stereo = np.stack([pcm, pcm], axis=1)
    return [rtc.AudioFrame(stereo[at : at + 480].tobytes(), RATE, 2, 480) for at in range(0, len(pcm) - 479, 480)]


async def one_by_one(items):
    for item in items:
        yield item


@real
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_frames_of_a_track_give_the_events_of_the_detector(detector, frames, bursts, wrapped):
    from livekit import rtc

    async def hear():
        audio = one_by_one(rtc.AudioFrameEvent(frame=frame) if wrapped else frame for frame in frames)
        return [event async for event in listen(detector, audio)]

    expected = detector.fork().feed(bursts((1.0, 3.0)))
    found = asyncio.run(hear())
    assert [event.name for event in found] == ["burst", "burst"]
    assert [event.time for event in found] == pytest.approx([event.time for event in expected], abs=0.081)


@real
def test_a_gate_passes_frames_on_after_the_word_and_tells_it(detector, frames):
    told = []

    async def on_word(event):
        told.append(event.name)

    async def pass_on():
        gate = WakeWordGate(detector, awake_seconds=60.0, on_word=on_word)
        passed = [frame async for frame in gate.frames(one_by_one(frames))]
        assert gate.awake
        gate.stay_awake(0.0)
        return gate.awake, passed

    awake, passed = asyncio.run(pass_on())
    assert told == ["burst", "burst"]
    assert passed == frames[-len(passed) :]
    assert 0.6 * len(frames) < len(passed) < 0.9 * len(frames)  # the first word is detected after 1.06 s of 5
    assert not awake


@real
def test_a_gate_closes_after_its_seconds_of_sound(detector, frames):
    async def pass_on():
        return [frame async for frame in WakeWordGate(detector, awake_seconds=0.6).frames(one_by_one(frames[:250]))]

    assert len(asyncio.run(pass_on())) == 60


@real
def test_the_gate_is_what_an_agent_takes_for_its_speech_recognition(detector, frames):
    agents = pytest.importorskip("livekit.agents", reason="livekit-agents is not installed")
    gate = WakeWordGate(detector, awake_seconds=60.0)
    heard = []

    class Listening(agents.Agent):
        async def stt_node(self, audio, model_settings):
            async for frame in gate.frames(audio):
                heard.append(frame)
                yield "spoken"

    async def run():
        agent = Listening(instructions="")
        return [said async for said in agent.stt_node(one_by_one(frames), None)]

    assert asyncio.run(run()) == ["spoken"] * len(heard) != []


@pytest.mark.skipif(INSTALLED, reason="livekit is installed")
def test_without_livekit_the_pip_command_is_said(detector):
    with pytest.raises(MissingExtraError, match=r"pip install 'speechtl\[livekit\]'"):
        listen(detector, one_by_one([]))


def test_an_old_livekit_is_said(detector, monkeypatch):
    monkeypatch.setattr(packages, "version_of", lambda _: "0.9.1")
    with pytest.raises(SpeechtlError, match=r"needs livekit .* or newer, and 0\.9\.1 is installed"):
        WakeWordGate(detector)
