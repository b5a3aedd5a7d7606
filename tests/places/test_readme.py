"""The examples of speechtl/places/README.md."""

import asyncio
import importlib.util

import numpy as np
import pytest
import soxr

from tests.documents.pages import run


@pytest.fixture(autouse=True)
def computer(tiny_bundle, tmp_path, monkeypatch):
    """A folder with computer.wake, whose word is a burst of noise."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "computer.wake").write_bytes(tiny_bundle.read_bytes())


def found(capsys) -> list[str]:
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()]


def test_the_event_loop(bursts, capsys):
    sound = soxr.resample(bursts((1.0, 3.0)), 16_000, 48_000)
    asyncio.run(run("def listen(frames)")["listen"](np.array_split(sound, 50)))
    assert found(capsys) == ["burst", "burst"]


def test_porcupine():
    assert run("pvporcupine")["index"] == -1


def test_pipecat():
    pytest.importorskip("pipecat", reason="pipecat-ai is not installed: pip install 'speechtl[pipecat]'")

    async def build():
        return run("WakeWordProcessor")["pipeline"]

    assert asyncio.run(build()) is not None


def test_livekit(bursts, capsys):
    if importlib.util.find_spec("livekit") is None or importlib.util.find_spec("livekit.rtc") is None:
        pytest.skip("livekit is not installed: pip install 'speechtl[livekit]'")
    from livekit import rtc

    async def audio():
        pcm = np.round(bursts((1.0, 3.0)) * 32767).astype(np.int16)
        for part in np.array_split(pcm, 100):
            yield rtc.AudioFrameEvent(frame=rtc.AudioFrame(part.tobytes(), 16_000, 1, len(part)))

    asyncio.run(run("def print_words")["print_words"](audio()))
    assert found(capsys) == ["burst", "burst"]
