"""PortAudio through sounddevice: loading it, its devices, those that another program holds, and its errors as sentences with advice."""

from __future__ import annotations

import atexit
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechtl.errors import MicrophoneError, MissingExtraError
from speechtl.runtime.silence import silent_library

DTYPE = "float32"  # PortAudio converts the device's samples; 16 bits would lose the low bits of 24-bit microphones
SOUND_DEVICES = Path("/dev/snd")
# Errors of PortAudio and ALSA after which another rate or number of channels may work.
TRY_ANOTHER = (-9997, -9998, -9994, -9999)  # invalid rate, invalid channels, sample format, unanticipated host error
NOT_OPENED = -9993  # paBadIODeviceCombination: PortAudio's code for every failure of ALSA to open a device except that it is busy
HARDWARE = re.compile(r"hw:(\d+),(\d+)")
ROOT = Path("/")
OWNER = re.compile(r"^owner_pid\s*:\s*(\d+)", re.MULTILINE)
PLACE = re.compile(r"card(\d+)/pcm(\d+)c/")
CARD_NUMBERS = re.compile(r"\s*\((plug)?hw:\d+,\d+(,\d+)?\)")  # change when a microphone is plugged in again


@dataclass(frozen=True)
class Device:
    """An input device as PortAudio lists it; `channels` is the largest number, `rate` the default (hertz)."""

    index: int
    name: str
    channels: int
    rate: int
    default: bool

    @property
    def lasting_name(self) -> str:
        """The name without the card's number, which identifies it after it was unplugged."""
        return CARD_NUMBERS.sub("", self.name)


def load_sounddevice() -> Any:
    """Import sounddevice; raise `MissingExtraError` or, without PortAudio, `MicrophoneError`."""
    with silent_library():  # ALSA reports every device that it does not find
        try:
            import sounddevice
        except ModuleNotFoundError as error:
            raise MissingExtraError("The microphone", "mic") from error
        except OSError as error:
            raise MicrophoneError(
                f"PortAudio, which reads the microphone, is not installed ({error}). Install it with: sudo apt-get install libportaudio2"
            ) from error
        except Exception as error:
            # sounddevice raises its own type, which cannot be named before it is imported, when PortAudio does not start.
            raise _not_started(error) from error
    return sounddevice


def rescan() -> None:
    """Make PortAudio search for devices again, while no stream is open; raise `MicrophoneError` where it does not start."""
    sounddevice = load_sounddevice()
    with silent_library():
        try:
            if sounddevice._initialized:  # it is not where it did not start the last time
                sounddevice._terminate()
            sounddevice._initialize()
        except sounddevice.PortAudioError as error:
            raise _not_started(error) from error


def leave_open() -> None:
    """Do not close PortAudio when the process ends: it would wait for a stream that never closes."""
    atexit.unregister(load_sounddevice()._exit_handler)


def list_devices() -> list[Device]:
    """The input devices, each name once; raises `MicrophoneError` where PortAudio cannot list them."""
    sounddevice = load_sounddevice()
    default = sounddevice.default.device[0]
    try:
        listed = sounddevice.query_devices()
    except sounddevice.PortAudioError as error:
        raise _not_started(error) from error
    found: dict[str, Device] = {}
    for about in listed:
        if about["max_input_channels"] > 0:
            index = int(about["index"])
            device = Device(index, about["name"], about["max_input_channels"], round(about["default_samplerate"]), index == default)
            if device.name not in found or device.default:
                found[device.name] = device
    return list(found.values())


def find_device(wanted: str | None) -> Device:
    """The device of that number or name (or part of it), or the default device; raises `MicrophoneError`."""
    devices = list_devices()
    if not devices:
        raise MicrophoneError(_no_microphone())
    if wanted is None:
        return next((device for device in devices if device.default), devices[0])
    if wanted.isdecimal():
        matches = [device for device in devices if device.index == int(wanted)]
    else:
        sought = wanted.casefold()
        matches = [device for device in devices if sought in (device.name.casefold(), device.lasting_name.casefold())]
        matches = matches or [device for device in devices if sought in device.name.casefold()]
        if not matches:
            _refuse_held(wanted)
    if len(matches) == 1:
        return matches[0]
    listing = "; ".join(f"{device.index} = {device.name}" for device in matches or devices)
    if not matches and _denied():
        raise MicrophoneError(f"{wanted!r} is not one of the microphones that this user may open: {listing}. {_permission()}")
    if matches:
        raise MicrophoneError(f"{wanted!r} matches {len(matches)} microphones: {listing}. Give more of the name, or the number.")
    raise MicrophoneError(f"There is no microphone {wanted!r}; there are: {listing}. Is it plugged in?")


def find_again(lost: Device) -> Device:
    """The device that was unplugged, plugged in again: by the same name, else by the name without the card's number."""
    devices = list_devices()
    if not devices:
        raise MicrophoneError(_no_microphone())
    same = [device for device in devices if device.name == lost.name]
    same = same or [device for device in devices if device.lasting_name == lost.lasting_name]
    if not same:
        _refuse_held(lost.lasting_name)
        raise MicrophoneError(f"There is no microphone {lost.lasting_name!r} any more. Is it plugged in?")
    return same[0]


def reason(error: Exception, device: Device) -> str:
    """A sentence on what a PortAudio error means and what to do."""
    code, host = _codes(error)
    if host == -13 or (code == NOT_OPENED and _denied(device.name)):
        return f"{device.name} may not be opened: permission denied. {_permission()}"
    if host == -16 or code == -9985:
        return (
            f"{device.name} is in use by another program, or was just unplugged. "
            "See which one with: fuser -v /dev/snd/*   and end it, or give another --device."
        )
    if host in (-19, -2, -6):
        return f"{device.name} is no longer there. Is it plugged in? See: speechtl doctor"
    if code == NOT_OPENED:
        return f"{device.name} cannot be opened: it is no longer there, or another user has it. Is it plugged in? See: speechtl doctor"
    return f"{device.name} cannot be opened: {_text(error)}. See: speechtl doctor"


def may_try_another(error: Exception) -> bool:
    """True for an error after which another rate or number of channels may help."""
    code, host = _codes(error)
    return code in TRY_ANOTHER and host not in (-13, -16, -19)


def _codes(error: Exception) -> tuple[int | None, int | None]:
    """The error codes of PortAudio and of the sound system, where there are any."""
    arguments = error.args
    host = arguments[2][1] if len(arguments) > 2 and isinstance(arguments[2], tuple) else None
    return (arguments[1] if len(arguments) > 1 else None), host


def _text(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _not_started(error: Exception) -> MicrophoneError:
    return MicrophoneError(f"PortAudio does not start ({_text(error)}). Check the sound system with: aplay -l")


def _refuse_held(wanted: str) -> None:
    """Raise `MicrophoneError` where another program holds the microphone of that name."""
    for held in held_microphones():
        if wanted.casefold() in held.name.casefold():
            raise MicrophoneError(f"{held.name} is in use by {held.holder}. {held.remedy}")


def _no_microphone() -> str:
    for held in held_microphones():
        return f"The microphone {held.name} is in use by {held.holder}, and there is no other. {held.remedy}"
    if _denied():
        return f"The microphones in {SOUND_DEVICES} may not be opened: permission denied. {_permission()}"
    return "There is no microphone: the sound system lists no input device. Plug one in, and look at: arecord -l"


def _denied(name: str = "") -> bool:
    """True where this user may not open the device of that name, or without a name any device (Linux)."""
    numbers = HARDWARE.search(name)
    nodes = list(SOUND_DEVICES.glob(f"pcmC{numbers[1]}D{numbers[2]}c" if numbers else "pcm*c"))
    return bool(nodes) and not any(os.access(node, os.R_OK | os.W_OK) for node in nodes)


def _permission() -> str:
    return "Add the user to the group 'audio' with: sudo usermod -aG audio $USER   and log in again."


@dataclass(frozen=True)
class HeldMicrophone:
    """A microphone, named as PortAudio would name it, and the process that has it open."""

    name: str
    process: int
    program: str  # empty where it is unknown

    @property
    def holder(self) -> str:
        """The program that holds it, for people."""
        return f"{self.program} (process {self.process})" if self.program else f"process {self.process}"

    @property
    def remedy(self) -> str:
        """Advice on how to free it."""
        how = "End it (the service with: sudo systemctl stop speechtl)" if self.program == "speechtl" else "End it"
        return f"{how}, or give another --device."


def held_microphones(root: Path = ROOT) -> list[HeldMicrophone]:
    """The microphones that some program has open; `root` is the root folder."""
    cards = _content(root / "proc/asound/cards")
    found: dict[str, HeldMicrophone] = {}
    for status in sorted((root / "proc/asound").glob("card[0-9]*/pcm*c/sub*/status")):
        owner, place = OWNER.search(_content(status)), PLACE.search(status.as_posix())
        if owner is None or place is None:
            continue
        card, device = place.groups()
        name = f"{_card(cards, card)}: {_pcm(_content(status.with_name('info')))} (hw:{card},{device})"
        found[name] = HeldMicrophone(name, int(owner[1]), _content(root / "proc" / owner[1] / "comm"))
    return list(found.values())


def _card(cards: str, number: str) -> str:
    named = re.search(rf"^\s*{number} \[[^\]]*\]: .*? - (.*)$", cards, re.MULTILINE)
    return named[1].strip() if named else f"card {number}"


def _pcm(info: str) -> str:
    named = re.search(r"^name: (.*)$", info, re.MULTILINE)
    return named[1].strip() if named else "-"


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # gone since, or not in this kernel
        return ""
