"""Speak one text with the shared library of eSpeak NG, in a process of its own.

    python -I -S espeak_process.py LIBRARY DATA VOICE WORDS_PER_MINUTE PITCH < text > sound
    python -I -S espeak_process.py LIBRARY DATA many < lines > sounds        (VOICE, WORDS_PER_MINUTE, PITCH, text, tabs between)
    python -I -S espeak_process.py LIBRARY DATA < /dev/null                  (lists languages, and timbres)
    python -I -S espeak_process.py LIBRARY DATA VOICE < texts > phonemes     (a line each)
    python -I -S espeak_process.py LIBRARY DATA VOICE ipa < texts > phonemes (in the phonetic alphabet)

The output of speech is one line with the sample rate, then mono int16 samples. The library keeps state from one text to the next
(phase of its vibrato, noise, echo), so the same text spoken twice in one process differs; a fresh process takes about
20 ms, gives the same samples each time, and keeps a crash in the library away from the caller. Only the standard library is
imported, so that it starts fast. Numbers of flags and parameters are those of `espeak-ng/speak_lib.h`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator

AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARACTERS_UTF8 = 1
PHONEME_INPUT = 0x100  # texts in double brackets are mnemonics
POSITION_CHARACTER = 1
SEPARATED = ord("_") << 8  # phonemes as eSpeak NG's mnemonics with this sign between them
TIED = 0x82 | ord("^") << 8  # phonemes of the International Phonetic Alphabet with this sign within a phoneme
PARAMETER_RATE, PARAMETER_VOLUME, PARAMETER_PITCH = 1, 2, 3
VOLUME = 30  # of 100: several variants clip at the default
NOISE_SEED = 1
MANY = "many"  # in the place of a voice
IPA = "ipa"  # in the place of the words per minute

_SYNTH_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),  # a byte of priority, the name, a zero; the first pair counts
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class Library:
    """The shared library, ready to speak; raises `RuntimeError` or `OSError` when it is not usable."""

    def __init__(self, library: str, data: str) -> None:
        self._library = ctypes.CDLL(library)
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self.sample_rate: int = self._library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), INITIALIZE_DONT_EXIT)
        if self.sample_rate <= 0:
            raise RuntimeError(f"eSpeak NG cannot read its data in {data}.")

    def languages(self) -> list[str]:
        """The languages and accents that are present, such as `cmn` or `en-gb-scotland`."""
        return [ctypes.string_at(voice.languages + 1).decode() for voice in self._voices(None) if voice.languages]

    def variants(self) -> list[str]:
        """The variants (timbres) that are present, such as `f3`."""
        name = ctypes.create_string_buffer(b"variant")
        wanted = _Voice(languages=ctypes.addressof(name))
        return [voice.identifier.decode().rpartition("/")[2] for voice in self._voices(ctypes.byref(wanted))]

    def speak(self, text: str, voice: str, words_per_minute: int, pitch: int) -> bytes:
        """Int16 samples at `sample_rate`; `pitch` is 0 to 99, 50 being the voice's own."""
        sound = bytearray()

        def collect(samples: int | None, count: int, _events: int | None) -> int:
            if samples and count > 0:
                sound.extend(ctypes.string_at(samples, 2 * count))
            return 0

        callback = _SYNTH_CALLBACK(collect)
        self._library.espeak_SetSynthCallback(callback)
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"eSpeak NG has no voice {voice!r}.")
        for parameter, value in ((PARAMETER_RATE, words_per_minute), (PARAMETER_VOLUME, VOLUME), (PARAMETER_PITCH, pitch)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._seed_noise()
        encoded = text.encode() + b"\0"
        size = ctypes.c_size_t(len(encoded))
        flags = CHARACTERS_UTF8 | (PHONEME_INPUT if text.startswith("[[") else 0)
        if self._library.espeak_Synth(encoded, size, 0, POSITION_CHARACTER, 0, flags, None, None) != 0:
            raise RuntimeError("eSpeak NG refused the text.")
        self._library.espeak_Synchronize()
        return bytes(sound)

    def phonemes(self, text: str, voice: str, signs: int = SEPARATED) -> str:
        """The phonemes of a text with a space between words: mnemonics with `_` between them, or the phonetic alphabet (`TIED`)."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"eSpeak NG has no voice {voice!r}.")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        rest = ctypes.c_char_p(text.encode())
        clauses = []
        while rest.value is not None:  # eSpeak NG moves on by one clause with every call
            clauses.append(self._library.espeak_TextToPhonemes(ctypes.byref(rest), CHARACTERS_UTF8, signs) or b"")
        return b" ".join(clauses).decode()

    def _seed_noise(self) -> None:
        if hasattr(self._library, "espeak_ng_SetRandSeed"):  # since 1.52, which otherwise seeds with the time of day
            self._library.espeak_ng_SetRandSeed(ctypes.c_long(NOISE_SEED))

    def _voices(self, wanted: object) -> Iterator[_Voice]:
        for pointer in self._library.espeak_ListVoices(wanted):
            if not pointer:
                return
            yield pointer.contents


def _speak_many(library: Library) -> None:
    """Answer each line with the sample rate and the number of bytes, on a line, and the samples."""
    for line in sys.stdin.buffer.read().decode().splitlines():
        voice, words_per_minute, pitch, text = line.split("\t")
        sound = library.speak(text, voice, int(words_per_minute), int(pitch))
        sys.stdout.buffer.write(f"{library.sample_rate} {len(sound)}\n".encode() + sound)
        sys.stdout.buffer.flush()  # a crash must not lose earlier texts


def main(arguments: list[str]) -> None:
    """List voices, or speak the text on standard input, or write its phonemes."""
    library = Library(*arguments[:2])
    if arguments[2:] == [MANY]:
        _speak_many(library)
        return
    if len(arguments) == 2:
        print(*library.languages())
        print(*[variant for variant in library.variants() if " " not in variant])
        return
    if len(arguments) == 3 or arguments[3:] == [IPA]:
        for line in sys.stdin.buffer.read().decode().splitlines():
            phonemes = library.phonemes(line, arguments[2], TIED if arguments[3:] else SEPARATED)
            sys.stdout.buffer.write(f"{phonemes}\n".encode())
        return
    voice, words_per_minute, pitch = arguments[2:]
    sound = library.speak(sys.stdin.buffer.read().decode(), voice, int(words_per_minute), int(pitch))
    sys.stdout.buffer.write(f"{library.sample_rate}\n".encode() + sound)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
