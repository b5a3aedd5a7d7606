"""What adapting does: false alarms of a television, misses, a new speaker, and clips with wrong labels, which are refused.

    python training/studies/adapting.py computer.wake --words data_manifests/wake_computer.jsonl \
        --speech data_manifests/speechocean762.jsonl data_manifests/common_voice.jsonl --out runs/adapting

Only recordings of split "test" are played. The television is speech with music; the threshold is lowered until its first half fires
`--fires` times, and these alarms are the clips. What is reported are the alarms of both halves, played again, and the word in three
surroundings by speakers whom no adaptation has heard, with 95 % limits. Each case is written to adapting.csv at once, and a second call
continues after it.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speechtl.adapt.adapt import adapt
from speechtl.adapt.graph import features_of_bundle, opened_graph
from speechtl.adapt.layer import Heard, Layer, hear
from speechtl.arguments import at_least, output_folder
from speechtl.audio.backgrounds import BABBLE, mixtures, talkers
from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.recordings import Recording, load_recordings
from speechtl.audio.evaluation.streams import Condition, Passage, without_words, words_in_background
from speechtl.audio.synthetic_music import with_synthetic_music
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.errors import SpeechtlError, reported
from speechtl.files import append_row, read_rows
from speechtl.limits import recall_limits
from speechtl.progress import say, tracked
from speechtl.runtime.bundle.archive import write_bundle
from speechtl.runtime.bundle.sensitivity import sigmoid
from speechtl.runtime.bundle.wake_word import Bundle, only, open_bundle
from speechtl.runtime.listen.clips import AFTER_SECONDS, BEFORE_SECONDS
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.runtime.trigger import find_events, log_odds_of, refractory_steps
from speechtl.text import echo

SEED = 31
MUSIC_SNR_DB, NOISE_SNR_DB, BABBLE_SNR_DB = 12.0, 5.0, 8.0
TAKES = 5  # of a new speaker
COLUMNS = (
    "case",
    "clips",
    "written",
    "same_before",
    "same_after",
    "other_before",
    "other_after",
    "words",
    "found_before",
    "found_after",
    "why",
)


@dataclass(frozen=True)
class Stage:
    """What is played: two halves of a programme, and words by condition, with what the output layer hears of it."""

    bundle: Bundle
    folder: Path
    sounds: tuple[Samples, Samples]
    halves: tuple[Heard, Heard]
    recordings: Sequence[Recording]
    words: dict[str, list[Heard]]
    passages: dict[str, list[Passage]]

    @property
    def limit(self) -> float:
        """The threshold of the bundle in log-odds."""
        return limit_of(self.bundle)

    def alarms(self, layer: Layer, threshold: float, half: int) -> list[int]:
        """The steps at which a half of the programme fires."""
        logits = layer.logits(self.halves[half].features)
        return find_events(logits, threshold, refractory_steps(self.bundle.words[0].trigger, self.step))

    @property
    def step(self) -> float:
        """Seconds between two steps."""
        return self.bundle.frames_per_step * self.bundle.features.hop / SAMPLE_RATE

    def found(self, layer: Layer, threshold: float, indices: Sequence[int]) -> int:
        """The number of words of some recordings that are found, in all conditions."""
        return sum(layer.logits(heard[index].of_word).max() >= threshold for heard in self.words.values() for index in indices)


def main(argv: Sequence[str] | None = None) -> Sequence[Mapping[str, str]]:
    """Adapt to every case; print and return the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="a bundle of one word, or a ready word")
    parser.add_argument("--words", type=Path, nargs="+", required=True)
    parser.add_argument("--speech", type=Path, nargs="+", required=True)
    parser.add_argument("--minutes", type=at_least(4), default=60, help="of the programme")
    parser.add_argument("--fires", type=at_least(2), default=20, help="alarms of its first half")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--out", type=output_folder, default="runs/adapting")
    options = parser.parse_args(argv)
    table = options.out / "adapting.csv"
    done = {row["case"] for row in read_rows(table)} if table.exists() else set()
    left = [case for case in options.cases if case not in done]
    stage = _stage(options) if left else None
    for case in left:
        assert stage is not None
        append_row(table, _tried(stage, case, CASES[case], options.fires))
    rows = read_rows(table)
    for row in rows:
        echo(", ".join(f"{key} {value}" for key, value in row.items() if value))
    return rows


def _tried(stage: Stage, case: str, prepare: Callable[[Stage, Path], list[int]], fires: int) -> dict[str, str]:
    """Adapt to the clips of a case; recordings that these were made of are not counted."""
    old = opened_graph(stage.bundle).layer
    peaks = np.sort(old.logits(stage.halves[0].features))
    threshold = stage.limit
    if "alarm" in case:
        threshold = next((limit for limit in peaks[::-1] if len(stage.alarms(old, float(limit), 0)) >= fires), threshold)
    lowered = _with_threshold(stage, float(threshold))
    clips = stage.folder / case.replace(" ", "-")
    shutil.rmtree(clips, ignore_errors=True)
    used: set[int] = set()
    out = clips / "adapted.wake"
    try:
        used |= set(prepare(lowered, clips))
        report = adapt(lowered.bundle.path, out, clips=clips, word=lowered.bundle.words[0].name, log=say)
    except SpeechtlError as error:  # a detector that misses nothing has no such clips
        report = {"words": 0, "others": 0, "written": False, "reasons": [str(error)]}
    others = [index for index in range(len(stage.recordings)) if index not in used]
    new, limit = old, lowered.limit
    if report["written"]:
        adapted = only(open_bundle(out), [stage.bundle.words[0].name])
        new, limit = opened_graph(adapted).layer, limit_of(adapted)
    words, before, after = (len(others) * len(stage.words), *(stage.found(*one, others) for one in ((old, lowered.limit), (new, limit))))
    low, high = recall_limits(before / len(stage.words), len(others))
    say(f"{case}: recall {before / words:.3f} ({low:.3f} to {high:.3f}) before, {after / words:.3f} after.")
    alarms = [len(stage.alarms(*one, half)) for half in (0, 1) for one in ((old, lowered.limit), (new, limit))]
    values = (case, report["words"] + report["others"], report["written"], *alarms, words, before, after, "; ".join(report["reasons"]))
    return dict(zip(COLUMNS, map(str, values), strict=True))


def limit_of(bundle: Bundle) -> float:
    """The threshold of the first word in use, in log-odds."""
    return log_odds_of(bundle.words[0].trigger.threshold)


def _with_threshold(stage: Stage, threshold: float) -> Stage:
    """The stage with a bundle of that threshold."""
    name = stage.bundle.words[0].name

    def lowered(word: Mapping[str, Any]) -> dict[str, Any]:
        return {**word, "detector": {**word["detector"], "threshold": sigmoid(threshold)}} if word["name"] == name else dict(word)

    about = {key: value for key, value in lowered(stage.bundle.about).items() if key not in ("schema", "files")}
    if "words" in about:
        about["words"] = [lowered(word) for word in about["words"]]
    stage.folder.mkdir(parents=True, exist_ok=True)
    path = stage.folder / "lowered.wake"
    write_bundle(path, about, dict(stage.bundle.files))
    return replace(stage, bundle=only(open_bundle(path), [name]))


def _false_alarms(stage: Stage, clips: Path, most: int | None = None, halves: Sequence[int] = (0,)) -> list[int]:
    """Save the alarms of the first half, or of both, as `listen --save-clips` does."""
    layer = opened_graph(stage.bundle).layer
    for half in halves:
        for number, step in enumerate(stage.alarms(layer, stage.limit, half)[:most]):
            end = (step + 1) * stage.step
            start = max(round((end - BEFORE_SECONDS) * SAMPLE_RATE), 0)
            name = f"20260101T{12 * half + number // 30:02d}{number * 2 % 60:02d}00.000Z_alarm_0.90.wav"
            _save(clips / "not-word" / name, stage.sounds[half][start : start + _CLIP])
    return []


_CLIP = round((BEFORE_SECONDS + AFTER_SECONDS) * SAMPLE_RATE)


def _misses(stage: Stage, clips: Path) -> list[int]:
    """Save words that are missed in noise, of every other recording."""
    layer = opened_graph(stage.bundle).layer
    chosen = list(range(0, len(stage.recordings), 2))
    for condition in ("noise", "babble"):
        for index in chosen:
            if layer.logits(stage.words[condition][index].of_word).max() < stage.limit:
                _save(clips / "word" / f"{condition}-{index}.wav", _spoken(stage.passages[condition][index]))
    return chosen


def _new_speaker(stage: Stage, clips: Path) -> list[int]:
    """Save five takes of the speaker of whom most words are missed in noise; only the other takes of that speaker are counted."""
    layer = opened_graph(stage.bundle).layer
    missed = Counter(
        recording.clip.person
        for index, recording in enumerate(stage.recordings)
        for heard in stage.words.values()
        if layer.logits(heard[index].of_word).max() < stage.limit
    )
    amount = Counter(recording.clip.person for recording in stage.recordings)
    person = next((person for person, _ in missed.most_common() if amount[person] >= 2 * TAKES), None)
    if person is None:
        raise SpeechtlError(f"No speaker with {2 * TAKES} takes is missed.")
    own = [index for index, recording in enumerate(stage.recordings) if recording.clip.person == person]
    for index in own[:TAKES]:
        _save(clips / "word" / f"{index}.wav", stage.recordings[index].samples())
    return [index for index in range(len(stage.recordings)) if index not in own[TAKES:]]


def _wrong_labels(stage: Stage, clips: Path, most: int | None = None) -> list[int]:
    """Save words, and label them as anything else."""
    chosen = list(range(0, len(stage.recordings), 2))
    if most is not None:
        chosen = chosen[:: max(len(chosen) // most, 1)][:most]
    for index in chosen:
        _save(clips / "not-word" / f"{index}.wav", _spoken(stage.passages["clean"][index]))
    return chosen


CASES: dict[str, Callable[[Stage, Path], list[int]]] = {
    "false alarms": _false_alarms,
    "false alarms of both halves": partial(_false_alarms, halves=(0, 1)),
    "one false alarm": partial(_false_alarms, most=1),
    "misses": _misses,
    "new speaker": _new_speaker,
    "wrong labels": _wrong_labels,
    "six wrong labels": partial(_wrong_labels, most=6),
}


def _spoken(passage: Passage) -> Samples:
    assert passage.word is not None
    end = round((passage.word[1] + AFTER_SECONDS) * SAMPLE_RATE)
    return passage.samples[max(end - _CLIP, 0) : end]


def _save(path: Path, samples: Samples) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")


def _stage(options: argparse.Namespace) -> Stage:
    """Play everything once."""
    bundle = open_bundle(options.bundle)
    _, scorer = features_of_bundle(bundle)
    recordings = _test(options.words, None, bundle.words[0].phrases)
    speech = _test(options.speech, options.minutes)
    random = np.random.default_rng(SEED)
    music = Condition("music", MUSIC_SNR_DB, with_synthetic_music([], SEED))
    programme = list(without_words([speech[index] for index in random.permutation(len(speech))], music, SEED))
    halves = programme[: len(programme) // 2], programme[len(programme) // 2 :]
    babble = mixtures(talkers(speech[: len(speech) // 2]), BABBLE, 6, random)
    conditions = [Condition(), Condition("noise", NOISE_SNR_DB, synthetic_noises(SEED)), Condition("babble", BABBLE_SNR_DB, babble)]
    passages = {one.name: list(words_in_background(recordings, one, SEED)) for one in conditions}
    heard = [_joined(list(hear(scorer, tracked("playing the programme", half, len(half)), 1))) for half in halves]
    words = {name: list(hear(scorer, tracked(f"playing words, {name}", own, len(own)), 1)) for name, own in passages.items()}
    first, second = (np.concatenate([passage.samples for passage in half]) for half in halves)
    return Stage(bundle, options.out, (first, second), (heard[0], heard[1]), recordings, words, passages)


def _joined(parts: Sequence[Heard]) -> Heard:
    return Heard(np.concatenate([part.features for part in parts]), slice(None))


def _test(manifests: Sequence[Path], minutes: float | None, phrases: Sequence[str] = ()) -> list[Recording]:
    """Recordings of split "test", with the word if there are phrases, else as many as are needed for `minutes`."""
    clips = [clip for clip in read_clips(manifests, say) if clip.split == "test" and clip.path]
    order = np.random.default_rng(SEED).permutation(len(clips))
    if minutes is not None:
        length = np.cumsum([clips[index].duration for index in order])
        order = order[: int(np.searchsorted(length, minutes * 60.0)) + 1]
    return load_recordings([clips[index] for index in sorted(order)], find_words=bool(phrases), phrases=phrases, on_skip=say)


if __name__ == "__main__":
    raise SystemExit(reported(main))
