"""Play samples through PortAudio, on the default output device."""

from __future__ import annotations

from speechtl.errors import MicrophoneError
from speechtl.runtime.microphone.portaudio import load_sounddevice
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.silence import silent_library

FALLBACK_RATE = 48_000  # hertz, which every sound card plays


def play(samples: Samples) -> None:
    """Play 16 kHz mono samples to their end; raises `MicrophoneError` where there is no output device."""
    sounddevice = load_sounddevice()
    try:
        with silent_library():
            about = sounddevice.query_devices(kind="output")
            try:
                sounddevice.check_output_settings(samplerate=SAMPLE_RATE, channels=1, dtype="float32")
                rate = SAMPLE_RATE
            except sounddevice.PortAudioError:
                rate = round(about["default_samplerate"]) or FALLBACK_RATE
            sounddevice.play(samples if rate == SAMPLE_RATE else _converted(samples, rate), rate, blocking=True)
    except (sounddevice.PortAudioError, ValueError) as error:  # a ValueError where no device has outputs
        raise MicrophoneError(f"Nothing can be played back ({' '.join(str(error).split()).rstrip('.')}).") from error


def _converted(samples: Samples, rate: int) -> Samples:
    import soxr

    return soxr.resample(samples, SAMPLE_RATE, rate)
