"""Hours of transcribed speech made by the program, to pretrain a recogniser with.

corpus/
  manifest.jsonl       as many lines as make up the hours asked for
  settings.json        what the texts and voices were drawn from
  00000/000.flac ...   shards of a hundred utterances; a shard is whole or not there
  00000/lines.jsonl    its lines of the manifest
  00000/skipped.txt    why utterances are missing from it
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import shutil
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speechtl.audio.synthesis.base import (
    KOKORO,
    LEVELS,
    OTHER_VOICES,
    PLAIN,
    SYNTHESISED,
    SpokenText,
    Synthesizer,
    UnlikelyTakeError,
    Voice,
    loudness_and_gain,
    rate_and_pitch,
)
from speechtl.audio.synthesis.sentences import sentences
from speechtl.audio.synthesis.speak import find_synthesizers, speak_all
from speechtl.audio.synthesis.texts import single_words, spoken_texts, usable_words
from speechtl.errors import AudioError, SpeechtlError
from speechtl.files import locked, parse_json, read_json, replace_folder, sha256_of, write_json, write_text
from speechtl.progress import Advance, Log
from speechtl.runtime.samples import SAMPLE_RATE, Samples

RATES = (0.8, 1.3)
PITCHES = (0.85, 1.2)
NATURAL_SHARE = 0.5  # of the utterances, where there are natural voices
RECIPE = 1  # raise it when the same settings give another corpus
NATURAL_RECIPE = 1  # the same for the utterances of natural voices

# Recorded speakers sound natural and get more than their share; concatenative voices less than statistical ones.
RECORDED = {"flite:slt": 5.0, "flite:rms": 6.5, "flite:awb": 6.5, "festival:slt": 5.0, "flite:kal16": 1.5, "festival:ked": 2.0}
RECORDED |= {"festival:kal": 1.5, "flite:kal": 1.5}
ACCENTS = {"en-us": 28.0, "en-us-nyc": 12.0, "en-gb": 10.0, "en-gb-x-rp": 6.0, "en-gb-scotland": 6.0, "en-029": 4.0}
ACCENTS |= {"en-gb-x-gbclan": 3.0, "en-gb-x-gbcwmd": 3.0}
TIMBRES = {PLAIN: 6.0, "whisper": 0.5, "whisperf": 0.5, "croak": 0.5}  # others 1


@dataclass(frozen=True)
class CorpusPlan:
    """Everything that decides what the shards of a corpus hold."""

    seed: int
    words: tuple[str, ...]
    without: tuple[str, ...]
    alone: bool  # single words only
    synthesizers: tuple[Synthesizer, ...]
    voices: tuple[Voice, ...]
    shares: tuple[float, ...]  # of the voices, adding up to 1

    def settings(self) -> dict[str, Any]:
        """The settings that must be the same for a corpus to be continued."""
        digest = hashlib.sha256("\n".join((*self.words, "", *self.without, "", *(voice.name for voice in self.voices))).encode())
        names = sorted(synthesizer.name for synthesizer in self.synthesizers)
        return {
            "recipe": RECIPE,
            "seed": self.seed,
            "alone": self.alone,
            "synthesizers": names,
            "voices": len(self.voices),
            "drawn_from": digest.hexdigest(),
            **({"natural_recipe": NATURAL_RECIPE} if KOKORO in names else {}),
        }

    def utterances(self, index: int, count: int) -> list[SpokenText]:
        """The utterances of a shard."""
        random = np.random.default_rng([self.seed, index])
        texts = single_words(random, self.words) if self.alone else spoken_texts(random, self.words, self.without)
        return [self._utterance(text, random) for text in itertools.islice(texts, count)]

    def _utterance(self, text: str, random: np.random.Generator) -> SpokenText:
        voice = self.voices[int(random.choice(len(self.voices), p=self.shares))]
        return SpokenText(text, voice, *rate_and_pitch(random, voice, RATES, PITCHES))

    def with_another_voice(self, utterance: SpokenText, *numbers: int) -> SpokenText:
        """The same text by another voice of the same synthesiser; `numbers` say which."""
        others = [voice for voice in self.voices if voice.synthesizer == utterance.voice.synthesizer and voice != utterance.voice]
        if not others:
            return utterance
        return replace(utterance, voice=others[int(np.random.default_rng([self.seed, *numbers]).integers(len(others)))])


def draw_plan(seed: int, words: Collection[str], without: Sequence[str], *, alone: bool = False) -> CorpusPlan:
    """The plan for these settings and the synthesisers on this machine; raises `SpeechtlError` when they cannot be met."""
    if seed < 0:
        raise SpeechtlError(f"seed must be 0 or more; got {seed}.")
    if isinstance(words, str) or isinstance(without, str):
        raise SpeechtlError("words and without must be lists of words or phrases; got a string.")
    random = np.random.default_rng(seed)
    for texts in (sentences(random, without), spoken_texts(random, words, without)):
        next(texts)  # fails before any work is done
    usable = tuple(usable_words(words, without))
    if alone and not usable:
        raise SpeechtlError("A corpus of single words needs words: give a vocabulary.")
    synthesizers = tuple(find_synthesizers())
    shares = used_voices(synthesizers)
    return CorpusPlan(seed, usable, tuple(without), alone, synthesizers, tuple(shares), tuple(shares.values()))


def used_voices(synthesizers: Sequence[Synthesizer] | None = None) -> dict[Voice, float]:
    """The voices of a corpus with their shares, which add up to 1; raises `MissingExtraError` without a synthesiser."""
    found = find_synthesizers() if synthesizers is None else synthesizers
    weights = {voice: _weight(voice) for synthesizer in found for voice in synthesizer.voices()}
    weights = _scaled(weights, "espeak", sum(ACCENTS.values()))
    others = sum(weight for voice, weight in weights.items() if not voice.is_natural)
    weights = _scaled(weights, KOKORO, others * NATURAL_SHARE / (1 - NATURAL_SHARE) or 1.0)
    total = sum(weights.values())
    return {voice: weight / total for voice, weight in weights.items()}


def _scaled(weights: Mapping[Voice, float], synthesizer: str, wanted: float) -> dict[Voice, float]:
    """The weights, with those of a synthesiser's voices adding up to `wanted`."""
    own = sum(weight for voice, weight in weights.items() if voice.synthesizer == synthesizer)
    return {voice: weight * (wanted / own if voice.synthesizer == synthesizer else 1.0) for voice, weight in weights.items()}


def _weight(voice: Voice) -> float:
    if voice.synthesizer == "espeak":
        return ACCENTS[voice.accent] * TIMBRES.get(voice.timbre, 1.0)
    return RECORDED.get(voice.name, 1.0)


SURROUNDINGS = (0.05, 0.4)  # seconds before and after the speech
SHARD = 100  # utterances
LETTER_SECONDS = (0.02, 0.35)  # of speech at the voice's own rate, to a letter: outside of these limits something went wrong
EXTRA_SECONDS = 1.2  # that a text may take besides its letters

Line = dict[str, Any]  # of a manifest


def make_corpus(
    folder: Path | str,
    hours: float,
    *,
    seed: int,
    words: Collection[str] = (),
    without: Sequence[str] = (),
    alone: bool = False,
    workers: int = 2,
    on_skip: Log | None = None,
    progress: Advance | None = None,
) -> Path:
    """Write about `hours` of single utterances as 16 kHz FLAC; return the path of `manifest.jsonl`.

    `words` is a vocabulary for the texts, `without` phrases that none contains; with `alone` the texts are the single words of
    the vocabulary. Every synthesiser on this machine is used (see `used_voices`). The same seed, settings and synthesisers give
    the same texts, voices and samples with any number of workers. A second call resumes an interrupted one, and one with more
    hours extends the corpus. A text that a natural voice says badly is given to others; one that fails is left out and reported
    to `on_skip`, again by every call. Raises `SpeechtlError` when the settings cannot be met, differ from those of the existing
    corpus, or when the folder cannot be written to.
    """
    if not hours > 0:
        raise SpeechtlError(f"hours must be above 0; got {hours:g}.")
    if workers < 1:
        raise SpeechtlError(f"workers must be 1 or more; got {workers}.")
    folder = Path(folder)
    plan = draw_plan(seed, words, without, alone=alone)
    try:
        with _alone(folder):
            _agree(folder, plan)
            lines = _collect(folder, plan, hours, workers, on_skip or (lambda _reason: None), progress or (lambda _done, _total: None))
            write_text(folder / "manifest.jsonl", "".join(map(_json, lines)))
    except OSError as error:
        raise SpeechtlError(
            f"The corpus cannot be written to {folder}: {error.strerror or error}. Free some space and repeat the "
            "command to continue, or give another folder."
        ) from error
    return folder / "manifest.jsonl"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock the folder until this process ends in any way."""
    with locked(folder / ".lock", f"Another process is making the corpus in {folder}", "give another folder"):
        yield


def _agree(folder: Path, plan: CorpusPlan) -> None:
    """Write the settings of a new corpus, or check that those of an existing one are the same."""
    path = folder / "settings.json"
    settings = plan.settings()
    if not path.exists():
        write_json(path, settings)
        return
    begun = read_json(path)
    if begun == settings:
        return
    if not isinstance(begun, dict):
        raise SpeechtlError(f"{path} is damaged: it does not contain settings; give a new folder.")
    different = {key: value for key, value in settings.items() if begun.get(key) != value}
    wanted = ", ".join(f"{key} {begun.get(key)!r}, now {value!r}" for key, value in different.items())
    raise SpeechtlError(f"{folder} was started with other settings ({wanted}); give another folder, or the same settings.")


def _collect(folder: Path, plan: CorpusPlan, hours: float, workers: int, on_skip: Log, progress: Advance) -> list[Line]:
    """Make shards until there are enough hours, and return their lines."""
    for leftover in folder.glob(".?????.part"):  # of a process that was killed
        shutil.rmtree(leftover)
    wanted = 3600 * hours
    lines: list[Line] = []
    seconds = 0.0
    for made, skipped in _shards(folder, plan, workers):
        for reason in skipped:
            on_skip(reason)
        if not made:
            raise AudioError(f"None of {SHARD} utterances could be spoken; the first: {skipped[0]}")
        for line in made:
            if seconds >= wanted:
                break
            lines.append(line)
            seconds += line["duration"]
        progress(min(round(seconds), round(wanted)), round(wanted))
        if seconds >= wanted:
            break
    return lines


def _shards(folder: Path, plan: CorpusPlan, workers: int) -> Iterator[tuple[list[Line], list[str]]]:
    """Yield lines and reasons of skips, shard by shard and without end, while the next ones are being made."""
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[tuple[list[Line], list[str]]]] = deque()
        try:
            for index in itertools.count():
                pending.append(pool.submit(_shard, folder, plan, index))
                if len(pending) > workers:
                    yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _shard(folder: Path, plan: CorpusPlan, index: int) -> tuple[list[Line], list[str]]:
    """The lines of a shard and the reasons of skipped ones; makes the shard if it does not exist."""
    name = f"{index:05d}"
    if not (folder / name).exists():
        beside = folder / f".{name}.part"
        beside.mkdir()
        try:
            _make_shard(beside, name, plan, index)
            replace_folder(beside, folder / name)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    lines = _read_lines(folder / name / "lines.jsonl")
    return lines, (folder / name / "skipped.txt").read_text(encoding="utf-8").splitlines()


def _read_lines(path: Path) -> list[Line]:
    try:
        lines = [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, RecursionError) as error:
        raise SpeechtlError(f"{path} is damaged ({error}); remove {path.parent} to have it made again.") from error
    if not all(isinstance(line, dict) and type(line.get("duration")) in (int, float) and line["duration"] > 0 for line in lines):
        raise SpeechtlError(f"{path} is damaged: a line has no duration; remove {path.parent} to have it made again.")
    return lines


def _make_shard(beside: Path, name: str, plan: CorpusPlan, index: int) -> None:
    utterances, spoken = _takes(plan, index)
    lines: list[Line] = []
    skipped: list[str] = []
    for number, utterance in enumerate(utterances):
        speech = spoken[number]
        reason = str(speech) if isinstance(speech, AudioError) else _absurd(utterance, speech)
        if isinstance(speech, AudioError) or reason:
            skipped.append(" ".join(f"{name}/{number:03d}: {reason}".split()))
            continue
        flac = _flac(_placed(speech, np.random.default_rng([plan.seed, index, number])))
        (beside / f"{number:03d}.flac").write_bytes(flac[0])
        lines.append(_line(f"{name}/{number:03d}.flac", utterance, *flac))
    (beside / "skipped.txt").write_text("".join(f"{reason}\n" for reason in skipped), encoding="utf-8")
    (beside / "lines.jsonl").write_text("".join(map(_json, lines)), encoding="utf-8")


def _takes(plan: CorpusPlan, index: int) -> tuple[list[SpokenText], Mapping[int, Samples | AudioError]]:
    """The utterances of a shard and the speech or error of each; a take that cannot be right is said again by another voice."""
    utterances = plan.utterances(index, SHARD)
    spoken = speak_all(utterances, plan.synthesizers)
    for turn in range(OTHER_VOICES):
        poor = [number for number, speech in spoken.items() if isinstance(speech, UnlikelyTakeError)]
        if not poor:
            break
        for number in poor:
            utterances[number] = plan.with_another_voice(utterances[number], index, number, turn)
        again = speak_all([utterances[number] for number in poor], plan.synthesizers)
        spoken |= {number: again[place] for place, number in enumerate(poor)}
    return utterances, spoken


def _absurd(utterance: SpokenText, speech: Samples) -> str | None:
    seconds = utterance.rate * len(speech) / SAMPLE_RATE
    shortest, longest = (limit * len(utterance.text) for limit in LETTER_SECONDS)
    if shortest <= seconds <= longest + EXTRA_SECONDS:
        return None
    return f"The voice {utterance.voice.name} took {seconds:.2f} s for {utterance.text!r}, which cannot be right."


def _placed(speech: Samples, random: np.random.Generator) -> Samples:
    """Speech at a random level with silence around it."""
    before, after = (round(seconds * SAMPLE_RATE) for seconds in random.uniform(*SURROUNDINGS, 2))
    _, gain = loudness_and_gain(speech, random.uniform(*LEVELS))
    samples: Samples = np.pad(speech * np.float32(gain), (before, after))
    return samples


def _flac(samples: Samples) -> tuple[bytes, float]:
    """A FLAC file and its length in seconds, made in memory because libsndfile does not report a full disk."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue(), len(samples) / SAMPLE_RATE


def _line(path: str, utterance: SpokenText, flac: bytes, duration: float) -> Line:
    return {
        "audio_filepath": path,
        "duration": duration,
        "text": utterance.text,
        "speaker": utterance.voice.name,
        "source": SYNTHESISED,
        "license": "CC0-1.0",
        "sha256": sha256_of(flac),
    }


def _json(line: Line) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"
