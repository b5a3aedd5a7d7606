"""`speechtl doctor`: problems of the microphone, the runtime and the machine, with advice."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.errors import MicrophoneError, MissingExtraError, SpeechtlError
from speechtl.runtime import machine
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector, Scorer
from speechtl.runtime.engine.select import RUNTIMES, open_engine
from speechtl.runtime.microphone.portaudio import DTYPE, Device, held_microphones, list_devices, load_sounddevice
from speechtl.runtime.microphone.stream import RATES, Block, Microphone, numbers_of_channels
from speechtl.runtime.microphone.watch import InputWatch
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.silence import silent_library
from speechtl.versions import version_of

OK, WARNING, FAILURE = "ok", "warning", "failure"
PATIENCE_SECONDS = 3.0  # for a microphone that is slow to start
LEVEL_FRAME = 0.02  # seconds
FLOOR_PERCENTILE = 10  # of the frames' levels: the noise floor
LOUD_FLOOR_DB = -40.0  # words at arm's length come at about -30 dBFS
QUIET_DB = -75.0  # the loudest frame of three seconds in a room; below, the gain is far too low
REAL_TIME_SECONDS = 5.0  # of noise, to measure the runtime with
BUSY_FACTOR = 0.5  # of a core
HOT, TOO_HOT = 75.0, 82.0  # degrees; a Raspberry Pi slows down at 80 to 85
LITTLE_DISK, NO_DISK = 500e6, 50e6  # bytes


@dataclass(frozen=True)
class Check:
    """One check: ok, warning or failure, what was found, what to do, and the measured values."""

    name: str
    status: str
    found: str
    do: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON stores them."""
        return asdict(self)


def examine(bundle: Path | None, *, device: str | None, channel: int, rate: int | None, seconds: float) -> list[Check]:
    """Run all checks; none raises."""
    return [
        *check_microphone(device, channel, rate, seconds),
        *check_runtime(bundle),
        check_processor(),
        check_clock(),
        check_temperature(),
        check_throttling(),
        check_disk(Path.cwd()),
    ]


def check_microphone(wanted: str | None, channel: int, rate: int | None, seconds: float) -> Iterator[Check]:
    """Check PortAudio, its devices with their rates, the device that would be used, and its sound."""
    try:
        sounddevice = load_sounddevice()
        devices = list_devices()
    except (MissingExtraError, MicrophoneError) as error:
        yield _failed("microphone", error)
        return
    yield Check("portaudio", OK, f"{sounddevice.get_portaudio_version()[1]}, sounddevice {sounddevice.__version__}")
    for device in devices:
        rates = _rates(sounddevice, device)
        listed = ", ".join(map(str, rates)) or "none of the usual ones"
        default = ", the default" if device.default else ""
        yield Check(
            f"device {device.index}",
            OK if rates else WARNING,
            f"{device.name}{default}: up to {device.channels} channels; rates (Hz): {listed}",
            "" if rates else "It may be in use; see: fuser -v /dev/snd/*",
            {"index": device.index, "name": device.name, "channels": device.channels, "rates": rates, "default": device.default},
        )
    for held in held_microphones():
        yield Check("device", WARNING, f"{held.name} is in use by {held.holder}", held.remedy, asdict(held))
    yield from _listen(wanted, channel, rate, seconds)


def _rates(sounddevice: Any, device: Device) -> list[int]:
    return [rate for rate in sorted({*RATES, device.rate}) if _opens(sounddevice, device, rate)]


def _opens(sounddevice: Any, device: Device, rate: int) -> bool:
    for channels in numbers_of_channels(device):
        try:
            with silent_library():
                sounddevice.check_input_settings(device=device.index, samplerate=rate, channels=channels, dtype=DTYPE)
        except sounddevice.PortAudioError:
            continue
        return True
    return False


def _listen(wanted: str | None, channel: int, rate: int | None, seconds: float) -> Iterator[Check]:
    troubles: list[str] = []
    microphone = Microphone(wanted, troubles.append, rate=rate, channel=channel)
    try:
        microphone.open()
    except SpeechtlError as error:
        yield _failed("microphone", error)
        return
    try:
        yield Check("microphone", OK, microphone.describe(), values={"rate": microphone.rate, "channels": microphone.channels})
        blocks = _record(microphone, seconds)
    finally:
        microphone.close()
    length = sum(len(block.samples) / block.rate for block in blocks)
    if length < seconds / 2.0:
        found = f"The microphone delivered {length:.1f} s of sound in {seconds + PATIENCE_SECONDS:.0f} s"
        yield Check("sound", FAILURE, found, "Unplug it and plug it in again, or give another --device.")
        return
    watch = InputWatch(troubles.append, channel)
    for block in blocks:
        watch.feed(block)
    yield _level(np.concatenate([block.samples[:, channel - 1] for block in blocks]), microphone.rate)
    for trouble in troubles:
        found, _, do = trouble.partition(": ")
        yield Check("sound", WARNING, found, do)
    if microphone.overruns:
        yield Check("sound", WARNING, f"{microphone.overruns} blocks were lost.", "End other programs: the machine is too busy.")


def _record(microphone: Microphone, seconds: float) -> list[Block]:
    blocks: list[Block] = []
    length, deadline = 0.0, time.monotonic() + seconds + PATIENCE_SECONDS
    while length < seconds and time.monotonic() < deadline:
        block = microphone.read(0.25)
        if block is not None:
            blocks.append(block)
            length += len(block.samples) / block.rate
    return blocks


def _level(samples: Samples, rate: int) -> Check:
    frame = round(LEVEL_FRAME * rate)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    levels = _decibels(frames.std(axis=1))
    peak, floor = float(_decibels(np.abs(samples).max())), float(np.percentile(levels, FLOOR_PERCENTILE))
    loudest = float(levels.max())
    found = f"level {float(_decibels(samples.std())):.0f} dBFS, peak {peak:.0f} dBFS, noise floor {floor:.0f} dBFS"
    values = {"level_db": round(float(_decibels(samples.std())), 1), "peak_db": round(peak, 1), "floor_db": round(floor, 1)}
    if floor > LOUD_FLOOR_DB:
        return Check(
            "level", WARNING, found, "It is loud here, or the gain is too high: turn it down (alsamixer, F4), move the microphone.", values
        )
    if loudest < QUIET_DB:
        return Check("level", WARNING, found, "That is very soft even for a quiet room: turn the gain up (alsamixer, F4).", values)
    return Check("level", OK, found, values=values)


def _decibels(amplitude: Any) -> Any:
    return 20.0 * np.log10(np.maximum(amplitude, 1e-7))


def check_runtime(bundle: Path | None) -> Iterator[Check]:
    """Check which runtimes are installed and, with a bundle, which graph runs and how fast."""
    # A module may come from a package of another name.
    found = {name: version_of(name) or "of unknown version" for name, runtime in RUNTIMES.items() if runtime.installed}
    listed = ", ".join(f"{name} {version}" for name, version in found.items())
    if not found:
        yield Check("runtime", FAILURE, "No runtime is installed.", "Install it with: pip install onnxruntime")
    else:
        yield Check("runtime", OK, listed, values=found)
    if bundle is None:
        return
    try:
        opened = open_bundle(bundle)
        engine = open_engine(opened)
        yield _speed(Detector(Scorer.on(engine, opened), opened.words), f"{engine.graph} in {engine.runtime}")
    except (SpeechtlError, OSError) as error:
        yield _failed("bundle", error, f"Give a bundle that was made with: speechtl export RUN -o {bundle.name}")


def _speed(detector: Detector, graph: str) -> Check:
    noise = np.random.default_rng(0).normal(0.0, 0.01, round(REAL_TIME_SECONDS * SAMPLE_RATE)).astype(np.float32)
    step = SAMPLE_RATE * 80 // 1000
    detector.feed(noise[: 4 * step])
    detector.reset()
    start = time.process_time()
    for first in range(0, len(noise), step):
        detector.feed(noise[first : first + step])
    factor = (time.process_time() - start) / REAL_TIME_SECONDS
    name = ", ".join(word.name for word in detector.words)
    found = f"{name}, {graph}: real-time factor {factor:.4f} ({1000 * factor:.1f} ms of CPU a second)"
    values = {"name": name, "graph": graph, "real_time_factor": round(factor, 5)}
    if factor >= 1.0:
        return Check("bundle", FAILURE, found, "This machine is too slow for it: export a smaller encoder, or an int8 graph.", values)
    if factor >= BUSY_FACTOR:
        return Check("bundle", WARNING, found, "It leaves little for anything else: end other programs, or export an int8 graph.", values)
    return Check("bundle", OK, found, values=values)


def check_processor(root: Path = machine.ROOT) -> Check:
    """Report the processor's clock and governor."""
    board, clock = machine.read_machine(root), machine.read_condition(root).clock_mhz
    limit = f" of {board.clock_limit_mhz:.0f}" if board.clock_limit_mhz else ""
    parts = [
        f"{board.model or board.processor}, {board.cores} cores",
        f"at {clock:.0f}{limit} MHz" if clock else "clock unknown",
        f"governor {board.governor}" if board.governor else "",
    ]
    values = {"clock_mhz": clock, "clock_limit_mhz": board.clock_limit_mhz, "governor": board.governor}
    return Check("processor", OK, ", ".join(filter(None, parts)), values=values)


def check_clock() -> Check:
    """Check that the clock is plausible and kept by time synchronisation: events carry its time."""
    now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    if time.time() < machine.BUILT:
        return Check(
            "clock", WARNING, f"{now}: that is in the past", "Set it, or connect the machine to a network: sudo timedatectl set-ntp true"
        )
    synchronised = machine.clock_synchronised()
    values = {"synchronised": synchronised}
    if synchronised is False:
        return Check("clock", WARNING, f"{now}, not synchronised", "Events may carry a wrong time: sudo timedatectl set-ntp true", values)
    return Check("clock", OK, f"{now}, {'synchronised' if synchronised else 'synchronisation unknown'}", "", values)


def check_temperature(read: Callable[[], float | None] = machine.temperature) -> Check:
    """Check the processor's temperature, where it is known."""
    degrees = read()
    if degrees is None:
        return Check("temperature", OK, "unknown on this system")
    found, values = f"{degrees:.0f} degrees", {"celsius": degrees}
    if degrees >= TOO_HOT:
        return Check("temperature", FAILURE, found, "The processor slows down or will: give it a heat sink or a fan.", values)
    if degrees >= HOT:
        return Check("temperature", WARNING, found, "Give the machine more air, or a heat sink.", values)
    return Check("temperature", OK, found, values=values)


def check_throttling(root: Path = machine.ROOT) -> Check:
    """Check whether the machine is or was throttled by heat or by too weak a power supply, where that is known."""
    throttle = machine.read_condition(root).throttling
    if throttle is None:
        return Check("throttling", OK, "unknown on this system")
    values = asdict(throttle)
    if throttle.now:
        return Check("throttling", FAILURE, f"now: {', '.join(throttle.now)}", _remedy(throttle.now), values)
    if throttle.since_start:
        return Check("throttling", WARNING, f"since the start: {', '.join(throttle.since_start)}", _remedy(throttle.since_start), values)
    return Check("throttling", OK, "none", values=values)


def _remedy(what: Collection[str]) -> str:
    return "Use a stronger power supply and a short cable." if machine.UNDER_VOLTAGE in what else "Give it a heat sink or a fan."


def check_disk(folder: Path) -> Check:
    """Check that there is room for clips and logs."""
    free = shutil.disk_usage(folder).free
    found, values = f"{free / 1e9:.1f} GB free in {folder}", {"free_bytes": free}
    if free < NO_DISK:
        return Check("disk", FAILURE, found, "Free some space: logs and clips cannot be written.", values)
    if free < LITTLE_DISK:
        return Check("disk", WARNING, found, "Free some space, or keep fewer clips (--clips-mb).", values)
    return Check("disk", OK, found, values=values)


def _failed(name: str, error: Exception, do: str = "See: speechtl doctor --help") -> Check:
    """A failed check from an error's sentences: the first is what was found, the others what to do."""
    found, _, own = str(error).partition(". ")
    return Check(name, FAILURE, found.rstrip("."), own or do)
