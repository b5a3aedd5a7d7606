"""A ROS 2 node that publishes the names of detected words.

    python3 -m speechtl.places.ros2 --ros-args -p bundle:=computer.wake

It hears the topic `audio` (`audio_common_msgs/AudioStamped`), publishes on `wake_word` (`std_msgs/String`), and reports on `/diagnostics`
how much sound was lost on the way. rclpy and the messages come with ROS 2: source its setup file first.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from speechtl.errors import AudioError, SpeechtlError
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.listen.incoming import Incoming
from speechtl.runtime.samples import Array

# `info.format` is a number of PortAudio; each has a field of its own for the samples, which are scaled by this.
FORMATS = {1: ("float32_data", 1.0), 2: ("int32_data", 2.0**31), 8: ("int16_data", 2.0**15)}
PACKAGES = ("rclpy", "std_msgs.msg", "diagnostic_msgs.msg", "audio_common_msgs.msg")
LATE_SECONDS = 0.25  # after its expected time, from which a message shows that others were lost
DIAGNOSTICS_SECONDS = 1.0


class Ear:
    """Detects in messages, and counts the sound that is missing between them."""

    def __init__(self, detector: Detector) -> None:
        self._incoming = Incoming(detector)
        self._expected: float | None = None
        self.lost_seconds = 0.0
        self.lost_times = 0

    def hear(self, message: Any) -> list[Event]:
        """The events that an `AudioStamped` completes; raises `AudioError` for a format that is not supported."""
        samples, info = samples_of(message), message.audio.info
        stamp = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
        if self._expected is not None and stamp > self._expected + LATE_SECONDS:
            self.lost_seconds += stamp - self._expected
            self.lost_times += 1
        self._expected = stamp + len(samples) / info.channels / info.rate
        return self._incoming.feed(samples, info.rate, info.channels)


def samples_of(message: Any) -> Array:
    """The samples of an `AudioStamped`, channels interleaved."""
    form = message.audio.info.format
    if form not in FORMATS:
        raise AudioError(f"The audio has PortAudio's format {form}; supported are 1 (float32), 2 (int32) and 8 (int16).")
    field, scale = FORMATS[form]
    samples = np.asarray(getattr(message.audio.audio_data, field))
    return samples.astype(np.int16) if form == 8 else (samples / scale).astype(np.float32)


def main() -> None:
    """Run the node until it is interrupted."""
    try:
        rclpy, *_ = map(import_module, PACKAGES)
    except ModuleNotFoundError as error:
        raise SpeechtlError(
            f"The package {error.name} is not installed: it comes with ROS 2, or is built in its workspace. "
            "Run `source /opt/ros/NAME/setup.bash` and the setup file of the workspace, and use the Python of ROS."
        ) from error
    rclpy.init()
    node = rclpy.create_node("wake_word")
    try:
        _set_up(node)
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _set_up(node: Any) -> None:
    """Connect the topics of the node to a detector."""
    from audio_common_msgs.msg import AudioStamped
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.qos import qos_profile_sensor_data
    from std_msgs.msg import String

    bundle = node.declare_parameter("bundle", "").value
    threshold = node.declare_parameter("threshold", 0.0).value
    if not bundle:
        raise SpeechtlError("The node needs a bundle: --ros-args -p bundle:=/PATH/NAME.wake")
    ear = Ear(Detector.open(bundle, threshold=threshold or None))
    words = node.create_publisher(String, "wake_word", 10)
    diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def hear(message: Any) -> None:
        for event in ear.hear(message):
            node.get_logger().info(f"{event.name} at {event.time:.2f} s (score {event.score:.2f})")
            words.publish(String(data=event.name))

    node.create_subscription(AudioStamped, "audio", hear, qos_profile_sensor_data)
    node.create_timer(DIAGNOSTICS_SECONDS, lambda: diagnostics.publish(_report(node, ear)))


def _report(node: Any, ear: Ear) -> Any:
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

    level = DiagnosticStatus.WARN if ear.lost_times else DiagnosticStatus.OK
    said = f"{ear.lost_seconds:.1f} s of sound were lost, {ear.lost_times} times" if ear.lost_times else "no sound was lost"
    values = [KeyValue(key="lost_seconds", value=f"{ear.lost_seconds:.2f}"), KeyValue(key="lost_times", value=str(ear.lost_times))]
    status = DiagnosticStatus(level=level, name=f"{node.get_name()}: sound", message=said, values=values)
    report = DiagnosticArray(status=[status])
    report.header.stamp = node.get_clock().now().to_msg()
    return report


if __name__ == "__main__":
    import sys

    from speechtl.errors import reported

    sys.exit(reported(main))
