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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speechtl.audio.synthesis.base import LEVELS, SYNTHESISED, Synthesizer, Utterance, loudness_and_gain
from speechtl.audio.synthesis.corpus_plan import CorpusPlan, draw_plan
from speechtl.audio.synthesis.speak import speak_many
from speechtl.errors import AudioError, SpeechtlError
from speechtl.files import locked, parse_json, read_json, replace_folder, write_json, write_text
from speechtl.runtime.samples import SAMPLE_RATE, Samples

SURROUNDINGS = (0.05, 0.4)  # seconds before and after the speech
SHARD = 100  # utterances
LETTER_SECONDS = (0.02, 0.35)  # of speech at the voice's own rate, to a letter: outside of it something went wrong
EXTRA_SECONDS = 1.2  # that a text may take besides its letters

Line = dict[str, Any]  # of a manifest
OnSkip = Callable[[str], None]
Progress = Callable[[int, int], None]  # seconds of speech that there are, and that are wanted


def make_corpus(
    folder: Path | str,
    hours: float,
    *,
    seed: int,
    words: Collection[str] = (),
    without: Sequence[str] = (),
    alone: bool = False,
    workers: int = 2,
    on_skip: OnSkip | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write about so many hours of single utterances as 16 kHz FLAC; return the path of `manifest.jsonl`.

    `words` is a vocabulary for the texts, `without` phrases that none contains; `alone` says the words of the vocabulary one
    by one, and nothing else. Every synthesiser on this machine is used
    (`corpus_plan.used_voices` tells which). The same seed, settings and synthesisers give the same texts, voices and samples, whatever the
    number of workers. A second call goes on where an interrupted one stopped, and one with more hours extends the corpus.
    An utterance that fails is left out and reported to `on_skip`, again by every call. Raises `SpeechtlError` when the settings
    cannot be met, differ from those that the folder was begun with, or when the folder cannot be written to.
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
            f"The corpus cannot be written to {folder}: {error.strerror or error}. Make room or give another folder; "
            "the same command then goes on from here."
        ) from error
    return folder / "manifest.jsonl"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder, until this one ends in whatever way."""
    with locked(folder / ".lock", f"Another process is making the corpus in {folder}", "give another folder"):
        yield


def _agree(folder: Path, plan: CorpusPlan) -> None:
    """Write down the settings of a new corpus, or see that those of one that was begun are the same."""
    path = folder / "settings.json"
    settings = plan.settings()
    if not path.exists():
        write_json(path, settings)
        return
    begun = read_json(path)
    if begun == settings:
        return
    if not isinstance(begun, dict):
        raise SpeechtlError(f"{path} is damaged: it does not hold settings; give a new folder.")
    different = {key: value for key, value in settings.items() if begun.get(key) != value}
    wanted = ", ".join(f"{key} {begun.get(key)!r}, now {value!r}" for key, value in different.items())
    raise SpeechtlError(f"{folder} was begun with other settings ({wanted}); give another folder, or the same settings.")


def _collect(folder: Path, plan: CorpusPlan, hours: float, workers: int, on_skip: OnSkip, progress: Progress) -> list[Line]:
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
            raise AudioError(f"Not one of {SHARD} utterances could be spoken; the first: {skipped[0]}")
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
    """Yield lines and reasons of skips, shard by shard and without end, while others are in the making."""
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
    """Return the lines of a shard and why others are missing; make it unless it is there."""
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
    utterances = plan.utterances(index, SHARD)
    spoken = _spoken(utterances, plan.synthesizers)
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


def _spoken(utterances: Sequence[Utterance], synthesizers: Sequence[Synthesizer]) -> Mapping[int, Samples | AudioError]:
    """Return what was spoken, by the utterance's place; each synthesiser says all of its own at once."""
    spoken: dict[int, Samples | AudioError] = {}
    for synthesizer in synthesizers:
        own = [number for number, utterance in enumerate(utterances) if utterance.voice.synthesizer == synthesizer.name]
        spoken |= zip(own, speak_many(synthesizer, [utterances[number] for number in own]), strict=True)
    return spoken


def _absurd(utterance: Utterance, speech: Samples) -> str | None:
    seconds = utterance.rate * len(speech) / SAMPLE_RATE
    shortest, longest = (limit * len(utterance.text) for limit in LETTER_SECONDS)
    if shortest <= seconds <= longest + EXTRA_SECONDS:
        return None
    return f"The voice {utterance.voice.name} took {seconds:.2f} s for {utterance.text!r}, which cannot be right."


def _placed(speech: Samples, random: np.random.Generator) -> Samples:
    """Return speech at a random level with silence around it."""
    before, after = (round(seconds * SAMPLE_RATE) for seconds in random.uniform(*SURROUNDINGS, 2))
    _, gain = loudness_and_gain(speech, random.uniform(*LEVELS))
    samples: Samples = np.pad(speech * np.float32(gain), (before, after))
    return samples


def _flac(samples: Samples) -> tuple[bytes, float]:
    """Return a FLAC file and its length in seconds; in memory, for libsndfile does not tell of a full disk."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue(), len(samples) / SAMPLE_RATE


def _line(path: str, utterance: Utterance, flac: bytes, duration: float) -> Line:
    return {
        "audio_filepath": path,
        "duration": duration,
        "text": utterance.text,
        "speaker": utterance.voice.name,
        "source": SYNTHESISED,
        "license": "CC0-1.0",
        "sha256": hashlib.sha256(flac).hexdigest(),
    }


def _json(line: Line) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"
