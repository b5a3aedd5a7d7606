import re
from types import SimpleNamespace

import pytest

from speechtl.errors import MicrophoneError
from speechtl.runtime.microphone import portaudio
from speechtl.runtime.microphone.portaudio import Device, HeldMicrophone, find_device, held_microphones, may_try_another, reason

DEVICES = [
    Device(0, "bcm2835 Headphones: - (hw:0,0)", 1, 44_100, False),
    Device(2, "USB PnP Sound Device: Audio (hw:1,0)", 1, 44_100, False),
    Device(3, "USB PnP Sound Device: Audio #2 (hw:2,0)", 2, 48_000, False),
    Device(5, "default", 32, 44_100, True),
]


@pytest.fixture
def devices(monkeypatch):
    def use(found):
        monkeypatch.setattr(portaudio, "list_devices", lambda: found)

    use(DEVICES)
    return use


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (None, 5),
        ("3", 3),
        ("DEFAULT", 5),
        ("usb pnp sound device: audio (hw:1,0)", 2),
        ("USB PnP Sound Device: Audio", 2),  # whole, without the number of the card, although another one begins like it
        ("#2", 3),
        ("bcm", 0),
    ],
)
def test_a_microphone_is_found_by_number_name_or_part_of_its_name(devices, wanted, index):
    assert find_device(wanted).index == index


def test_without_a_default_the_first_one_is_taken(devices):
    devices(DEVICES[:3])
    assert find_device(None).index == 0


@pytest.mark.parametrize(
    ("wanted", "says"), [("usb", "matches 2 microphones: 2 = USB"), ("4", "no microphone '4'"), ("x", "there are: 0 = bcm")]
)
def test_what_cannot_be_meant_is_refused_with_what_there_is(devices, wanted, says):
    with pytest.raises(MicrophoneError, match=says):
        find_device(wanted)


def test_a_lost_microphone_is_found_again_although_its_card_has_another_number(devices):
    assert portaudio.find_again(DEVICES[1]).index == 2
    moved = Device(9, "USB PnP Sound Device: Audio (hw:4,0)", 1, 44_100, False)
    devices([DEVICES[0], moved])
    assert portaudio.find_again(DEVICES[1]) == moved
    devices(DEVICES[:1])
    with pytest.raises(MicrophoneError, match="no microphone 'USB PnP Sound Device: Audio' any more"):
        portaudio.find_again(DEVICES[1])


def test_one_of_two_alike_is_found_again_by_its_card(devices):
    alike = [Device(index, f"USB Mic: Audio (hw:{index},0)", 1, 44_100, False) for index in (1, 2)]
    devices(alike)
    assert portaudio.find_again(alike[1]) == alike[1]


def test_microphones_that_the_user_may_not_open_are_told_from_none(devices, monkeypatch, tmp_path):
    devices([])
    monkeypatch.setattr(portaudio, "SOUND_DEVICES", tmp_path)
    with pytest.raises(MicrophoneError, match="Plug one in"):
        find_device(None)
    (tmp_path / "pcmC1D0c").touch()
    monkeypatch.setattr(portaudio.os, "access", lambda *_: False)
    with pytest.raises(MicrophoneError, match="usermod -aG audio"):
        find_device(None)
    devices(DEVICES[3:])
    with pytest.raises(MicrophoneError, match=r"not one of the microphones that this user may open: 5 = default.*usermod -aG audio"):
        find_device("usb")


HELD = HeldMicrophone("USB Mic: Audio (hw:1,0)", 812, "arecord")


@pytest.mark.parametrize("wanted", [None, "usb mic", "USB Mic: Audio (hw:1,0)"])
def test_a_microphone_that_another_program_holds_is_told_from_none(devices, monkeypatch, wanted):
    devices([] if wanted is None else DEVICES)
    monkeypatch.setattr(portaudio, "held_microphones", lambda: [HELD])
    with pytest.raises(MicrophoneError, match=r"USB Mic: Audio \(hw:1,0\) is in use by arecord \(process 812\).*End it"):
        find_device(wanted)


def test_a_lost_microphone_that_another_program_took_is_told(devices, monkeypatch):
    monkeypatch.setattr(portaudio, "held_microphones", lambda: [HELD])
    with pytest.raises(MicrophoneError, match="in use by arecord"):
        portaudio.find_again(Device(1, "USB Mic: Audio (hw:4,0)", 1, 44_100, False))


def test_a_microphone_with_parts_is_found_again_although_its_card_has_another_number(devices):
    there = Device(9, "Array: Audio (hw:4,0,1) {subdevice #1}", 1, 44_100, False)
    devices([Device(8, "Array: Audio (hw:4,0,0) {subdevice #0}", 1, 44_100, False), there])
    assert portaudio.find_again(Device(3, "Array: Audio (hw:2,0,1) {subdevice #1}", 1, 44_100, False)) == there


@pytest.mark.parametrize(
    ("arguments", "says", "another"),
    [
        (("Device unavailable", -9985), "in use by another program", False),
        (("Unanticipated host error", -9999, (8, -13, "Permission denied")), "usermod -aG audio", False),
        (("Unanticipated host error", -9999, (8, -16, "Device or resource busy")), "fuser -v", False),
        (("Unanticipated host error", -9999, (8, -19, "No such device")), "Is it plugged in?", False),
        (("Unanticipated host error", -9999, (8, -22, "Invalid argument")), "speechtl doctor", True),
        (("Invalid sample rate", -9997), "Invalid sample rate", True),
        (("Invalid number of channels", -9998), "Invalid number of channels", True),
        (("Error opening the stream",), "Error opening the stream", False),
    ],
)
def test_errors_of_portaudio_are_sentences_with_what_to_do(arguments, says, another):
    error = Exception(*arguments)
    assert reason(error, DEVICES[1]).startswith("USB PnP Sound Device: Audio (hw:1,0) ")
    assert says in reason(error, DEVICES[1])
    assert may_try_another(error) is another


@pytest.mark.parametrize(("node", "says"), [("pcmC1D0c", "permission denied.*usermod -aG audio"), ("pcmC0D0c", "Is it plugged in")])
def test_what_portaudio_does_not_explain_is_told_by_who_may_open_the_device(monkeypatch, tmp_path, node, says):
    (tmp_path / node).touch()
    monkeypatch.setattr(portaudio, "SOUND_DEVICES", tmp_path)
    monkeypatch.setattr(portaudio.os, "access", lambda *_: False)
    error = Exception("Illegal combination of I/O devices", -9993)
    assert re.search(says, reason(error, DEVICES[1]))
    assert not may_try_another(error)


class PortAudioError(Exception):
    pass


class Failing:
    """A PortAudio that does not start so many times."""

    PortAudioError = PortAudioError
    default = SimpleNamespace(device=(0, 0))

    def __init__(self, failures: int):
        self.failures = failures
        self._initialized = 1

    def _terminate(self):
        assert self._initialized
        self._initialized -= 1

    def _initialize(self):
        self.failures -= 1
        if self.failures >= 0:
            raise PortAudioError("Error initializing PortAudio: Unanticipated host error")
        self._initialized += 1

    def query_devices(self):
        if not self._initialized:
            raise PortAudioError("PortAudio not initialized")
        return []


def test_a_portaudio_that_does_not_start_again_is_a_sentence_and_may_start_later(monkeypatch):
    failing = Failing(2)
    monkeypatch.setattr(portaudio, "load_sounddevice", lambda: failing)
    for _ in range(2):
        with pytest.raises(MicrophoneError, match=r"does not start \(Error initializing PortAudio: Unanticipated host error\)"):
            portaudio.rescan()
        with pytest.raises(MicrophoneError, match=r"does not start \(PortAudio not initialized\)"):
            portaudio.list_devices()
    portaudio.rescan()
    assert portaudio.list_devices() == []


CARDS = """ 0 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones
                      bcm2835 Headphones
 1 [Device         ]: USB-Audio - USB PnP Sound Device
                      C-Media Electronics Inc. USB PnP Sound Device at usb-3f980000.usb-1.3, full speed
"""
INFO = "card: 1\ndevice: 0\nsubdevice: 0\nstream: CAPTURE\nid: USB Audio\nname: USB Audio\nsubdevices_count: 1\nsubdevices_avail: 0\n"
OPEN = "state: RUNNING\nowner_pid   : 812\ntrigger_time: 11.7\n"
MICROPHONE = "proc/asound/card1/pcm0c/sub0"


@pytest.fixture
def system(tmp_path):
    """Return a function that writes files below a folder which stands for /."""

    def write(**files: str):
        standard = {"proc/asound/cards": CARDS, f"{MICROPHONE}/info": INFO, f"{MICROPHONE}/status": OPEN, "proc/812/comm": "speechtl\n"}
        for name, content in {**standard, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path

    return write


def test_a_microphone_that_a_program_has_open_is_named_as_portaudio_names_it(system):
    (held,) = held_microphones(system())
    assert held == HeldMicrophone("USB PnP Sound Device: USB Audio (hw:1,0)", 812, "speechtl")
    assert held.holder == "speechtl (process 812)"
    assert "systemctl stop speechtl" in held.remedy


def test_of_a_program_that_is_not_told_its_number_is(system):
    root = system()
    (root / "proc/812/comm").unlink()
    (held,) = held_microphones(root)
    assert held.holder == "process 812"
    assert held.remedy == "End it, or give another --device."


def test_closed_microphones_and_open_loudspeakers_are_not_held(system):
    playing = {"proc/asound/card0/pcm0p/sub0/status": OPEN}
    assert held_microphones(system(**{f"{MICROPHONE}/status": "closed\n"}, **playing)) == []


def test_a_system_without_sound_holds_none(tmp_path):
    assert held_microphones(tmp_path) == []
