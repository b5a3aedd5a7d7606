"""The recordings that a recipe leaves to the program: takes of its phrases, confusable words, and default negatives.

CACHE/spelling/NAME-1f3a...-positives.jsonl      takes of the phrases
CACHE/spelling/NAME-1f3a...-confusables.jsonl    takes of words and phrases that sound like them
CACHE/spelling/takes/                            the takes of all words
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from speechtl.audio.encoders import load_encoder
from speechtl.audio.encoders.torchaudio_pipelines import is_pipeline
from speechtl.audio.phrases import words
from speechtl.audio.pretraining.phones import transcribe
from speechtl.audio.pronunciation import VOWELS, is_pronunciation, phonemes
from speechtl.audio.recipe import Recipe
from speechtl.audio.scripts import ENGLISH, language_of
from speechtl.audio.spelling.check import odd_takes
from speechtl.audio.spelling.confusables import nearest
from speechtl.audio.spelling.negatives import default_recordings
from speechtl.audio.spelling.takes import RECIPE, Line, Set, make_takes, speakers
from speechtl.audio.synthesis import kokoro_files
from speechtl.audio.synthesis.positives import make_negatives
from speechtl.audio.synthesis.sentences import plain
from speechtl.audio.synthesis.speak import voices_for
from speechtl.errors import AudioError, WeightsError
from speechtl.files import cache_folder, locked, write_text
from speechtl.progress import Log, say
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.sound.files import read_audio
from speechtl.text import counted, one_line

TAKES = 240
CONFUSABLES, TAKES_EACH = 24, 6
CONFUSABLE = "confusable"  # label of their takes
OTHER_MINUTES = 5.0  # of other speech by the same voices, where no similar words are known
FEWEST_PHONES, MOST_WORDS = 3, 6
TEST_SEED = 1_000_003  # of takes that no training hears


def completed(recipe: Recipe, log: Log = say) -> Recipe:
    """The recipe with the recordings that it leaves to the program; made or downloaded unless they are there.

    Raises `SpeechtlError` for a phrase that cannot be a synthesised wake word, and where no negatives can be had.
    """
    data = recipe.data
    update: dict[str, list[Path]] = {}
    if data.synthesise:
        check_phrases(recipe.pronounced)
    if not data.negatives:  # before minutes of speaking: without a network this fails
        found = default_recordings(log)
        update = {kind: paths for kind, paths in found.items() if not getattr(data, kind)}
    spoken = spoken_material(recipe, log) if data.synthesise else []
    for kind, path in zip(("positives", "negatives"), spoken, strict=False):
        own = update.get(kind, getattr(data, kind))
        update[kind] = [*own, *([path] if path not in own else [])]
    return recipe.model_copy(update={"data": data.model_copy(update=update)}) if update else recipe


def spoken_material(
    recipe: Recipe, log: Log = say, *, takes: int | None = None, test: int = 0, confusables: int | None = None
) -> list[Path]:
    """The manifests of takes of the phrases, and of confusable words; `test` takes are of other voices and of split "test".

    Where no similar words are known, numbers in the language of the phrase and English sentences are in their place: otherwise a
    network would learn that synthesised speech is the word.
    """
    phrases = recipe.pronounced
    check_phrases(phrases)
    takes, confusables = takes or TAKES, confusables or CONFUSABLES
    natural = _natural_voices(phrases, log)
    seed = recipe.train.seed
    settings = [RECIPE, phrases, recipe.spoken, seed, takes, test, confusables, TAKES_EACH, natural, recipe.transfer.encoder]
    name = f"{recipe.name}-{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]}"
    folder = cache_folder() / "spelling"
    made = [folder / f"{name}-{kind}.jsonl" for kind in ("positives", "confusables")]
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f".{name}.lock", f"Another process speaks {recipe.name} into {folder}", "wait for it"):
        if not made[0].is_file():
            lines = make_takes(folder, Set(phrases, takes, seed=seed, test=test), f"speaking {recipe.name}, dozen takes")
            _write(made[0], _checked(folder, lines, recipe, log))
        if not made[1].is_file():
            texts = [one.text for one in nearest(recipe.spoken, confusables)]
            log(f"Speaking words that sound like it: {', '.join(texts[:8])} ..." if texts else "There is no dictionary of similar words.")
            lines = _confusables(folder, texts, seed, TAKES_EACH) if texts else _numbers(folder, name, phrases, seed)
            _write(made[1], lines)
    log(f"The synthesised recordings are in {made[0]}.")
    return made


def speak_confusables(phrases: Sequence[str], folder: Path, count: int, each: int) -> Path | None:
    """The manifest of words that sound like the phrases, by voices and manners that training has not heard; None without any."""
    texts = [one.text for one in nearest(phrases, count)]
    if not texts:
        return None
    _write(folder / "confusables.jsonl", _confusables(folder, texts, TEST_SEED, each))
    return folder / "confusables.jsonl"


def check_phrases(phrases: Sequence[str]) -> None:
    """Raise `AudioError` for a phrase that no voice can say, or that is too short or too long to be a wake word."""
    for phrase in phrases:
        if not plain(phrase):
            raise AudioError(f"There is nothing to say in the phrase {phrase!r}; give a word.")
        number = len(words(phrase).split())
        if number > MOST_WORDS and not is_pronunciation(phrase):
            raise AudioError(f"The phrase {' '.join(phrase.split()[:4])!r} ... has {number} words; a wake phrase has at most {MOST_WORDS}.")
        language = language_of(phrase)[0]
        sounds = _sounds(phrase) if language == ENGLISH else None
        if sounds is not None and len(sounds) < FEWEST_PHONES:
            raise AudioError(
                f"The phrase {phrase!r} has {counted(len(sounds), 'sound')} ({' '.join(sounds) or 'none'}), and a wake word needs "
                f"{FEWEST_PHONES} or more: shorter ones are heard in everything. Take a longer word."
            )
        if is_pronunciation(phrase):
            speakers(phrase)
        else:
            voices_for(phrase)


def _sounds(phrase: str) -> list[str]:
    if is_pronunciation(phrase):
        return [sign for sign in phonemes(phrase) if sign in VOWELS or (sign.isalpha() and sign not in "ˈˌː")]
    return transcribe([phrase])[0]


def _natural_voices(phrases: Sequence[str], log: Log) -> bool:
    """Whether natural voices say the phrases; their files are downloaded first if their place is the cache."""
    if any(language_of(phrase)[0] != ENGLISH for phrase in phrases):
        log("There are no natural voices of the phrase's language: eSpeak NG speaks it, which real people resemble less. Add real takes.")
        return False
    if kokoro_files.paths() is None and kokoro_files.place_is_cache():
        log("Downloading natural voices (Kokoro-82M), 121 MB, once.")
        try:
            kokoro_files.NETWORK.find()
            kokoro_files.VOICES.find()
        except WeightsError as error:
            log(f"Natural voices could not be downloaded: {one_line(str(error))}")
    found = speakers(phrases[0])
    natural = any(voice.is_natural for voice in found)
    if not natural:
        names = sorted({voice.synthesizer for voice in found})
        log(
            f"There are no natural voices on this machine: {', '.join(names)} speak instead, and fewer real people will be understood. "
            f"Get natural voices with: {kokoro_files.COMMAND}"
        )
    return natural


def _checked(folder: Path, lines: Sequence[Line], recipe: Recipe, log: Log) -> list[Line]:
    """The lines of takes in which the word is said as in the others."""
    if is_pipeline(recipe.transfer.encoder):
        return list(lines)
    encoder = load_encoder(recipe.transfer.encoder)
    odd: set[int] = set()
    for phrase in recipe.pronounced:
        own = [index for index, line in enumerate(lines) if line["text"] == phrase]
        odd |= {own[index] for index in odd_takes([_word(folder, lines[index]) for index in own], encoder)}
    if odd:
        first = lines[min(odd)]["audio_filepath"]
        log(f"Left out {len(odd)} of {counted(len(lines), 'take')} that sound unlike the others, such as {first}.")
    return [line for index, line in enumerate(lines) if index not in odd]


def _word(folder: Path, line: Line) -> Samples:
    samples = read_audio(folder / line["audio_filepath"])
    return samples[round(line["word_start"] * SAMPLE_RATE) : round(line["word_end"] * SAMPLE_RATE)]


def _confusables(folder: Path, texts: Sequence[str], seed: int, each: int) -> list[Line]:
    if not texts:
        return []
    wanted = Set(texts, each * len(texts), label=CONFUSABLE, seed=seed + 1, alone=True)
    return make_takes(folder, wanted, "speaking similar words, dozen takes")


def _numbers(folder: Path, name: str, phrases: Sequence[str], seed: int) -> list[Line]:
    """The lines for training of some minutes of other synthesised speech."""
    path = make_negatives(folder / name, phrases, OTHER_MINUTES, seed=seed)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kept = [line for line in lines if line["split"] == "train"]
    return [{**line, "audio_filepath": f"{name}/{line['audio_filepath']}", "label": CONFUSABLE} for line in kept]


def _write(path: Path, lines: Sequence[Line]) -> None:
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
