import json
import signal
from datetime import datetime, timezone

import numpy as np
import pytest
import soundfile
import soxr

RATE = 16_000
ENDED = 1.0  # seconds from a signal to the end, as promised
SLACK = 1.0  # for a machine that is busy with other tests


def lines(command) -> list[dict]:
    return [json.loads(line) for line in command.out]


def test_a_word_is_detected_through_the_whole_loop(virtual_microphone, speechtl, tiny_bundle, bursts):
    microphone = virtual_microphone()
    command = speechtl("listen", tiny_bundle, "--device", "speechtl_mic", "--json", environment=microphone.environment)
    command.wait_for("Listening for burst to speechtl_mic at 16000 Hz")
    microphone.play(bursts((0.5, 2.0), 3.0))
    command.wait_for('"name": "burst"', times=2)
    assert command.stop(signal.SIGTERM) < ENDED + SLACK
    assert command.process.returncode == 0
    first, second = lines(command)
    assert list(first) == ["name", "time", "score", "at"]
    assert second["time"] - first["time"] == pytest.approx(1.5, abs=0.09)
    assert 0.5 <= first["score"] <= 1.0
    assert abs((datetime.now(timezone.utc) - datetime.fromisoformat(first["at"])).total_seconds()) < 60
    assert "detections: burst 2" in command.err[-1]
    assert "lost" not in command.err[-1]
