"""Takes of phrases by many synthesised people, each with a manner of speaking, prosody, and now and then words around the phrase.

FOLDER/takes/00012-1f3a....flac    one take; made once for the same settings
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speechtl.audio.pronunciation import is_pronunciation, lengthened, phonemes
from speechtl.audio.scripts import ENGLISH, language_of
from speechtl.audio.spelling.people import Manner, accented, changed, draw_manner
from speechtl.audio.synthesis.base import LEVELS, OTHER_VOICES, SYNTHESISED, Range, SpokenText, UnlikelyTakeError, Voice, loudness_and_gain
from speechtl.audio.synthesis.espeak import EspeakLibrary, find_espeak
from speechtl.audio.synthesis.positives import coloured_noise, split_voices
from speechtl.audio.synthesis.speak import find_synthesizers, speak_all, voices
from speechtl.errors import AudioError
from speechtl.files import sha256_of, writing
from speechtl.progress import tracked
from speechtl.runtime.samples import SAMPLE_RATE, Samples

NATURAL_SHARE = 0.75  # of the takes, where there are natural voices
SURROUNDINGS = (0.3, 0.8)  # seconds of quiet before and after
NOISES = (-45.0, -25.0)  # dB of the speech
GAPS = (0.0, 0.5)  # seconds between the phrase and the words around it
PITCH_LIMITS, RATE_LIMITS = (0.7, 1.6), (0.5, 2.0)  # of the synthesisers
AT_ONCE = 12  # takes that one call of the synthesisers makes
RECIPE = 1  # raise it when the same settings give other samples

MARKS = (("", 0.5), ("!", 0.15), ("?", 0.2), (",", 0.15))  # after the phrase: they change its melody
PAUSED = 0.15  # probability of a pause between the words of a phrase
DRAWN_OUT = 0.12  # of a lengthened vowel
FOREIGN = 0.7  # of an accent, of a natural voice of another language
HESITATING, GOING_ON = 0.12, 0.15  # of words before and after the phrase
BEFORE = ("um", "uh", "so", "okay", "well", "oh", "and", "er", "hmm", "right")
AFTER = (
    *("what time is it", "turn on the light", "play some music", "stop", "how are you", "set a timer", "what's the weather"),
    *("can you hear me", "open the door", "good morning", "next song", "tell me more"),
)

Line = dict[str, Any]  # of a manifest


@dataclass(frozen=True)
class Take:
    """Everything that decides the samples of one take; `before` and `after` are words around the phrase, or empty.

    `others` are voices that speak where a take of `voice` cannot be right.
    """

    phrase: str
    said: str  # the phrase with marks, or a pronunciation
    voice: Voice
    manner: Manner
    before: str
    after: str
    seed: tuple[int, ...]
    split: str
    others: tuple[Voice, ...] = ()

    @property
    def digest(self) -> str:
        """A short hash of the samples that will be made."""
        decides = {key: value for key, value in asdict(self).items() if key not in ("phrase", "split", "others")}
        return hashlib.sha256(json.dumps([RECIPE, decides], sort_keys=True).encode()).hexdigest()[:12]

    def utterances(self) -> list[SpokenText]:
        """What the voice says: the words before, the phrase, the words after."""
        rate, pitch = (
            float(np.clip(value, *limits)) for value, limits in ((self.manner.rate, RATE_LIMITS), (self.manner.pitch, PITCH_LIMITS))
        )
        texts = [text for text in (self.before, self.said, self.after) if text]
        return [SpokenText(text, self.voice, rate, pitch) for text in texts]


@dataclass(frozen=True)
class Set:
    """A set of takes to make: phrases by turns, `count` in all, of which the last `test` are by voices that speak in no other."""

    phrases: Sequence[str]
    count: int
    label: str | None = None
    seed: int = 0
    test: int = 0
    alone: bool = False  # without words around the phrase


def make_takes(folder: Path, wanted: Set, title: str) -> list[Line]:
    """Speak the takes of a set that are not in `folder` yet; return the lines of a manifest in it.

    A take that a voice cannot have said well is given to another voice; one that fails is left out. Raises `AudioError` when all fail.
    """
    plan = list(plan_takes(wanted))
    chunks = [plan[first : first + AT_ONCE] for first in range(0, len(plan), AT_ONCE)]
    lines: list[Line] = []
    failures: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda chunk: _made(folder, chunk, wanted.label), chunks)
        for some, failed in tracked(title, made, len(chunks)):
            lines += some
            failures += failed
    if not lines:
        raise AudioError(f"No voice could say {', '.join(map(repr, wanted.phrases))}: {failures[0]}")
    return lines


def plan_takes(wanted: Set) -> Iterator[Take]:
    """The takes of a set, those for training first; every person speaks before anyone speaks again."""
    known = {language: voices(language) for language in {language_of(phrase)[0] for phrase in wanted.phrases}}
    found = {phrase: speakers(phrase, known[language_of(phrase)[0]]) for phrase in wanted.phrases}
    told_apart = split_voices(found, wanted.seed, max(wanted.test / wanted.count, 0.15)) if wanted.test else {}
    ipa = _Transcribed(wanted.phrases)
    turns: dict[tuple[str, bool], int] = {}
    for index in range(wanted.count):
        split = "test" if index >= wanted.count - wanted.test else "train"
        random = np.random.default_rng([wanted.seed, 8, index])
        phrase = wanted.phrases[index % len(wanted.phrases)]
        own = told_apart[phrase][split] if told_apart else found[phrase]
        kinds = [kind for kind in (True, False) if any(voice.is_natural is kind for voice in own)]
        natural = kinds[0] if len(kinds) == 1 else bool(random.random() < NATURAL_SHARE)
        pool = [voice for voice in own if voice.is_natural is natural]
        turn = turns.get((split, natural), wanted.seed)
        turns[split, natural] = turn + 1
        take = _drawn(phrase, pool[turn % len(pool)], ipa, (wanted.seed, 9, index), split, alone=wanted.alone)
        following = (pool[(turn + step) % len(pool)] for step in range(1, len(pool)))
        others = islice((voice for voice in following if voice.synthesizer == take.voice.synthesizer), OTHER_VOICES)
        yield replace(take, others=tuple(others))


def speakers(phrase: str, known: Sequence[Voice] | None = None) -> list[Voice]:
    """The voices that say a phrase, or a pronunciation, of those `known`; raises `AudioError` where there are none."""
    of_language = voices(language_of(phrase)[0]) if known is None else known
    pronounced = is_pronunciation(phrase)
    found = [voice for voice in of_language if not pronounced or voice.is_natural or voice.synthesizer == "espeak"]
    if pronounced and not found:
        raise AudioError(f"Only eSpeak NG and Kokoro say pronunciations such as {phrase}: pip install 'speechtl[synthesis]'")
    return found


def _drawn(phrase: str, voice: Voice, ipa: _Transcribed, seed: tuple[int, ...], split: str, *, alone: bool) -> Take:
    random = np.random.default_rng(seed)
    english = language_of(phrase)[0] == ENGLISH
    said = _said(phrase, voice, ipa, random)
    before = _one_of(BEFORE, random) if english and not alone and random.random() < HESITATING else ""
    after = _one_of(AFTER, random) if english and not alone and random.random() < GOING_ON else ""
    return Take(phrase, said, voice, draw_manner(random), before, after, seed, split)


def _said(phrase: str, voice: Voice, ipa: _Transcribed, random: np.random.Generator) -> str:
    """The phrase as this voice says it: with an accent, a drawn-out vowel, or a melody."""
    language = voice.timbre[0] if voice.is_natural else ""
    foreign = bool(language) and language not in "ab" and random.random() < FOREIGN
    drawn_out = voice.is_natural and random.random() < DRAWN_OUT
    pronunciation = ipa(phrase, voice.accent) if foreign or drawn_out else None
    if pronunciation:
        said = accented(pronunciation, language, random) if foreign else pronunciation
        return lengthened(said) if drawn_out else said
    if is_pronunciation(phrase):
        return phrase
    words = phrase.split()
    joint = ", " if len(words) > 1 and random.random() < PAUSED else " "
    mark = str(random.choice([mark for mark, _ in MARKS], p=[share for _, share in MARKS]))
    return joint.join(words) + (mark if phrase[-1].isalnum() else "")


class _Transcribed:
    """Phrases in the phonetic alphabet, or None where eSpeak NG cannot tell, or tells of sounds that English voices lack."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self._phrases = [phrase for phrase in phrases if not is_pronunciation(phrase) and language_of(phrase)[0] == ENGLISH]
        self._known: dict[str, dict[str, str]] = {}

    def __call__(self, phrase: str, accent: str) -> str | None:
        if is_pronunciation(phrase):
            return phrase
        if phrase not in self._phrases:
            return None
        if accent not in self._known:
            espeak = find_espeak()
            texts = espeak.transcribe(self._phrases, accent) if isinstance(espeak, EspeakLibrary) else []
            self._known[accent] = {name: f"/{text}/" for name, text in zip(self._phrases, texts, strict=False)}
        found = self._known[accent].get(phrase)
        try:
            return found if found and phonemes(found) else None
        except AudioError:
            return None


def _made(folder: Path, chunk: Sequence[Take], label: str | None) -> tuple[list[Line], list[str]]:
    """The lines of some takes, spoken unless they are there, and the reasons of those that failed."""
    lines: dict[int, Line] = {}
    failures: list[str] = []
    left = dict(enumerate(chunk))
    for turn in range(OTHER_VOICES + 1):
        for number, take in list(left.items()):
            if _path(folder, take).exists():
                lines[number] = _line(folder, left.pop(number), label)
        spoken = _spoken(list(left.values()))
        for (number, take), speech in zip(list(left.items()), spoken, strict=True):
            if isinstance(speech, UnlikelyTakeError) and turn < len(take.others):
                left[number] = replace(take, voice=take.others[turn])
                continue
            left.pop(number)
            if isinstance(speech, AudioError):
                failures.append(str(speech))
            else:
                _write(_path(folder, take), _composed(take, speech))
                lines[number] = _line(folder, take, label)
    return [lines[number] for number in sorted(lines)], failures


def _spoken(takes: Sequence[Take]) -> list[list[Samples] | AudioError]:
    """The parts of every take, or the error of one of them."""
    utterances = [take.utterances() for take in takes]
    every = [utterance for parts in utterances for utterance in parts]
    speech = speak_all(every, find_synthesizers()) if every else {}
    answers: list[list[Samples] | AudioError] = []
    first = 0
    for parts in utterances:
        own = [speech[number] for number in range(first, first + len(parts))]
        first += len(parts)
        failed = next((part for part in own if isinstance(part, AudioError)), None)
        answers.append(failed or [part for part in own if not isinstance(part, AudioError)])
    return answers


def _composed(take: Take, parts: Sequence[Samples]) -> tuple[Samples, Range]:
    """The samples of a take, and the start and end of the phrase in seconds."""
    random = np.random.default_rng((*take.seed, 1))
    where = 1 if take.before else 0
    pieces, limits = [_quiet(random, SURROUNDINGS)], (0, 0)
    for index, part in enumerate(parts):
        if index:
            pieces.append(_quiet(random, GAPS))
        start = sum(map(len, pieces))
        limits = (start, start + len(part)) if index == where else limits
        pieces.append(changed(part, take.manner, random))
    pieces.append(_quiet(random, SURROUNDINGS))
    speech = np.concatenate(pieces)
    loudness, gain = loudness_and_gain(speech[slice(*limits)], float(random.uniform(*LEVELS)))
    gain = min(gain, 0.95 / float(np.abs(speech).max()))
    noise = coloured_noise(len(speech), random) * np.float32(gain * loudness * 10 ** (random.uniform(*NOISES) / 20))
    return np.clip(speech * np.float32(gain) + noise, -1, 1), (limits[0] / SAMPLE_RATE, limits[1] / SAMPLE_RATE)


def _quiet(random: np.random.Generator, seconds: Range) -> Samples:
    return np.zeros(round(random.uniform(*seconds) * SAMPLE_RATE), np.float32)


def _path(folder: Path, take: Take) -> Path:
    return folder / "takes" / f"{take.seed[-1]:05d}-{take.digest}.flac"


def _write(path: Path, made: tuple[Samples, Range]) -> None:
    """Write a take, with the limits of its phrase in the file's comment: a line can be made again from the file alone."""
    samples, limits = made
    with writing(path) as beside, soundfile.SoundFile(beside, "w", SAMPLE_RATE, 1, "PCM_16", format="FLAC") as file:
        file.comment = json.dumps(limits)
        file.write(samples)


def _line(folder: Path, take: Take, label: str | None) -> Line:
    path = _path(folder, take)
    with soundfile.SoundFile(path) as file:
        start, end = json.loads(file.comment)
        duration = file.frames / SAMPLE_RATE
    return {
        "audio_filepath": f"takes/{path.name}",
        "duration": duration,
        "text": take.phrase,
        **({"label": label} if label else {"word_start": round(start, 4), "word_end": round(min(end, duration), 4)}),
        "speaker": take.voice.person,
        "split": take.split,
        "source": SYNTHESISED,
        "license": "CC0-1.0",
        "sha256": sha256_of(path),
        "voice": take.voice.name,
        "person": take.manner.person,
    }


def _one_of(choices: Sequence[str], random: np.random.Generator) -> str:
    return choices[int(random.integers(len(choices)))]
