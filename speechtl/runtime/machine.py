"""The machine: processor, memory, governor, clock, temperature, throttling.

Everything is read from /proc and /sys, and from `vcgencmd` on a Raspberry Pi; what a system does not report is None.
The root folder can be given, so that another system's tree can be read.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path("/")
ZONES = Path("/sys/class/thermal")
THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
BUILT = 1_760_000_000.0  # seconds since 1970: October 2025; a clock before that was never set
ANSWER_SECONDS = 2.0  # time limit of a program
PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert", "tflite-runtime", "soxr", "soundfile", "sounddevice", "pillow")  # of a device
UNDER_VOLTAGE = "under-voltage"
# Bits of get_throttled: the present state, and 16 bits higher the state since the start.
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
BITS = {0: UNDER_VOLTAGE, 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
SINCE_START = 16
PROCESSOR_ZONES = ("cpu", "x86_pkg_temp", "soc", "core")  # parts of the names of thermal zones that are the processor's
PROCESSOR_SENSORS = ("coretemp", "k10temp", "cpu_thermal", "zenpower")


@dataclass(frozen=True)
class Machine:
    """Properties that do not change while a program runs."""

    model: str | None  # of the board or computer, such as "Raspberry Pi 5 Model B Rev 1.0"
    processor: str
    cores: int
    memory_mb: int | None  # of 2**20 bytes
    architecture: str
    system: str
    governor: str | None  # such as "ondemand"; several are joined with a comma
    clock_limit_mhz: float | None

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON stores them."""
        return asdict(self)


@dataclass(frozen=True)
class Throttling:
    """Throttling of the processor: the reasons now and since the start; `events` where the system only counts them."""

    source: str
    now: tuple[str, ...]
    since_start: tuple[str, ...]
    events: int | None = None


@dataclass(frozen=True)
class Condition:
    """Properties that change while a program runs."""

    clock_mhz: float | None
    temperature_celsius: float | None
    throttling: Throttling | None
    load: float | None  # of the last minute: above the number of cores, times are those of a busy machine
    free_memory_mb: int | None  # of 2**20 bytes, available to programs

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON stores them."""
        return asdict(self)


def read_machine(root: Path = ROOT) -> Machine:
    """The properties of this machine."""
    return Machine(
        model=_model(root),
        processor=_processor(root),
        cores=os.cpu_count() or 1,
        memory_mb=_memory(root, "MemTotal"),
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        governor=_governor(root),
        clock_limit_mhz=_clock(root, "cpuinfo_max_freq"),
    )


def read_condition(root: Path = ROOT) -> Condition:
    """The present condition of this machine."""
    return Condition(
        clock_mhz=_clock(root, "scaling_cur_freq"),
        temperature_celsius=temperature(_below(root, ZONES)),
        throttling=_throttling(root),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        free_memory_mb=_memory(root, "MemAvailable"),
    )


def clock_synchronised() -> bool | None:
    """Whether the clock is synchronised; None where the system does not report it."""
    output = _output_of("timedatectl", "show", "--property=NTPSynchronized", "--value")
    return None if output not in ("yes", "no") else output == "yes"


def temperature(zones: Path = ZONES) -> float | None:
    """Temperature of the processor in degrees Celsius; None where the system does not report it.

    Where no zone and no sensor is named as the processor's, the hottest of all zones counts.
    """
    readings = {zone: value for zone in sorted(zones.glob("thermal_zone*")) if (value := _number(zone / "temp")) is not None}
    own = [value for zone, value in readings.items() if any(part in (_text(zone / "type") or "").lower() for part in PROCESSOR_ZONES)]
    found = own or _sensors(zones.with_name("hwmon")) or list(readings.values())
    if found:
        return round(max(found) / 1000.0, 1)
    output = re.search(r"temp=([\d.]+)", _output_of("vcgencmd", "measure_temp"))
    return float(output[1]) if output else None


def throttled(path: Path = THROTTLED) -> int | None:
    """The bits of a Raspberry Pi's get_throttled; None on other machines."""
    for output in (_text(path), _output_of("vcgencmd", "get_throttled")):
        bits = re.fullmatch(r"(?:throttled=0x)?([0-9a-fA-F]+)", output or "")
        if bits:
            return int(bits[1], 16)
    return None


def throttling(bits: int) -> list[str]:
    """Meaning of the lowest bits of get_throttled."""
    return [what for bit, what in BITS.items() if bits >> bit & 1]


def _model(root: Path) -> str | None:
    for file in ("proc/device-tree/model", "sys/class/dmi/id/product_name"):
        text = _text(root / file)
        if text:
            return text
    return None


def _processor(root: Path) -> str:
    lines = (_text(root / "proc/cpuinfo") or "").splitlines()
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    for key in ("model name", "Hardware", "Processor"):
        if entries.get(key):
            return entries[key]
    if "CPU part" in entries:  # 64-bit ARM gives numbers only
        return f"ARM implementer {entries.get('CPU implementer', '?')} part {entries['CPU part']}"
    return platform.processor() or platform.machine()


def _memory(root: Path, key: str) -> int | None:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) // 1024
    return None


def _governor(root: Path) -> str | None:
    found = {_text(path) for path in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return ", ".join(sorted(name for name in found if name)) or None


def _clock(root: Path, file: str) -> float | None:
    values = [_number(path) for path in (root / "sys/devices/system/cpu").glob(f"cpu[0-9]*/cpufreq/{file}")]
    known = [value for value in values if value is not None]
    return max(known) / 1000.0 if known else None


def _sensors(folder: Path) -> list[float]:
    own = [sensor for sensor in folder.glob("hwmon*") if _text(sensor / "name") in PROCESSOR_SENSORS]
    return [value for sensor in own for path in sensor.glob("temp*_input") if (value := _number(path)) is not None]


def _throttling(root: Path) -> Throttling | None:
    bits = throttled(_below(root, THROTTLED))
    if bits is not None:
        return Throttling("firmware", tuple(throttling(bits)), tuple(throttling(bits >> SINCE_START)))
    for sensor in _below(root, ZONES).with_name("hwmon").glob("hwmon*"):
        if _text(sensor / "name") == "rpi_volt" and (alarm := _number(sensor / "in0_lcrit_alarm")) is not None:
            return Throttling("rpi_volt", (UNDER_VOLTAGE,) if alarm else (), ())
    return _counted_throttling(root)


def _counted_throttling(root: Path) -> Throttling | None:
    counters = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    counts = [count for count in map(_number, counters) if count is not None]
    if not counts:
        return None
    events = int(sum(counts))
    return Throttling("thermal_throttle", (), ("throttled",) if events else (), events)


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _output_of(program: str, *arguments: str) -> str:
    """Output of a program; empty where it is missing, fails or does not answer."""
    if shutil.which(program) is None:
        return ""
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").replace("\0", "").strip()
    except OSError:  # absent, or a driver that refuses to be read
        return None


def _number(path: Path) -> float | None:
    text = _text(path)
    try:
        return float(text) if text else None
    except ValueError:
        return None
