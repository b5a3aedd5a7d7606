import json
import os
import sys
from pathlib import Path

import pytest

from speechtl.runtime import machine
from speechtl.runtime.machine import read_condition, read_machine


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Return a function that writes files of /proc and /sys below a folder; no vcgencmd is on the path."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def write(files: dict[str, str]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path

    return write


@pytest.fixture
def vcgencmd(tmp_path, monkeypatch):
    """Return a function that puts a program of that name on the path."""

    def install(script: str) -> None:
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / "bin" / "vcgencmd"
        program.write_text(f"#!{sys.executable}\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    return install


PI = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5\0",
    "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n",
    "proc/meminfo": "MemTotal:        3884448 kB\nMemAvailable:    3000320 kB\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61322\n",
    "sys/class/thermal/thermal_zone1/type": "battery\n",
    "sys/class/thermal/thermal_zone1/temp": "90000\n",
}


def test_a_raspberry_pi_tells_model_governor_clock_and_temperature(system):
    root = system(PI)
    board, condition = read_machine(root), read_condition(root)
    assert (board.model, board.processor) == ("Raspberry Pi 4 Model B Rev 1.5", "ARM implementer 0x41 part 0xd08")
    assert (board.governor, board.clock_limit_mhz, board.memory_mb) == ("ondemand", 1800.0, 3793)
    assert (condition.clock_mhz, condition.temperature_celsius, condition.free_memory_mb) == (1500.0, 61.3, 2930)


def test_a_system_that_tells_nothing_is_no_error(system):
    root = system({})
    board, condition = read_machine(root), read_condition(root)
    assert (board.model, board.governor, board.clock_limit_mhz, board.memory_mb) == (None, None, None, None)
    assert (condition.clock_mhz, condition.temperature_celsius, condition.throttling) == (None, None, None)
    assert board.processor
    assert board.cores >= 1


def test_governors_that_differ_are_all_named(system):
    root = system(PI | {"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n"})
    assert read_machine(root).governor == "ondemand, performance"


def test_a_processor_without_thermal_zone_is_read_from_its_sensor(system):
    sensors = {"sys/class/hwmon/hwmon0/name": "nvme\n", "sys/class/hwmon/hwmon0/temp1_input": "80000\n"}
    sensors |= {"sys/class/hwmon/hwmon1/name": "k10temp\n", "sys/class/hwmon/hwmon1/temp1_input": "45500\n"}
    assert read_condition(system(sensors)).temperature_celsius == 45.5


def test_a_zone_that_refuses_to_be_read_is_passed_over(system):
    root = system(PI)
    (root / "sys/class/thermal/thermal_zone0/temp").unlink()
    (root / "sys/class/thermal/thermal_zone0/temp").mkdir()
    assert read_condition(root).temperature_celsius == 90.0


def test_without_zones_a_raspberry_pi_is_asked(system, vcgencmd, tmp_path):
    vcgencmd("""import sys; print("temp=61.2'C" if sys.argv[1:] == ["measure_temp"] else "error")""")
    assert read_condition(system({})).temperature_celsius == 61.2


def test_the_firmwares_bits_are_said_in_words():
    # 0x50005 is the value that Raspberry Pi's documentation of get_throttled explains
    assert machine.throttling(0x50005) == machine.throttling(0x50005 >> 16) == ["under-voltage", "throttled"]
    assert machine.throttling(0x80000) == []
    assert machine.throttling(0x80000 >> 16) == ["soft temperature limit"]


@pytest.mark.parametrize(("text", "bits"), [("50005\n", 0x50005), ("0\n", 0), ("e0000", 0xE0000), ("none", None)])
def test_throttling_is_read_of_the_kernel(system, text, bits):
    file = "sys/devices/platform/soc/soc:firmware/get_throttled"
    assert machine.throttled(system({file: text}) / file) == bits


@pytest.mark.parametrize(("said", "known"), [("yes", True), ("no", False), ("", None)])
def test_the_clock_is_asked_of_systemd(tmp_path, monkeypatch, said, known):
    program = tmp_path / "timedatectl"
    program.write_text(f"#!/bin/sh\necho {said}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert machine.clock_synchronised() is known


def test_vcgencmd_is_asked_where_it_is_installed(system, vcgencmd):
    vcgencmd("import sys; print('throttled=0x20002' if sys.argv[1:] == ['get_throttled'] else 'error')")
    throttling = read_condition(system({})).throttling
    assert (throttling.source, throttling.now, throttling.since_start) == ("firmware", ("frequency capped",), ("frequency capped",))


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "import sys; sys.exit('VCHI initialization failed')",
        "print('error=1 error_msg=\"Command not registered\"')",
        "import time; time.sleep(60)",
    ],
)
def test_a_vcgencmd_that_fails_or_hangs_leaves_the_word_to_the_systems_files(script, system, vcgencmd, monkeypatch):
    monkeypatch.setattr("speechtl.runtime.machine.ANSWER_SECONDS", 1.0)
    vcgencmd(script)
    root = system({"sys/class/hwmon/hwmon0/name": "rpi_volt\n", "sys/class/hwmon/hwmon0/in0_lcrit_alarm": "1\n"})
    throttling = read_condition(root).throttling
    assert (throttling.source, throttling.now) == ("rpi_volt", ("under-voltage",))


def test_throttling_that_is_counted_is_added_up(system):
    folder = "sys/devices/system/cpu/cpu{}/thermal_throttle/core_throttle_count"
    throttling = read_condition(system({folder.format(0): "3\n", folder.format(1): "4\n"})).throttling
    assert (throttling.events, throttling.since_start) == (7, ("throttled",))


def test_this_machine_can_be_read_and_written_as_json():
    document = json.loads(json.dumps([read_machine().to_json(), read_condition().to_json()]))
    assert document[0]["cores"] == os.cpu_count()
