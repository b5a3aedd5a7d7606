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


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_microphone_that_only_knows_its_own_rate_is_resampled(virtual_microphone, speechtl, tiny_bundle, bursts, rate):
    microphone = virtual_microphone(rate=rate, strict=True)
    command = speechtl("listen", tiny_bundle, "--device", "speechtl_mic", "--json", environment=microphone.environment)
    command.wait_for(f"at {rate} Hz")
    microphone.play(soxr.resample(bursts((0.5, 2.0), 3.0), RATE, rate))
    command.wait_for('"name": "burst"', times=2)
    command.stop(signal.SIGTERM)
    first, second = lines(command)
    assert second["time"] - first["time"] == pytest.approx(1.5, abs=0.09)


def test_a_microphone_that_hangs_is_told_and_listened_to_again_when_it_answers(virtual_microphone, speechtl, tiny_bundle, bursts):
    microphone = virtual_microphone()
    microphone.background = 0.001
    command = speechtl("listen", tiny_bundle, "--device", "speechtl_mic", "--json", environment=microphone.environment)
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "burst"')
    microphone.pause()
    command.wait_for("has delivered nothing for a second")
    microphone.resume()
    command.wait_for("The microphone is back")
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "burst"', times=2)
    command.stop(signal.SIGTERM)
    first, second = lines(command)
    apart = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
    assert second["time"] - first["time"] == pytest.approx(apart.total_seconds(), abs=1.0)
    assert sum("has delivered nothing" in line for line in command.err) == 1


def test_a_microphone_that_is_unplugged_is_opened_again_by_its_name(virtual_microphone, speechtl, tiny_bundle, bursts):
    microphone = virtual_microphone(names=("another", "speechtl_mic"))
    microphone.background = 0.001
    command = speechtl("listen", tiny_bundle, "--device", "speechtl_mic", "--json", environment=microphone.environment)
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "burst"')
    microphone.unplug()
    command.wait_for("is opened again as soon as it answers")
    command.wait_for("There is no microphone")
    microphone.plug()
    command.wait_for("The microphone is back")
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "burst"', times=2)
    command.stop(signal.SIGTERM)
