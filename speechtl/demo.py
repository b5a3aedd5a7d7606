"""`speechtl demo`: train, export and detect in a few minutes, on real recordings if they are on this machine, else on synthesised ones.

A synthesised word is spoken by many people, as `speechtl train --synthesise` does, and learned against real speech where that is on this
machine. The only download is that of the natural voices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording, load_recordings
from speechtl.audio.evaluation.report import training_summary
from speechtl.audio.evaluation.streams import quiet
from speechtl.audio.recipe import Recipe, make_recipe
from speechtl.audio.run import load_run
from speechtl.audio.scripts import LANGUAGES, LATIN, language_of
from speechtl.audio.spelling import negatives as default
from speechtl.audio.spelling.material import check_phrases, spoken_material
from speechtl.audio.synthesis.positives import make_negatives
from speechtl.audio.training.train import train
from speechtl.errors import SpeechtlError
from speechtl.export.bundle import export_run
from speechtl.files import writing
from speechtl.progress import progress, say
from speechtl.runs import alone, check_run_place
from speechtl.runtime.detect_files import detect_file
from speechtl.runtime.detector import Detector, Event
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.runtime.trigger import GRACE
from speechtl.settings import name_from
from speechtl.text import counted, echo

MANIFESTS = Path(__file__).resolve().parent.parent / "data_manifests"  # only in a checkout
REAL_WORD = "computer"
REAL_NEGATIVES = ("speechocean762", "librispeech", "precise_not_wake")
REAL_NOISE = ("noise_esc10", "noise_gsc")
SYNTHETIC_CLIPS, SYNTHETIC_TESTS = 150, 16
CONFUSABLES = 12
SYNTHETIC_MINUTES = 10.0
EPOCHS = 10
BATCH_SIZE = 64
REAL_MINUTES = 25.0  # of negatives: a third of the time that a recipe takes with these three sets, with the same recall
FALSE_ACCEPTS_PER_HOUR = 2.0  # target with synthesised recordings, which are too short to measure lower rates
MIXED_SECONDS = 40.0


@dataclass(frozen=True)
class Material:
    """The recipe of the demo, and a recording of held-out clips with the limits of its words (seconds)."""

    recipe: Recipe
    mixed: Path
    words: list[tuple[float, float]]


@progress("demo")
def run_demo(out: Path, word: str, real: bool | None) -> None:
    """Train, export and detect; print a table and leave the run, the bundle and the recording in `out`."""
    check_run_place(out / "run")
    if real is not True and word != REAL_WORD:
        check_phrases([word])
    out.mkdir(parents=True, exist_ok=True)
    with alone(out):
        _run_demo(out, word, real)


def _run_demo(out: Path, word: str, real: bool | None) -> None:
    material = _material(out, word, real)
    about = train(material.recipe, out / "run")
    bundle = out / f"{material.recipe.name}.wake"
    export_run(load_run(out / "run"), bundle)
    events = list(detect_file(Detector.open(bundle), material.mixed, say))
    echo(training_summary(about, out / "run").rsplit("\n", 1)[0])
    echo(f"\n{material.mixed}, a mix of held-out recordings, detected with {bundle}:")
    _print_table(material.words, events)
    echo(f"\nTry it yourself: speechtl detect {bundle} {material.mixed}")


def _material(out: Path, word: str, real: bool | None) -> Material:
    if real is not False and word == REAL_WORD and _recordings_at_hand():
        say("Training on the real recordings of 'computer', which are on this machine.")
        return _real(out)
    if real:
        raise SpeechtlError(
            f"There are no real recordings of {word!r} on this machine. In a checkout, download those of 'computer' with: "
            f"speechtl data pull {MANIFESTS}/wake_computer.jsonl {' '.join(f'{MANIFESTS}/{name}.jsonl' for name in REAL_NEGATIVES)}"
        )
    return _synthetic(out, word)


def _recordings_at_hand() -> bool:
    names = (f"wake_{REAL_WORD}", *REAL_NEGATIVES)
    return all((MANIFESTS / f"{name}.jsonl").exists() for name in names) and all(
        clip.path is not None for clip in read_clips([MANIFESTS / f"{name}.jsonl" for name in names])
    )


def _real(out: Path) -> Material:
    def manifests(*names: str) -> list[str]:
        return [str(MANIFESTS / f"{name}.jsonl") for name in names]

    data: dict[str, Any] = {
        "positives": manifests(f"wake_{REAL_WORD}"),
        "negatives": manifests(*REAL_NEGATIVES),
        "noise": manifests(*(name for name in REAL_NOISE if all(clip.path for clip in read_clips([MANIFESTS / f"{name}.jsonl"])))),
        "negative_minutes": REAL_MINUTES,
    }
    words, others = (_test_clips(MANIFESTS / f"{name}.jsonl") for name in (f"wake_{REAL_WORD}", REAL_NEGATIVES[0]))
    return Material(
        _recipe(REAL_WORD, data), *_mix(out / "mixed.wav", words, [clip for clip in others if REAL_WORD not in (clip.text or "")])
    )


def _synthetic(out: Path, word: str) -> Material:
    language = language_of(word)[1]
    say(f"Synthesising recordings of {word!r} (for real use, record real people).")
    if language != LANGUAGES[LATIN][1]:
        say(
            f"The word is spoken in {language}, according to its script. Half of the negatives are numbers in {language}, the other "
            f"half English sentences, so the result does not show how well the word is distinguished from other {language} speech."
        )
    typed = _recipe(word, {"synthesise": True})
    positives, confusables = spoken_material(typed, takes=SYNTHETIC_CLIPS, test=SYNTHETIC_TESTS, confusables=CONFUSABLES)
    real = default.are_at_hand()
    data: dict[str, Any]
    if real:
        data = {kind: list(map(str, paths)) for kind, paths in default.manifests().items()} | {"negative_minutes": REAL_MINUTES}
    else:
        say("The other recordings are synthesised, too. `speechtl train --synthesise` takes real ones and gives a better detector.")
        data = {"negatives": [str(make_negatives(out / "recordings", [word], SYNTHETIC_MINUTES).resolve())]}
    others = [clip for clip in _test_clips(Path(data["negatives"][0])) if word.lower() not in (clip.text or "").lower()]
    data |= {"positives": [str(positives)], "negatives": [*data["negatives"], str(confusables)]}
    recipe = _recipe(word, data, **({} if real else {"calibrate": {"false_accepts_per_hour": FALSE_ACCEPTS_PER_HOUR}}))
    return Material(recipe, *_mix(out / "mixed.wav", _test_clips(positives), others))


def _recipe(word: str, data: dict[str, Any], **sections: dict[str, Any]) -> Recipe:
    name = name_from(word) or "word"
    values: dict[str, Any] = {
        "name": name,
        "phrases": [word],
        "data": data,
        "train": {"epochs": EPOCHS, "batch_size": BATCH_SIZE},
        **sections,
    }
    return make_recipe(values, base=Path(), source="The demo")


def _test_clips(manifest: Path) -> list[Clip]:
    return [clip for clip in read_clips([manifest]) if clip.split == "test"]


def _mix(path: Path, words: list[Clip], others: list[Clip]) -> tuple[Path, list[tuple[float, float]]]:
    """Write a recording of test words between test sentences; return it with the limits of the words."""
    random = np.random.default_rng(0)
    parts, limits, at = [], [], 0
    for word, other in zip(_some(words, random), _some(others, random), strict=False):
        pause = quiet(int(random.uniform(0.3, 0.8) * SAMPLE_RATE), random)
        start = (at + len(other.pcm) + len(pause)) / SAMPLE_RATE
        limits.append((start + word.word[0], start + word.word[1]))
        parts += [other.samples(), pause, word.samples()]
        at += sum(map(len, parts[-3:]))
        if at > MIXED_SECONDS * SAMPLE_RATE:
            break
    with writing(path) as beside:
        soundfile.write(beside, np.concatenate(parts), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return path, limits


def _some(clips: list[Clip], random: np.random.Generator) -> list[Recording]:
    chosen = [clips[index] for index in random.permutation(len(clips))[:12]]
    return load_recordings(chosen, find_words=True, on_skip=say)


def _print_table(words: list[tuple[float, float]], events: list[Event]) -> None:
    from speechtl.console import PlainTable, plain_console

    table = PlainTable("word spoken", "detected at", "score")
    left, detected = list(events), 0
    for start, end in words:
        own = next((event for event in left if start <= event.time <= end + GRACE), None)
        if own is not None:
            left.remove(own)
            detected += 1
        table.add_row(
            f"{start:.2f} to {end:.2f} s", "missed" if own is None else f"{own.time:.2f} s", "" if own is None else f"{own.score:.2f}"
        )
    for event in left:
        table.add_row("not spoken", f"{event.time:.2f} s", f"{event.score:.2f}")
    plain_console().print(table)
    echo(f"{detected} of {counted(len(words), 'word')} detected, {counted(len(left), 'event')} where the word was not spoken.")
