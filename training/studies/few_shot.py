"""Accuracy on single words after few clips of each, by folds of speakers, and rejection of words that were never enrolled.

    python training/studies/few_shot.py
    python training/studies/few_shot.py --manifests data_manifests/wuw_calls.jsonl data_manifests/wake_*.jsonl --unheard wildfire voyager \
        "smart mirror" --words computer jarvis alexa operator "think engine" onword

The classes are the words, "silence" where there are clips of it, and "unknown", which is enrolled with clips of other words. For each fold
of the people, --draws times, a new layer learns --shots clips of each class by people of the other folds, over a frozen encoder; accuracy
is that on all clips of the fold. In the open set, the words of --unheard, which are not enrolled, are accepted as one of the words in 5 %
of their clips; "found" is the share of clips of the words that are then accepted as the right word. Limits are 95 %, over folds and draws.

Each clip is a mean of embeddings in each third of the 1.2 s that end 0.3 s after the word. They are computed once and kept in --out.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechtl.arguments import at_least, output_folder
from speechtl.audio.data.clips import read_clips
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording, load_recordings
from speechtl.audio.encoders import AudioEncoder, load_encoder, parts_of
from speechtl.console import measurement_table, plain_console
from speechtl.errors import ManifestError, reported
from speechtl.files import sha256_of, writing
from speechtl.image.metrics import auc
from speechtl.limits import mean_limits
from speechtl.progress import say, tracked
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.samples import SAMPLE_RATE, Floats, Samples
from speechtl.text import counted
from speechtl.transfer import (
    Encoder,
    EncoderInfo,
    ExampleBatches,
    FitSettings,
    HeadOnly,
    InputSpec,
    Task,
    TaskHead,
    TaskLoss,
    TransferNetwork,
    attach,
    fit,
)

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
ENCODERS = ("conv-ctc-tiny", "conv-ctc", "speech-embedding", "speech-embedding+conv-ctc")
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "unknown", "silence"
STEPS, PARTS = 15, 3  # embeddings of a clip, and the groups of them that are averaged
LAG = 0.3  # seconds from the end of the word to that of the last embedding
BATCH = 64  # clips that an encoder takes at a time
TRAINED = 300  # steps of training
ACCEPTED = 0.05  # share of clips of words that were not enrolled
PUBLISHED = (
    ("DSCNN-L, triplet loss, 500 words of MSWC (arXiv 2306.02161)", "10", "", "76 %"),
    ("BC-ResNet-8, trained on all of Speech Commands", "all", "98.7 %", ""),
    ("speech_embedding and a head, all of Speech Commands", "all", "97.7 %", ""),
)


@dataclass(frozen=True)
class Result:
    """Shares after one training: right of all classes, right and accepted of the words, and the AUC of words against unheard ones."""

    accuracy: float
    found: float
    auc: float


@dataclass(frozen=True)
class Clips:
    """Clips by index: the class of each, None for a word that is not enrolled, and the group that is held out together."""

    recordings: Sequence[Recording]
    classes: Sequence[str | None]
    groups: Sequence[str]
    words: Sequence[str]

    @property
    def names(self) -> list[str]:
        """The classes, the words first."""
        return [*self.words, *(name for name in (UNKNOWN, SILENCE) if name in self.classes)]


def main(argv: Sequence[str] | None = None) -> dict[tuple[str, int], list[Result]]:
    """Embed, train and print."""
    options = _options(argv)
    clips = gather(options.manifests, options.words, options.unheard)
    say(f"{counted(len(clips.recordings), 'clip')} of {counted(len(set(clips.groups)), 'speaker or silence', 'speakers and silences')}.")
    found = {}
    for name in options.encoders:
        embedded = torch.from_numpy(np.concatenate([embeddings(part, clips.recordings, options.out) for part in parts_of(name)], axis=1))
        for shots in options.shots:
            trials = list(_trials(clips, shots, options.folds, options.draws))
            found[name, shots] = [try_out(embedded, clips, *trial) for trial in tracked(f"{name}, {shots} clips", trials, len(trials))]
    show(found, options.words == list(WORDS))
    return found


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = [MANIFESTS / f"{name}.jsonl" for name in ("speech_commands", "word_bed", "word_cat")]
    parser.add_argument("--manifests", type=Path, nargs="+", default=commands, help="default: Speech Commands in data_manifests")
    parser.add_argument("--words", nargs="+", default=list(WORDS), help="classes (default: the ten of Speech Commands)")
    parser.add_argument("--unheard", nargs="+", default=["bed", "cat"], help="words that nobody enrolls (default: bed, cat)")
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS))
    parser.add_argument("--shots", type=at_least(1), nargs="+", default=[5, 10, 50], help="clips of each class (default 5 10 50)")
    parser.add_argument("--folds", type=at_least(2), default=5, help="of the speakers (default 5)")
    parser.add_argument("--draws", type=at_least(1), default=2, help="trainings of a fold, each with other clips (default 2)")
    parser.add_argument("--out", type=output_folder, default="runs/few-shot", help="keeps the embeddings")
    return parser.parse_args(argv)


def gather(manifests: Sequence[Path], words: Sequence[str], unheard: Sequence[str]) -> Clips:
    """The labelled clips on this machine, each in its class."""
    read = [clip for clip in read_clips(manifests) if clip.label and clip.path is not None]
    recordings = load_recordings(read, find_words=True, on_skip=say)
    classes = [_class(one.clip, words, unheard) for one in recordings]
    groups = [one.clip.audio_filepath if kind == SILENCE else str(one.clip.person) for one, kind in zip(recordings, classes, strict=True)]
    for word in (*words, *unheard):
        if all(word not in (one.clip.label, one.clip.text) for one in recordings):
            raise ManifestError(f"No clip of {', '.join(map(str, manifests))} that is on this machine has the label {word!r}.")
    return Clips(recordings, classes, groups, words)


def _class(clip: Clip, words: Sequence[str], unheard: Sequence[str]) -> str | None:
    if (clip.text or clip.label) in unheard:
        return None
    return clip.label if clip.label in (*words, SILENCE) else UNKNOWN


def embeddings(name: str, recordings: Sequence[Recording], kept: Path) -> Floats:
    """Embeddings `(clips, PARTS * size)` of one encoder, from the folder where they are kept."""
    encoder = load_encoder(name).eval()
    weights = b"".join(value.numpy().tobytes() for value in encoder.state_dict().values())
    what = repr([(one.clip.sha256, one.word) for one in recordings]).encode()
    path = kept / f"{name.partition(':')[0]}-{sha256_of(weights + what)[:12]}.npy"
    if not path.exists():
        parts = range(0, len(recordings), BATCH)
        made = [_embed(encoder, recordings[first : first + BATCH]) for first in tracked(f"embedding with {name}, batch", parts, len(parts))]
        with writing(path) as beside, beside.open("wb") as file:
            np.save(file, np.concatenate(made))
    known: Floats = np.load(path)
    return known


@torch.inference_mode()
def _embed(encoder: AudioEncoder, recordings: Sequence[Recording]) -> Floats:
    features = encoder.features
    assert isinstance(features, LogMelSettings)
    frames = encoder.receptive_field + (STEPS - 1) * encoder.stride
    heard = [_ending(one.samples(), round((one.word[1] + LAG) * SAMPLE_RATE), features.samples(frames)) for one in recordings]
    mel = np.stack([LogMel(features).compute(samples) for samples in heard])
    outputs = encoder(torch.from_numpy(mel)[:, None])[..., 0]
    means: Floats = outputs.unflatten(2, (PARTS, STEPS // PARTS)).mean(dim=3).flatten(1).numpy()
    return means


def _ending(samples: Samples, end: int, length: int) -> Samples:
    """The `length` samples before `end`, with silence before the first and after the last."""
    return np.pad(samples[:end], (length, max(end - len(samples), 0)))[-length:]


def _trials(clips: Clips, shots: int, folds: int, draws: int) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the clips to learn and those to test, nobody in both."""
    order = np.random.default_rng(0).permutation(sorted(set(clips.groups))).tolist()
    for fold in range(folds):
        held_out = set(order[fold::folds])
        tested = [index for index, group in enumerate(clips.groups) if group in held_out]
        for draw in range(draws):
            random = np.random.default_rng([fold, draw])
            learned = []
            for name in clips.names:
                pool = [index for index, kind in enumerate(clips.classes) if kind == name and clips.groups[index] not in held_out]
                if len(pool) < shots:
                    raise ManifestError(f"Other folds have {counted(len(pool), 'clip')} of {name!r}, not {shots}; give fewer --shots.")
                learned += random.permutation(pool)[:shots].tolist()
            yield learned, tested


def try_out(embedded: Tensor, clips: Clips, learned: Sequence[int], tested: Sequence[int]) -> Result:
    """What a new layer gets right on some clips after learning others."""
    labels = {index: clips.names.index(kind) for index, kind in enumerate(clips.classes) if kind is not None}
    network = learn(embedded[learned], [labels[index] for index in learned], clips.names)
    with torch.inference_mode():
        scores = torch.softmax(network(embedded[tested]), dim=1).numpy()
    truth = np.array([labels.get(index, -1) for index in tested])  # -1: a word that is not enrolled
    words = scores[:, : len(clips.words)]
    is_word = (truth >= 0) & (truth < len(clips.words))
    surest = words.max(axis=1)
    accepted = surest > np.quantile(surest[truth < 0], 1.0 - ACCEPTED)
    enrolled = is_word | (truth < 0)
    return Result(
        float((scores.argmax(axis=1) == truth)[truth >= 0].mean()),
        float((accepted & (words.argmax(axis=1) == truth))[is_word].mean()),
        auc(surest[enrolled].astype(np.float64), is_word[enrolled]),
    )


def learn(inputs: Tensor, labels: Sequence[int], names: Sequence[str]) -> TransferNetwork:
    """A new layer for embeddings, trained on these."""
    task = Task("word", tuple(names))
    info = EncoderInfo("means of embeddings", InputSpec("embeddings"), inputs.shape[1])
    network = attach(Encoder({}, info), TaskHead(inputs.shape[1], [task]), TransferNetwork)
    batches = ExampleBatches(inputs, torch.tensor(labels, dtype=torch.float32)[:, None], network, 0)
    batches.measure_embeddings()
    settings = FitSettings(epochs=math.ceil(TRAINED / len(batches)), learning_rate=3e-3)
    fit(network, batches, TaskLoss([task]), HeadOnly(), settings)
    return network


def show(found: Mapping[tuple[str, int], Sequence[Result]], beside_published: bool) -> None:
    """Print the table, with published figures for the same words below."""
    table = measurement_table("encoder", "clips", "accuracy", f"found at {ACCEPTED:.0%} accepted", "AUC")
    for (name, shots), results in found.items():
        columns = zip(*map(astuple, results), strict=True)
        table.add_row(name, str(shots), *map(_mean, columns))
    for row in PUBLISHED if beside_published else ():
        table.add_row(*row, "")
    plain_console().print(table)


def _mean(shares: Sequence[float]) -> str:
    low, high = mean_limits(shares)
    return f"{100 * np.mean(shares):.1f} % ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    sys.exit(reported(main))
