"""What the machine tells of itself: clock, temperature, throttling (Raspberry Pi: /sys or vcgencmd)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

BUILT = 1_760_000_000.0  # seconds since 1970: October 2025; a clock before that was never set
ZONES = Path("/sys/class/thermal")
THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
UNDER_VOLTAGE = "under-voltage"
# Bits of get_throttled; 16 higher, the same since the start. Raspberry Pi documentation, vcgencmd.
BITS = {0: UNDER_VOLTAGE, 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
ANSWER_SECONDS = 2.0


def clock_synchronised() -> bool | None:
    """Tell whether the clock is kept by time synchronisation, None where the system does not tell."""
    said = _ask("timedatectl", "show", "--property=NTPSynchronized", "--value")
    return None if said not in ("yes", "no") else said == "yes"


def temperature(zones: Path = ZONES) -> float | None:
    """Return the hottest zone in degrees Celsius, None where the system does not tell."""
    found = []
    for path in sorted(zones.glob("thermal_zone*/temp")):
        try:
            found.append(int(path.read_text()) / 1000.0)
        except (OSError, ValueError):  # a sensor that is switched off
            continue
    if found:
        return max(found)
    said = re.search(r"temp=([\d.]+)", _ask("vcgencmd", "measure_temp"))
    return float(said[1]) if said else None


def throttled(path: Path = THROTTLED) -> int | None:
    """Return the bits of a Raspberry Pi's get_throttled, None on other machines."""
    said = path.read_text() if path.is_file() else _ask("vcgencmd", "get_throttled")
    found = re.search(r"(?:throttled=0x|^)([0-9a-fA-F]+)\s*$", said)
    return int(found[1], 16) if found else None


def throttling(bits: int) -> list[str]:
    """Return what the lowest bits say."""
    return [what for bit, what in BITS.items() if bits >> bit & 1]


def _ask(program: str, *arguments: str) -> str:
    """Return what a program prints, nothing where it is missing, fails or does not answer."""
    if shutil.which(program) is None:
        return ""
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
