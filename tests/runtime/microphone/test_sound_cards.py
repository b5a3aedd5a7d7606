import pytest

from speechtl.runtime.microphone.sound_cards import HeldMicrophone, held_microphones

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
