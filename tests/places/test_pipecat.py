import asyncio
import importlib.util

import numpy as np
import pytest
import soxr

from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.places import packages
from speechtl.places.pipecat import WakeWordFrame, WakeWordProcessor
from speechtl.runtime import Detector

INSTALLED = importlib.util.find_spec("pipecat") is not None
real = pytest.mark.skipif(not INSTALLED, reason="pipecat-ai is not installed: pip install 'speechtl[pipecat]'")
RATE = 24_000


@pytest.fixture
def detector(tiny_bundle):
    return Detector.open(tiny_bundle)


@pytest.fixture
def frames(bursts):
    """Frames of 20 ms at 24 kHz with two words."""
    from pipecat.frames.frames import InputAudioRawFrame

    pcm = np.round(soxr.resample(bursts((1.0, 3.0)), 16_000, RATE) * 32767).clip(-32768, 32767).astype("<i2")
    return [InputAudioRawFrame(pcm[at : at + 480].tobytes(), RATE, 1) for at in range(0, len(pcm) - 479, 480)]


def passed(processor, frames) -> list:
    """What comes out of a real pipeline that is given the frames, with pauses."""
    from pipecat.tests.utils import run_test

    down, _ = asyncio.run(run_test(processor, frames_to_send=frames))
    return list(down)


@real
def test_a_pipeline_gets_all_audio_and_a_frame_for_each_word(detector, frames, bursts):
    out = passed(WakeWordProcessor(detector), frames)
    assert [frame for frame in out if not isinstance(frame, WakeWordFrame)] == frames
    words = [frame for frame in out if isinstance(frame, WakeWordFrame)]
    expected = detector.fork().feed(bursts((1.0, 3.0)))
    assert [word.word for word in words] == ["burst", "burst"]
    assert [word.time for word in words] == pytest.approx([event.time for event in expected], abs=0.081)
    before = out.index(words[0]) * 0.02
    assert before == pytest.approx(words[0].time, abs=0.03)


@real
def test_a_gate_holds_audio_back_until_the_word(detector, frames):
    out = passed(WakeWordProcessor(detector, awake_seconds=60.0), frames)
    audio = [frame for frame in out if not isinstance(frame, WakeWordFrame)]
    assert audio == frames[-len(audio) :]
    assert 0.6 * len(frames) < len(audio) < 0.9 * len(frames)  # the first word is detected after 1.06 s of 5


@real
def test_a_gate_closes_after_its_time_and_an_answer_prolongs_it(detector, frames):
    from pipecat.frames.frames import BotStoppedSpeakingFrame

    first, second = frames[:70], frames[70:130]  # the word is detected after 1.06 s, and 1.4 s are sent before the answer
    out = passed(WakeWordProcessor(detector, awake_seconds=0.6), [*first, BotStoppedSpeakingFrame(), *second])
    audio = [frame for frame in out if not isinstance(frame, WakeWordFrame | BotStoppedSpeakingFrame)]
    assert audio[-1] is second[29]  # 0.6 s after the answer
    out = passed(WakeWordProcessor(detector, awake_seconds=0.6), [*first, *second])
    audio = [frame for frame in out if not isinstance(frame, WakeWordFrame)]
    assert len(audio) == 30


@real
def test_handlers_get_the_event(detector, frames):
    told = []

    async def build_and_run():
        from pipecat.tests.utils import run_test

        processor = WakeWordProcessor(detector)

        @processor.event_handler("on_wake_word")
        async def on_wake_word(_, event):
            told.append((event.name, round(event.time, 1)))

        await run_test(processor, frames_to_send=frames)

    asyncio.run(build_and_run())
    assert [name for name, _ in told] == ["burst", "burst"]


@pytest.mark.skipif(INSTALLED, reason="pipecat-ai is installed")
def test_without_pipecat_the_pip_command_is_said(detector):
    with pytest.raises(MissingExtraError, match=r"pip install 'speechtl\[pipecat\]'"):
        WakeWordProcessor(detector)


def test_an_old_pipecat_is_said(detector, monkeypatch):
    monkeypatch.setattr(packages, "version_of", lambda _: "0.0.40")
    with pytest.raises(SpeechtlError, match=r"needs pipecat-ai .* or newer, and 0\.0\.40 is installed"):
        WakeWordProcessor(detector)
