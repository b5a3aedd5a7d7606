"""Problems of a microphone: a loop without usable sound must not look like one without wake words."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from speechtl.runtime.microphone.stream import Block
from speechtl.runtime.samples import Samples

FULL_SCALE = 0.999  # of float samples: 32735 of 32768 in 16 bits
CLIPPED_SHARE = 1e-3  # of a second's samples at full scale
STUCK_SECONDS = 2  # without any change of the samples
DC_OFFSET = 0.05  # of full scale, a mean of a second
DC_SECONDS = 4
DEAD_BELOW = 0.01  # of the other channel's level: 40 dB
LIVE_RMS = 1e-3  # -60 dBFS: a channel that carries sound
RATE_SECONDS = 30.0  # length of a measurement of the rate
RATE_TOLERANCE = 0.005  # crystals are within 0.01 %; a callback may come 80 ms late
AGAIN_SECONDS = 60.0  # a problem that comes back after that time is reported again


class InputWatch:
    """Judge every second of sound; each problem goes once to `log`, as a sentence with advice after its first colon."""

    def __init__(self, log: Callable[[str], None], channel: int = 1) -> None:
        self._log = log
        self._channel = channel - 1
        self._clock = 0.0  # seconds of sound
        self._seen: dict[str, float] = {}
        self._lost = 0.0
        self._held: list[Samples] = []
        self._frames = 0
        self._begin(0, 0)

    def feed(self, block: Block) -> None:
        """Take the next block."""
        if (block.rate, block.samples.shape[1]) != (self._rate, self._channels):
            self._begin(block.rate, block.samples.shape[1])
        if block.gap_seconds > 0.0:
            self._gap(block.gap_seconds)
        self._clock += len(block.samples) / block.rate
        self._measure_rate(block)
        self._held.append(block.samples)
        self._frames += len(block.samples)
        if self._frames >= block.rate:
            self._judge(np.concatenate(self._held))
            self._held.clear()
            self._frames = 0

    def _begin(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self._held.clear()
        self._frames = 0
        self._stuck = 0
        self._means: deque[float] = deque(maxlen=DC_SECONDS)
        self._start_rate()

    def _judge(self, second: Samples) -> None:
        own = second[:, self._channel]
        deviations = second.std(axis=0)
        self._stuck = self._stuck + 1 if own.min() == own.max() else 0
        self._means.append(float(own.mean()))
        live = [index for index in range(self._channels) if deviations[index] > LIVE_RMS]
        if live and self._channel not in live and deviations[self._channel] < DEAD_BELOW * deviations[live[0]]:
            self._report(
                "dead channel",
                f"Channel {self._channel + 1} of the microphone is dead while channel {live[0] + 1} carries sound: "
                f"listen to that one with --channel {live[0] + 1}.",
            )
        elif self._stuck >= STUCK_SECONDS:
            self._report_stuck(float(own[0]))
        clipped = float((np.abs(own) >= FULL_SCALE).mean())
        if clipped >= CLIPPED_SHARE and self._stuck == 0:
            self._report(
                "clipping",
                f"The microphone clips, {100 * clipped:.1f} % of the samples are at full scale: turn its gain down (alsamixer, F4).",
            )
        if self._stuck == 0 and len(self._means) == DC_SECONDS and min(map(abs, self._means)) >= DC_OFFSET:
            self._report(
                "dc",
                f"The microphone has a DC offset of {100 * self._means[-1]:+.0f} % of full scale, which takes that much of its range: "
                "check its supply and wiring, or switch on the high-pass filter of the sound card.",
            )

    def _report_stuck(self, value: float) -> None:
        if value == 0.0:
            self._report("zero", "The microphone delivers digital silence (only zeros): is it muted? See: alsamixer, F4, and its switch.")
        else:
            self._report("stuck", f"The microphone is stuck at one value ({value:.3f}): check its wiring and, for I2S, its word clock.")

    def _gap(self, seconds: float) -> None:
        self._start_rate()
        self._lost += seconds
        self._report(
            "gap",
            f"Sound was lost ({seconds:.2f} s, {self._lost:.2f} s since the start), because it was not read in time or the microphone "
            "was away: if this happens often, the machine is too busy; see speechtl doctor.",
        )

    def _start_rate(self) -> None:
        self._first_arrival: float | None = None
        self._since_first = 0
        self._deviation = 0.0

    def _measure_rate(self, block: Block) -> None:
        if self._first_arrival is None:
            self._first_arrival = block.arrived
            return
        self._since_first += len(block.samples)
        seconds = block.arrived - self._first_arrival
        if seconds < RATE_SECONDS:
            return
        measured = self._since_first / seconds
        deviation = measured / self._rate - 1.0
        # Twice in a row and in the same direction: one late callback is no drift.
        if abs(deviation) > RATE_TOLERANCE and self._deviation * deviation > 0.0:
            self._report(
                "drift",
                f"The microphone's clock drifts, {measured:.0f} samples a second in place of {self._rate}, {100 * deviation:+.1f} %: "
                "words sound too high or too low; try another --rate, or another USB port.",
            )
        self._start_rate()
        self._first_arrival = block.arrived
        self._deviation = deviation if abs(deviation) > RATE_TOLERANCE else 0.0

    def _report(self, trouble: str, sentence: str) -> None:
        last = self._seen.get(trouble)
        self._seen[trouble] = self._clock
        if last is None or self._clock - last > AGAIN_SECONDS:
            self._log(sentence)
