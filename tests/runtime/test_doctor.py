import json
from types import SimpleNamespace

import numpy as np
import pytest

from speechtl.errors import MicrophoneError
from speechtl.runtime import doctor
from speechtl.runtime.doctor import Check, check_disk, check_runtime, check_temperature, check_throttling
from speechtl.runtime.microphone import portaudio
from speechtl.runtime.microphone.portaudio import HeldMicrophone


def diagnosis(command) -> tuple[dict, dict]:
    command.finish()
    document = json.loads("\n".join(command.out))
    return document, {check["name"]: check for check in document["checks"]}


@pytest.mark.slow
def test_a_microphone_that_works_is_described_with_its_rates_and_its_level(virtual_microphone, speechtl, tiny_bundle):
    microphone = virtual_microphone(rate=48_000, strict=True)
    microphone.background = 0.001
    command = speechtl("doctor", tiny_bundle, "--device", "speechtl_mic", "--json", environment=microphone.environment)
    document, checks = diagnosis(command)
    assert command.process.returncode == 0, command.err
    assert document["ok"] is True
    assert checks["device 0"]["values"]["rates"] == [48_000]
    assert checks["microphone"]["values"]["rate"] == 48_000
    assert checks["level"]["status"] == "ok"
    assert checks["level"]["values"]["floor_db"] == pytest.approx(-60, abs=1.5)
    assert checks["level"]["values"]["level_db"] == pytest.approx(-60, abs=1.5)
    assert "real-time factor" in checks["bundle"]["found"]
    assert "model.onnx" in checks["bundle"]["found"]
    assert {"portaudio", "runtime", "processor", "clock", "temperature", "throttling", "disk"} <= checks.keys()
    assert {check["status"] for check in checks.values()} <= {"ok", "warning", "failure"}


@pytest.mark.slow
def test_a_muted_microphone_is_a_warning_for_people(virtual_microphone, speechtl):
    command = speechtl("doctor", "--device", "speechtl_mic", environment=virtual_microphone().environment)
    assert command.finish() == 0
    said = "\n".join(command.out)
    assert "warning sound: The microphone delivers digital silence (only zeros)" in said
    assert "        -> is it muted?" in said


@pytest.mark.slow
def test_a_microphone_that_delivers_nothing_is_a_failure(virtual_microphone, speechtl):
    microphone = virtual_microphone()
    microphone.pause()
    command = speechtl("doctor", "--device", "speechtl_mic", "--seconds", "1", "--json", environment=microphone.environment)
    document, checks = diagnosis(command)
    assert command.process.returncode == 1
    assert document["ok"] is False
    assert checks["sound"]["status"] == "failure"
    assert checks["sound"]["found"].startswith("The microphone delivered 0.0 s of sound")
    assert len(command.err) == 1
    assert "checks failed: sound." in command.err[0]


def test_no_portaudio_is_a_failure_with_the_package_to_install_and_the_rest_is_still_checked(speechtl, tmp_path):
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")\n')
    command = speechtl("doctor", "--json", environment={"PYTHONPATH": str(tmp_path)})
    _, checks = diagnosis(command)
    assert command.process.returncode == 1
    assert checks["microphone"]["do"] == "Install it with: sudo apt-get install libportaudio2"
    assert checks["disk"]["values"]["free_bytes"] > 0


def test_a_broken_bundle_is_a_failure(tmp_path):
    (tmp_path / "a.wake").write_bytes(b"no bundle")
    (broken,) = [check for check in check_runtime(tmp_path / "a.wake") if check.name == "bundle"]
    assert broken.status == "failure"
    assert "is not a bundle" in broken.found
    assert broken.do == "Give a bundle that was made with: speechtl export RUN -o a.wake"


def test_a_microphone_that_another_program_holds_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "load_sounddevice", lambda: SimpleNamespace(get_portaudio_version=lambda: (0, "x"), __version__="0"))
    held = HeldMicrophone("USB Mic: Audio (hw:1,0)", 812, "speechtl")
    for module in (doctor, portaudio):
        monkeypatch.setattr(module, "list_devices", lambda: [])
        monkeypatch.setattr(module, "held_microphones", lambda: [held])
    _, listed, opened = doctor.check_microphone(None, 1, None, 3.0)
    assert (listed.name, listed.status, listed.found) == ("device", "warning", f"{held.name} is in use by speechtl (process 812)")
    assert (opened.name, opened.status) == ("microphone", "failure")
    assert opened.found == f"The microphone {held.name} is in use by speechtl (process 812), and there is no other"
    assert listed.do == opened.do
    assert "sudo systemctl stop speechtl" in opened.do


def test_a_portaudio_that_cannot_tell_its_devices_is_a_failure(monkeypatch):
    def refuse():
        raise MicrophoneError("PortAudio does not start (host error). See: aplay -l")

    monkeypatch.setattr(doctor, "load_sounddevice", lambda: None)
    monkeypatch.setattr(doctor, "list_devices", refuse)
    (check,) = doctor.check_microphone(None, 1, None, 3.0)
    assert (check.name, check.status, check.do) == ("microphone", "failure", "See: aplay -l")


def test_a_device_that_opens_with_all_its_channels_only_has_rates():
    def check(device, samplerate, channels, dtype):
        if (samplerate, channels) not in ((16_000, 6), (48_000, 6)):
            raise ValueError

    sounddevice = SimpleNamespace(check_input_settings=check, PortAudioError=ValueError)
    assert doctor._rates(sounddevice, portaudio.Device(3, "array", 6, 16_000, False)) == [16_000, 48_000]


def test_the_processor_is_told_with_its_clock(tmp_path):
    folder = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    folder.mkdir(parents=True)
    for name, content in {"scaling_cur_freq": "600000", "cpuinfo_max_freq": "1800000", "scaling_governor": "ondemand"}.items():
        (folder / name).write_text(f"{content}\n")
    check = doctor.check_processor(tmp_path)
    assert check.found.endswith("at 600 of 1800 MHz, governor ondemand")
    assert check.values == {"clock_mhz": 600.0, "clock_limit_mhz": 1800.0, "governor": "ondemand"}
    assert "clock unknown" in doctor.check_processor(tmp_path / "none").found


@pytest.mark.parametrize(("degrees", "status"), [(None, "ok"), (50.0, "ok"), (76.0, "warning"), (83.0, "failure")])
def test_heat_is_judged(degrees, status):
    check = check_temperature(lambda: degrees)
    assert check.status == status
    assert bool(check.do) == (status != "ok")


@pytest.mark.parametrize(
    ("bits", "status", "do"),
    [
        (None, "ok", ""),
        (0, "ok", ""),
        (0x50000, "warning", "power supply"),
        (0x50005, "failure", "power supply"),
        (0x80008, "failure", "fan"),
    ],
)
def test_throttling_is_judged(tmp_path, bits, status, do):
    file = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    file.parent.mkdir(parents=True)
    if bits is not None:
        file.write_text(f"{bits:x}\n")
    check = check_throttling(tmp_path)
    assert check.status == status
    assert do in check.do


def test_a_supply_that_is_too_weak_is_told_where_the_firmware_does_not(tmp_path):
    folder = tmp_path / "sys/class/hwmon/hwmon0"
    folder.mkdir(parents=True)
    (folder / "name").write_text("rpi_volt\n")
    (folder / "in0_lcrit_alarm").write_text("1\n")
    check = check_throttling(tmp_path)
    assert (check.status, check.found) == ("failure", "now: under-voltage")


@pytest.mark.parametrize(("free", "status"), [(10e9, "ok"), (100e6, "warning"), (1e6, "failure")])
def test_the_disk_is_judged(monkeypatch, tmp_path, free, status):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": int(free)}))
    assert check_disk(tmp_path).status == status


@pytest.mark.parametrize(("amplitude", "status"), [(0.0005, "ok"), (0.05, "warning"), (1e-5, "warning")])
def test_the_level_is_judged(amplitude, status):
    assert doctor._level(np.random.default_rng(0).normal(0, amplitude, 48_000).astype(np.float32), 16_000).status == status


def test_a_clock_that_was_never_set_is_told(monkeypatch):
    monkeypatch.setattr(doctor.time, "time", lambda: 1000.0)
    assert "in the past" in doctor.check_clock().found


def test_a_device_with_a_hostile_name_is_one_line_of_text(monkeypatch, capsys):
    from speechtl.cli import device as microphone_commands

    hostile = Check("device 0", "ok", "[red]mic[/] \x1b[2J\nSTOPPING=1\u202e", "Unplug \x07 it.")
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: [hostile])
    microphone_commands.doctor()
    said = capsys.readouterr().out
    assert said.splitlines() == [
        r"ok      device 0: [red]mic[/] \x1b[2J\x0aSTOPPING=1\u202e",
        r"        -> Unplug \x07 it.",
    ]


def test_a_device_or_bundle_with_a_hostile_name_adds_no_line_to_the_log(capsys):
    from speechtl.cli.device import _note

    _note("The microphone a\x1b[2J\nspeechtl: All is well.\udce9 is gone.")
    assert capsys.readouterr().err == "speechtl: The microphone a\\x1b[2J\\x0aspeechtl: All is well.\\xe9 is gone.\n"
