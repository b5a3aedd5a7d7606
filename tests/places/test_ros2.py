import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from speechtl.errors import AudioError, SpeechtlError
from speechtl.places import ros2
from speechtl.places.ros2 import Ear
from speechtl.runtime import Detector

FIELDS = {1: "float32_data", 2: "int32_data", 8: "int16_data"}


def message(samples, seconds: float = 0.0, form: int = 8, rate: int = 16_000, channels: int = 1) -> SimpleNamespace:
    """An AudioStamped of audio_common_msgs, with its samples in the field of its format."""
    stamp = SimpleNamespace(sec=int(seconds), nanosec=round(1e9 * (seconds % 1)))
    data = SimpleNamespace(**{FIELDS.get(form, "uint8_data"): samples})
    info = SimpleNamespace(format=form, rate=rate, channels=channels)
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp), audio=SimpleNamespace(audio_data=data, info=info))


@pytest.fixture
def ear(tiny_bundle):
    return Ear(Detector.open(tiny_bundle))


def hear(ear, sound, skipped=(), **how) -> list:
    parts = [(at, sound[at : at + 1600]) for at in range(0, len(sound), 1600) if at not in skipped]
    return [event for at, part in parts for event in ear.hear(message(part, 100.0 + at / 16_000, **how))]


@pytest.mark.parametrize(("form", "scale", "kind"), [(1, 1.0, list), (2, 2.0**31, np.asarray), (8, 2.0**15, np.asarray)])
def test_messages_of_every_format_give_the_events_of_the_detector(tiny_bundle, ear, bursts, form, scale, kind):
    sound = bursts((1.0, 3.0))
    found = hear(ear, (sound.astype(float) * scale).astype(np.float32 if form == 1 else np.int64), form=form)
    assert [event.time for event in found] == [event.time for event in Detector.open(tiny_bundle).feed(sound)]
    assert (ear.lost_times, ear.lost_seconds) == (0, 0.0)


def test_messages_that_are_missing_are_counted(ear, bursts):
    hear(ear, (bursts((), 3.0) * 2**15).astype(np.int16), skipped=(16_000, 17_600, 19_200, 32_000))
    assert ear.lost_times == 1  # a single one may be late
    assert ear.lost_seconds == pytest.approx(0.3)


def test_a_format_that_is_not_supported_is_said(ear):
    with pytest.raises(AudioError, match="PortAudio's format 32; supported are"):
        ear.hear(message(np.zeros(10, np.uint8), form=32))


@pytest.mark.skipif(importlib.util.find_spec("rclpy") is not None, reason="rclpy is installed")
def test_without_ros_the_program_says_what_is_missing():
    with pytest.raises(SpeechtlError, match="The package rclpy is not installed: it comes with ROS 2"):
        ros2.main()


def test_the_node_publishes_the_word(tiny_bundle, bursts):
    pytest.importorskip("rclpy", reason="rclpy is not installed: it comes with ROS 2")
    messages = pytest.importorskip(
        "audio_common_msgs.msg", reason="audio_common_msgs is not installed: it is built in a workspace of ROS 2"
    )
    import rclpy
    from std_msgs.msg import String

    rclpy.init()
    with subprocess.Popen([sys.executable, "-m", "speechtl.places.ros2", "--ros-args", "-p", f"bundle:={tiny_bundle}"]) as process:
        try:
            node, words = rclpy.create_node("test"), []
            node.create_subscription(String, "wake_word", lambda word: words.append(word.data), 10)
            audio = node.create_publisher(messages.AudioStamped, "audio", 10)
            while not audio.get_subscription_count():
                rclpy.spin_once(node, timeout_sec=0.1)
            sent = messages.AudioStamped()
            sent.audio.info.format, sent.audio.info.rate, sent.audio.info.channels = 8, 16_000, 1
            sent.audio.audio_data.int16_data = (bursts((1.0,), 3.0) * 2**15).astype(np.int16).tolist()
            audio.publish(sent)
            while not words:
                rclpy.spin_once(node, timeout_sec=0.1)
            assert words == ["burst"]
        finally:
            process.terminate()
            rclpy.try_shutdown()
