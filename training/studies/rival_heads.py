"""Heads as other projects put them on the frozen speech-embedding, trained on a recipe's recordings with its augmentation.

    python training/studies/rival_heads.py training/recipes/words/alexa.toml --out runs/rivals

Writes a run for each head, OUT/alexa-dense and OUT/alexa-self-attention, which rivals.py plays beside other engines. *dense* is that of
openWakeWord: a window of 16 embeddings, flattened, two dense layers, an output. *self-attention* is that of livekit-wakeword: convolutions
over three embeddings, self-attention over the window, its mean, an output. Both are written after their published descriptions. Examples
and loss are those of `speechtl train`, but for its search for hard negatives; the second head learns from the rounds of examples that
were rendered for the first. Thresholds are not calibrated.

`time_warping` needs no training: dynamic time warping to a few takes, as local-wake does it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speechtl.arguments import at_least, output_folder
from speechtl.audio.data.recordings import Recording
from speechtl.audio.encoders import load_encoder
from speechtl.audio.encoders.streaming import TIME, TimeConv
from speechtl.audio.network.heads import HEADS, Head, MemberMean
from speechtl.audio.network.model import WakeWordNetwork
from speechtl.audio.recipe import Recipe, read_recipe
from speechtl.audio.training.batches import RoundBatches
from speechtl.audio.training.train import Training
from speechtl.audio.training.validation import NO_FOLD
from speechtl.errors import reported
from speechtl.progress import say
from speechtl.runs import begun, is_run, training_folder
from speechtl.runtime.features import front_end
from speechtl.text import counted
from speechtl.transfer import attach

ENCODER = "speech-embedding"
WINDOW = 16  # embeddings in a score, 2 s with what they were made from
WIDTH = 128  # of the dense layers
CHANNELS, PARTS = 64, 4  # of the convolutions, and of the attention
TAKES = 10  # to compare with
EARLIEST = 0.25  # seconds after a word's start at which the first embedding of its template is complete
LATEST = 0.1  # seconds after its end until which embeddings belong to it
SHARPNESS, MIDDLE = 20.0, 0.3  # make scores between 0 and 1 of cosine distances


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of every step."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `(batch, channels, time, 1)`."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class WindowSelfAttention(nn.Module):
    """Self-attention of several parts among the steps of every window, and their mean."""

    def __init__(self, size: int, parts: int, window: int) -> None:
        super().__init__()
        self.time_context = window - 1
        self.attention = nn.MultiheadAttention(size, parts, batch_first=True)
        self.norm = nn.LayerNorm(size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Means `(batch, size, windows, 1)` of inputs `(batch, size, steps, 1)`."""
        windows = inputs[..., 0].unfold(TIME, self.time_context + 1, 1).permute(0, 2, 3, 1)
        steps = windows.flatten(0, 1)
        steps = self.norm(steps + self.attention(steps, steps, steps, need_weights=False)[0])
        return steps.mean(dim=1).unflatten(0, windows.shape[:2]).movedim(2, 1)[..., None]


class TimeWarping(nn.Module):
    """Distance of every window to the nearest of some takes by dynamic time warping, as a logit.

    A take `(steps, size)` is aligned with the end of the window and any beginning (Sakoe and Chiba 1978, without a slope limit); the
    cosine distances along the path are averaged.
    """

    def __init__(self, takes: Sequence[Tensor], window: int) -> None:
        super().__init__()
        self.time_context = window - 1
        self.takes = [nn.functional.normalize(take, dim=1) for take in takes]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `(1, 1, windows, 1)` of embeddings `(1, size, steps, 1)`."""
        steps = nn.functional.normalize(inputs[0, :, :, 0].T, dim=1)
        windows = [(1.0 - steps @ take.T).unfold(0, self.time_context + 1, 1) for take in self.takes]  # (windows, take, window)
        nearest = torch.stack([_path_mean(distances) for distances in windows]).amin(dim=0)
        return (SHARPNESS * (MIDDLE - nearest))[None, None, :, None]


def _path_mean(distances: Tensor) -> Tensor:
    """The mean distance along the shortest path through `(batch, take, window)`, from the first row to the last row's last column."""
    rows = distances.unbind(dim=1)
    sums, lengths = rows[0], torch.ones_like(rows[0])
    for row in rows[1:]:
        sums, lengths = _next_row(row, sums, lengths)
    return sums[:, -1] / lengths[:, -1]


def _next_row(row: Tensor, sums: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Sums and lengths of the shortest paths to every column of the next row."""
    best, length = [sums[:, 0] + row[:, 0]], [lengths[:, 0] + 1.0]
    for column in range(1, row.shape[1]):
        before = torch.stack([sums[:, column - 1], sums[:, column], best[-1]])
        nearest = before.argmin(dim=0, keepdim=True)
        taken = torch.stack([lengths[:, column - 1], lengths[:, column], length[-1]])
        best.append(before.gather(0, nearest)[0] + row[:, column])
        length.append(taken.gather(0, nearest)[0] + 1.0)
    return torch.stack(best, dim=1), torch.stack(length, dim=1)


def dense_head(input_size: int, words: int = 1, members: int = 1) -> Head:
    """openWakeWord's: the window flattened, two dense layers with layer normalisation, an output."""
    layers = [TimeConv(input_size, WIDTH, WINDOW), ChannelNorm(WIDTH), nn.ReLU(), TimeConv(WIDTH, WIDTH), ChannelNorm(WIDTH), nn.ReLU()]
    return Head("dense", input_size, words, *layers, TimeConv(WIDTH, words * members), MemberMean(members))


def self_attention_head(input_size: int, words: int = 1, members: int = 1) -> Head:
    """livekit-wakeword's: two convolutions, self-attention over the window, its mean, an output."""
    layers: list[nn.Module] = []
    for inputs in (input_size, CHANNELS):
        layers += [TimeConv(inputs, CHANNELS, 3), ChannelNorm(CHANNELS), nn.ReLU()]
    layers.append(WindowSelfAttention(CHANNELS, PARTS, WINDOW - 4))
    return Head("self-attention", input_size, words, *layers, TimeConv(CHANNELS, words * members), MemberMean(members))


KINDS = {"dense": dense_head, "self-attention": self_attention_head}
HEADS.update(KINDS)  # recipes and runs name them


class OneNetwork(Training):
    """The training of a single network on all folds, with rounds of examples in a folder that several trainings share."""

    def __init__(self, recipe: Recipe, work: Path, rounds: Path) -> None:
        super().__init__(recipe, work)
        self.rounds = rounds
        self.held_out = [NO_FOLD]
        head = KINDS[recipe.transfer.head](self.network.encoder.info.embedding_size)
        self.network = attach(self.network.encoder, head, WakeWordNetwork)

    def batches(self) -> RoundBatches:
        """The batches of all epochs, without hard negatives, which each head would find anew."""
        batches = super().batches()
        batches.folder = self.rounds
        batches.mine, batches.mined = None, self.recipe.train.epochs
        return batches


def train_heads(path: Path, out: Path, epochs: int | None = None) -> list[Path]:
    """The runs of all heads for a recipe; those that are finished are not trained again."""
    runs = []
    for kind in KINDS:
        recipe = read_recipe(path, {"transfer": {"encoder": ENCODER, "head": kind}, "calibrate": {"enabled": False}})
        if epochs:
            train = recipe.train
            fewer = {"epochs": epochs, "steps": -(-train.epochs * train.steps // epochs)}
            recipe = recipe.model_copy(update={"train": train.model_copy(update=fewer)})
        runs.append(out / f"{recipe.name}-{kind}")
        if not is_run(runs[-1]):
            resume = begun(runs[-1])
            with training_folder(runs[-1], resume=resume) as work:
                OneNetwork(recipe, work, out / f"{recipe.name}-rounds").run(runs[-1], resume=resume)
            say(f"{runs[-1]} is trained.")
    return runs


@torch.no_grad()
def time_warping(recordings: Sequence[Recording], takes: int = TAKES) -> WakeWordNetwork:
    """A network that compares with takes of as many people as there are, among recordings of the word."""
    encoder = load_encoder(ENCODER).eval()
    chosen = _of_many_people(recordings, takes)
    say(f"Compares with {counted(len(chosen), 'take')} of {counted(len({one.clip.person for one in chosen}), 'speaker')}.")
    size = encoder.info.embedding_size
    templates = []
    for one in chosen:
        frames = torch.from_numpy(front_end(encoder.features).compute(one.samples()))[None, None]
        first, last = (
            encoder.features.frames(int((limit + beyond) * encoder.features.sample_rate))
            for limit, beyond in zip(one.word, (EARLIEST, LATEST), strict=True)
        )
        heard = nn.functional.pad(frames, (0, 0, encoder.receptive_field, 0), value=encoder.features.silence)
        templates.append(encoder(heard[:, :, max(first, 0) : last + encoder.receptive_field])[0, :, :, 0].T)
    return WakeWordNetwork(encoder, Head("time-warping", size, 1, TimeWarping(templates, WINDOW), MemberMean(1))).eval()


def _of_many_people(recordings: Sequence[Recording], takes: int) -> list[Recording]:
    """The first take of every person, then the second of every person, and so on."""
    heard: Counter[str | None] = Counter()
    turns = []
    for one in recordings:
        heard[one.clip.person] += 1
        turns.append(heard[one.clip.person])
    return [recordings[index] for index in np.argsort(turns, kind="stable")[:takes]]


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """Train; return the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--epochs", type=at_least(1), help="in place of the recipe's, with as many batches in all")
    parser.add_argument("--out", type=output_folder, default="runs/rivals")
    options = parser.parse_args(argv)
    return [run for path in options.recipes for run in train_heads(path, options.out, options.epochs)]


if __name__ == "__main__":
    sys.exit(reported(main))
