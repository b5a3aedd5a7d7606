"""Speech made by the program: single words and sentences, and small sets of recordings to try things out with."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speechtl.audio.scripts import ENGLISH, language_of
from speechtl.audio.synthesis.base import (
    LEVELS,
    OTHER_VOICES,
    SYNTHESISED,
    UnlikelyTakeError,
    Voice,
    loudness_and_gain,
    rate_and_pitch,
)
from speechtl.audio.synthesis.sentences import contains_phrase, plain, sentences
from speechtl.audio.synthesis.speak import speak, voices, voices_for
from speechtl.audio.synthetic_noise import coloured
from speechtl.errors import ManifestError, SpeechtlError
from speechtl.files import sha256_of, write_text, writing
from speechtl.progress import progress as stage
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.sound.files import describe, read_audio

__all__ = ["MixedRecording", "SpokenWord", "SyntheticSet", "Voice", "make_set", "mixed_recording", "speak", "voices", "voices_for"]

RATES = (0.8, 1.25)
PITCHES = (0.85, 1.2)
SURROUNDINGS = (0.4, 1.0)  # seconds of noise before and after
NOISES = (-40.0, -22.0)  # dB of the speech
RECIPE = 2  # raise it when the same settings give other samples, so that older files are made again

NUMBERS = (3, 6)  # that a sentence in another language than English consists of
MOST_DIGITS = 4

Line = dict[str, Any]  # of a manifest
Splits = dict[str, list[Voice]]  # the voices of each
Progress = Callable[[float, str], None]  # a fraction from 0 to 1, and what is being made


@dataclass(frozen=True)
class SyntheticSet:
    """The manifests that `make_set` wrote."""

    positives: Path
    negatives: Path


@dataclass(frozen=True)
class SpokenWord:
    """Start and end of a wake phrase in a recording, in seconds."""

    start: float
    end: float
    text: str
    speaker: str


@dataclass(frozen=True)
class MixedRecording:
    """The recording that `mixed_recording` wrote; `duration` in seconds."""

    path: Path
    duration: float
    words: tuple[SpokenWord, ...]


@dataclass(frozen=True)
class _Clip:
    """Everything that decides the samples of one recording; `lead` and `tail` in samples, levels in dB.

    `others` are voices that speak where a take of `voice` cannot be right.
    """

    text: str
    voice: Voice
    rate: float
    pitch: float
    lead: int
    tail: int
    level: float
    noise: float
    seed: tuple[int, ...]
    others: tuple[Voice, ...] = ()

    @property
    def digest(self) -> str:
        decides = {key: value for key, value in asdict(self).items() if key != "others"}
        return hashlib.sha256(json.dumps([RECIPE, decides], sort_keys=True).encode()).hexdigest()[:12]


def make_set(
    folder: Path | str,
    phrases: Sequence[str],
    *,
    seed: int = 0,
    clips: int = 150,
    negatives_minutes: float = 8.0,
    confusables: Sequence[str] = (),
    test_share: float = 0.25,
    speakers: Sequence[Voice] | None = None,
    progress: Progress | None = None,
) -> SyntheticSet:
    """Write spoken phrases and other sentences as FLAC, with `positives.jsonl` and `negatives.jsonl`.

    The same seed, settings and synthesisers give the same files. `confusables` are words that sound like a phrase, to be used in the
    negatives. `test_share` of the voices speak only in lines of split `test`. A second call resumes an interrupted one.
    Without `speakers`, a phrase is spoken by voices that read its script, and numbers in its language are half of the negatives;
    English is spoken by natural voices half of the time where there are any. A take that cannot be right is given to another voice.
    Raises `SpeechtlError` when the settings cannot be met, and `AudioError` when a voice fails.
    """
    folder = Path(folder)
    _check_settings(phrases, clips, negatives_minutes, test_share)
    splits = split_voices(voices_by_language(phrases) if speakers is None else {ENGLISH: speakers}, seed, test_share)
    report = progress or (lambda _fraction, _what: None)
    share = clips / (clips + 30 * negatives_minutes)  # of the work: a minute of sentences costs about as much as thirty phrases
    plan = list(_plan_positives(phrases, splits, seed, clips, test_share))
    positives = []
    for index, (split, clip) in enumerate(plan):
        positives.append(_line(folder, f"positives/{index:05d}", clip, split, clip.text, with_limits=True))
        report(share * len(positives) / clips, "positives")
    texts = _negative_texts(seed, phrases, confusables, list(splits))
    negatives = []
    for line, done in _make_negatives(folder, texts, splits, seed, 60 * negatives_minutes, test_share):
        negatives.append(line)
        report(share + (1 - share) * done, "negatives")
    return SyntheticSet(_write_manifest(folder / "positives.jsonl", positives), _write_manifest(folder / "negatives.jsonl", negatives))


def make_negatives(folder: Path, phrases: Sequence[str], minutes: float, *, seed: int = 0, test_share: float = 0.25) -> Path:
    """Write sentences without the phrases as FLAC, and their manifest `negatives.jsonl`, as `make_set` does."""
    splits = split_voices(voices_by_language(phrases), seed, test_share)
    lines = []
    with stage("speaking other sentences, percent") as advance:
        for line, done in _make_negatives(folder, _negative_texts(seed, phrases, (), list(splits)), splits, seed, 60 * minutes, test_share):
            lines.append(line)
            advance(round(100 * done), 100)
    return _write_manifest(folder / "negatives.jsonl", lines)


def mixed_recording(folder: Path | str, *, seed: int = 0, seconds: float = 40.0, name: str = "mixed.wav") -> MixedRecording:
    """Write one WAV file with the test phrases of a set between its test sentences, over quiet noise.

    `folder` is one that `make_set` wrote. Raises `ManifestError` when the set has no test recordings.
    """
    folder = Path(folder)
    random = np.random.default_rng([seed, 4])
    kinds = {kind: _shuffled_test_lines(folder / f"{kind}.jsonl", random) for kind in ("negatives", "positives")}
    length = round(seconds * SAMPLE_RATE)
    recording = coloured_noise(length, random) * np.float32(10 ** (-60 / 20))
    words = []
    at = SAMPLE_RATE
    for sentence, phrase in zip(kinds["negatives"], kinds["positives"], strict=False):
        for line in (sentence, phrase):
            samples = _fade(read_audio(folder / line["audio_filepath"]))
            if at + len(samples) > length:
                break
            recording[at : at + len(samples)] += samples
            if line is phrase:
                limits = [round(at / SAMPLE_RATE + line[key], 4) for key in ("word_start", "word_end")]
                words.append(SpokenWord(limits[0], limits[1], line["text"], line["speaker"]))
            at += len(samples) + int(random.integers(SAMPLE_RATE // 4, SAMPLE_RATE // 2))
    if not words:
        raise SpeechtlError(f"{seconds:g} s is too short for a sentence and a phrase; give 20 s or more.")
    path = folder / name
    with writing(path) as beside:
        soundfile.write(beside, np.clip(recording, -1, 1), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return MixedRecording(path, length / SAMPLE_RATE, tuple(words))


def _check_settings(phrases: Sequence[str], clips: int, negatives_minutes: float, test_share: float) -> None:
    if isinstance(phrases, str) or not phrases or not all(plain(phrase) for phrase in phrases):
        raise SpeechtlError(f"phrases must be a list of one or more phrases with words in them; got {phrases!r}.")
    if clips < 2:
        raise SpeechtlError(f"clips must be 2 or more, one for training and one for testing; got {clips}.")
    if not negatives_minutes > 0:
        raise SpeechtlError(f"negatives_minutes must be above 0; got {negatives_minutes:g}.")
    if not 0 < test_share < 1:
        raise SpeechtlError(f"test_share must be between 0 and 1; got {test_share:g}.")


def voices_by_language(phrases: Sequence[str]) -> Mapping[str, Sequence[Voice]]:
    spoken = {ENGLISH: voices(), **{language_of(phrase)[0]: voices_for(phrase) for phrase in phrases}}
    if len(spoken) == 1:
        return spoken
    # Natural voices speak English only: a detector would learn that what sounds natural is not the phrase.
    return {language: [voice for voice in found if not voice.is_natural] for language, found in spoken.items()}


def split_voices(speakers: Mapping[str, Sequence[Voice]], seed: int, test_share: float) -> dict[str, Splits]:
    """Divide the voices of each language so that no timbre, in whatever accent or language, is in both splits."""
    speaking = [{voice.person for voice in spoken} for spoken in speakers.values()]
    everywhere = set.intersection(*speaking)  # so that both splits have voices of every language
    people = list(dict.fromkeys(voice.person for spoken in speakers.values() for voice in spoken if voice.person in everywhere))
    if len(people) < 2:
        raise SpeechtlError(f"A set needs voices of 2 or more timbres, some for training and others for testing; got {len(people)}.")
    tests = min(max(round(test_share * len(people)), 1), len(people) - 1)
    tested = {people[index] for index in np.random.default_rng([seed, 0]).permutation(len(people))[:tests]}
    splits = {
        language: {
            "train": _alternating([voice for voice in spoken if tested.isdisjoint(voice.people)]),
            "test": _alternating([voice for voice in spoken if tested.issuperset(voice.people)]),
        }
        for language, spoken in speakers.items()
    }
    if not all(several for split in splits.values() for several in split.values()):
        raise SpeechtlError("Each of these voices is a blend with one of the other split; give voices that are not blends, too.")
    return splits


def _alternating(found: Sequence[Voice]) -> list[Voice]:
    """The voices, natural ones and others by turns as long as there are both."""
    natural, others = ([voice for voice in found if voice.is_natural == is_natural] for is_natural in (True, False))
    both = min(len(natural), len(others))
    return [*chain.from_iterable(zip(natural, others, strict=False)), *natural[both:], *others[both:]]


def _plan_positives(
    phrases: Sequence[str], splits: dict[str, Splits], seed: int, clips: int, test_share: float
) -> Iterator[tuple[str, _Clip]]:
    tests = min(max(round(test_share * clips), 1), clips - 1)
    by_phrase = [splits[ENGLISH] if len(splits) == 1 else splits[language_of(phrase)[0]] for phrase in phrases]
    for split, first, last in (("train", 0, clips - tests), ("test", clips - tests, clips)):
        for index in range(first, last):
            number = index % len(phrases)
            yield split, _draw_clip(phrases[number], by_phrase[number][split], (index - first) // len(phrases), (seed, 1, index))


def _negative_texts(seed: int, phrases: Sequence[str], confusables: Sequence[str], languages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield languages and texts without end: English sentences, and in between numbers in each other language."""
    english = sentences(np.random.default_rng([seed, 2]), phrases, confusables)
    random = np.random.default_rng([seed, 5])
    for turn in count():
        language = languages[turn % len(languages)]
        yield language, next(english) if language == ENGLISH else _numbers(random, phrases)


def _numbers(random: np.random.Generator, phrases: Sequence[str]) -> str:
    """Digits, which every voice reads as words of its language, without a number that is a phrase."""
    while True:
        numbers = [str(random.integers(10 ** random.integers(1, MOST_DIGITS + 1))) for _ in range(random.integers(*NUMBERS))]
        if not contains_phrase(text := ", ".join(numbers), phrases):
            return text


def _make_negatives(
    folder: Path, texts: Iterator[tuple[str, str]], splits: dict[str, Splits], seed: int, seconds: float, test_share: float
) -> Iterator[tuple[Line, float]]:
    """Yield lines of the manifest, and the fraction done, until there are enough seconds."""
    made = {"train": 0.0, "test": 0.0}
    turns: Counter[tuple[str, str]] = Counter()
    for index, (language, text) in enumerate(texts):
        split = "test" if made["test"] <= test_share * sum(made.values()) else "train"
        clip = _draw_clip(text, splits[language][split], turns[language, split], (seed, 3, index))
        line = _line(folder, f"negatives/{index:05d}", clip, split, "negative", with_limits=False)
        turns[language, split] += 1
        made[split] += line["duration"]
        done = sum(made.values()) / seconds
        yield line, min(done, 1.0)
        if done >= 1:
            return


def _draw_clip(text: str, speakers: Sequence[Voice], turn: int, seed: tuple[int, ...]) -> _Clip:
    random = np.random.default_rng(seed)
    lead, tail = (round(seconds * SAMPLE_RATE) for seconds in random.uniform(*SURROUNDINGS, 2))
    voice = speakers[turn % len(speakers)]
    rate, pitch = rate_and_pitch(random, voice, RATES, PITCHES)
    level, noise = (float(random.uniform(*limits)) for limits in (LEVELS, NOISES))
    return _Clip(text, voice, rate, pitch, lead, tail, level, noise, seed, _others(speakers, turn))


def _others(speakers: Sequence[Voice], turn: int) -> tuple[Voice, ...]:
    """The voices of the same synthesiser that come next, for a natural voice, whose takes are not all good."""
    voice = speakers[turn % len(speakers)]
    if not voice.is_natural:
        return ()
    following = (speakers[(turn + step) % len(speakers)] for step in range(1, len(speakers)))
    return tuple(islice((other for other in following if other.synthesizer == voice.synthesizer), OTHER_VOICES))


def _line(folder: Path, name: str, clip: _Clip, split: str, label: str, *, with_limits: bool) -> Line:
    """Make the recording unless it is there, and return its line of the manifest."""
    relative, clip = _recorded(folder, name, clip)
    path = folder / relative
    duration = describe(path)[2]
    limits = {"word_start": clip.lead / SAMPLE_RATE, "word_end": round(duration - clip.tail / SAMPLE_RATE, 7)}
    return {
        "audio_filepath": relative,
        "duration": duration,
        "text": clip.text,
        "label": label,
        "speaker": clip.voice.person,
        **(limits if with_limits else {}),
        "split": split,
        "source": SYNTHESISED,
        "license": "CC0-1.0",
        "sha256": sha256_of(path),
    }


def _recorded(folder: Path, name: str, clip: _Clip) -> tuple[str, _Clip]:
    """The path of the recording, made unless it is there, and the clip with the voice that speaks in it."""
    for voice in (clip.voice, *clip.others):
        taken = replace(clip, voice=voice)
        relative = f"{name}-{taken.digest}.flac"
        if (folder / relative).exists():
            return relative, taken
        try:
            with writing(folder / relative) as beside:
                soundfile.write(beside, _samples(taken), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        except UnlikelyTakeError as error:
            failure = error
            continue
        return relative, taken
    raise failure


def _samples(clip: _Clip) -> Samples:
    speech = speak(clip.text, clip.voice, rate=clip.rate, pitch=clip.pitch)
    loudness, gain = loudness_and_gain(speech, clip.level)
    random = np.random.default_rng((*clip.seed, 1))
    samples = coloured_noise(clip.lead + len(speech) + clip.tail, random) * np.float32(gain * loudness * 10 ** (clip.noise / 20))
    samples[clip.lead : clip.lead + len(speech)] += speech * np.float32(gain)
    samples.clip(-1, 1, out=samples)
    return samples


def coloured_noise(length: int, random: np.random.Generator) -> Samples:
    """Noise of root mean square 1 of a random colour between white and brown."""
    return coloured(random.standard_normal(length), random.uniform(0.0, 2.0), lowest=50.0).astype(np.float32)


def _fade(samples: Samples, seconds: float = 0.05) -> Samples:
    ramp = np.linspace(0, 1, round(seconds * SAMPLE_RATE), dtype=np.float32)
    faded = samples.copy()
    faded[: len(ramp)] *= ramp
    faded[-len(ramp) :] *= ramp[::-1]
    return faded


def _write_manifest(path: Path, lines: Sequence[Line]) -> Path:
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def _shuffled_test_lines(path: Path, random: np.random.Generator) -> list[Line]:
    if not path.exists():
        raise ManifestError(f"{path} does not exist; make a set first.")
    lines = [line for text in path.read_text(encoding="utf-8").splitlines() if (line := json.loads(text))["split"] == "test"]
    if not lines:
        raise ManifestError(f"{path} has no line of split 'test'.")
    return [lines[index] for index in random.permutation(len(lines))]
