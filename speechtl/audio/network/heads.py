"""New layers for a wake word, put after a pretrained encoder in place of its output layer.

A head takes embeddings `(batch, embedding_size, steps, 1)` and gives logits `(batch, words, steps, 1)`, one score a
word and step. Like the encoder it pads nothing in time: `receptive_field` steps make one score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from speechtl.audio.encoders.streaming import TimeConv
from speechtl.audio.network.windows import WindowAttention, WindowGRU
from speechtl.errors import RecipeError
from speechtl.transfer import Standardize

MEMBERS = 4  # of an ensemble
WINDOW = 10  # embeddings that a recurrence or attention looks back over


class Dropout(nn.Dropout):
    """`nn.Dropout`, with eight decisions from every random number: one by one they take half of the time of a head's training."""

    def forward(self, input: Tensor) -> Tensor:
        """Set numbers to zero with a probability of `p`, to the nearest 1/256, in training."""
        if not self.training or input.device.type != "cpu":
            return super().forward(input)
        drawn = torch.empty(-(-input.numel() // 8), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
        dropped = round(256 * self.p)
        kept = (drawn >= dropped).to(input.dtype) * (256 / (256 - dropped))
        return input * kept.as_strided(input.shape, torch.empty_like(input, device="meta").stride())


class MemberMean(nn.Module):
    """The mean logit of an ensemble's members; in training every member's own."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members = members

    def forward(self, logits: Tensor) -> Tensor:
        """Logits `(batch, words, steps, 1)`; in training `(batch, members * words, steps, 1)`."""
        if self.training:
            return logits
        return torch.stack(torch.chunk(logits, self.members, dim=1)).mean(dim=0)


class Head(nn.Sequential):
    """The new layers; knows what it takes and how many steps it needs for one score."""

    def __init__(self, kind: str, input_size: int, words: int, *layers: nn.Module) -> None:
        super().__init__(Standardize(input_size, axes=2), *layers)
        self.kind = kind
        self.input_size = input_size
        self.words = words

    @property
    def receptive_field(self) -> int:
        """The number of embeddings in the receptive field of a score."""
        return 1 + sum(getattr(layer, "time_context", 0) for layer in self)

    @torch.no_grad()
    def shift(self, amount: float) -> None:
        """Lower every logit by `amount`."""
        output = [layer for layer in self if isinstance(layer, TimeConv)][-1]
        assert output.bias is not None
        output.bias -= amount

    @property
    def ensemble(self) -> MemberMean:
        """The last layer, which takes the mean of the members."""
        last = self[-1]
        assert isinstance(last, MemberMean)
        return last

    @torch.no_grad()
    def only(self, members: Sequence[int]) -> Head:
        """A head of these members alone."""
        smaller = make_head(self.kind, self.input_size, self.words, len(members))
        smaller.standardize.load_state_dict(self.standardize.state_dict())
        for small, large in zip(smaller.parameters(), self.parameters(), strict=True):
            blocks = torch.chunk(large, self.ensemble.members, dim=0)
            small.copy_(torch.cat([blocks[member] for member in members]))
        return smaller

    @property
    def standardize(self) -> Standardize:
        """The first layer, which is measured and not trained."""
        first = self[0]
        assert isinstance(first, Standardize)
        return first


def linear_head(input_size: int, words: int = 1, members: int = MEMBERS) -> Head:
    """One new output layer (the mean of several is one again): the head that needs the fewest recordings."""
    return Head("linear", input_size, words, TimeConv(input_size, words * members), MemberMean(members))


def conv_head(input_size: int, words: int = 1, members: int = MEMBERS, width: int = 24, dropout: float = 0.2) -> Head:
    """Three causal convolutions over seven embeddings and an output layer: the head for words and phrases.

    With little data, networks from different random starts disagree where they have to guess. So several narrow ones
    run in parallel (as groups of one convolution), learn independently, and give their mean (Lakshminarayanan et al. 2017).
    """
    layers: list[nn.Module] = []
    for inputs, groups in ((input_size, 1), (width * members, members), (width * members, members)):
        layers += [TimeConv(inputs, width * members, 3, groups=groups), nn.ReLU(), Dropout(dropout)]
    return Head("conv", input_size, words, *layers, TimeConv(width * members, words * members, groups=members), MemberMean(members))


def gru_head(input_size: int, words: int = 1, members: int = MEMBERS, width: int = 24, dropout: float = 0.2) -> Head:
    """Gated recurrent units over ten embeddings and an output layer: the order of the sounds counts."""
    layers = [
        TimeConv(input_size, width * members),
        nn.ReLU(),
        Dropout(dropout),
        WindowGRU(width, width, members, WINDOW),
        Dropout(dropout),
    ]
    return Head("gru", input_size, words, *layers, TimeConv(width * members, words * members, groups=members), MemberMean(members))


def attention_head(input_size: int, words: int = 1, members: int = MEMBERS, width: int = 32, dropout: float = 0.2) -> Head:
    """Attention over twelve embeddings between two convolutions and an output layer: for words said slowly or quickly."""
    layers: list[nn.Module] = [TimeConv(input_size, width * members, 3), nn.ReLU(), Dropout(dropout)]
    layers += [WindowAttention(width, members, WINDOW), TimeConv(width * members, width * members, groups=members), nn.ReLU()]
    layers += [Dropout(dropout), TimeConv(width * members, words * members, groups=members)]
    return Head("attention", input_size, words, *layers, MemberMean(members))


class DividedConv(TimeConv):
    """A convolution whose outputs each see one part of the inputs: the first of them the first part, and so on.

    Weights that join an output to another part are zero and stay so.
    """

    def __init__(self, parts: Sequence[int], outputs: int, time_kernel: int) -> None:
        super().__init__(sum(parts), outputs, time_kernel)
        self.parts = tuple(parts)
        with torch.no_grad():
            own = [weight * math.sqrt(self.in_channels / weight.shape[1]) for _, weight in self._blocks(self.weight)]  # fewer inputs
            self.weight.zero_()
            for (_, weight), fresh in zip(self._blocks(self.weight), own, strict=True):
                weight.copy_(fresh)

    def _blocks(self, weight: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield for each part its inputs and the weights of its outputs."""
        begin = 0
        for part, rows in zip(self.parts, torch.chunk(weight, len(self.parts)), strict=True):
            inputs = slice(begin, begin + part)
            yield inputs, rows[:, inputs]
            begin += part

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        outputs = torch.cat([nn.functional.conv2d(input[:, inputs], block) for inputs, block in self._blocks(weight)], dim=1)
        return outputs if bias is None else outputs + bias[:, None, None]


def divide(head: Head, parts: Sequence[int]) -> Head:
    """Connect the first members to the first part of the embedding alone, and so on; `parts` are the sizes of the parts.

    Members that see everything rely on the part that fits the training recordings best. Those of different encoders are wrong
    about different things, and their mean about fewer.
    """
    index, first = next((index, layer) for index, layer in enumerate(head) if isinstance(layer, TimeConv))
    head[index] = DividedConv(parts, first.out_channels, first.kernel_size[0])
    return head


HEADS = {"linear": linear_head, "conv": conv_head, "gru": gru_head, "attention": attention_head}


def make_head(kind: str, input_size: int, words: int = 1, members: int = MEMBERS) -> Head:
    """A new head by its name."""
    if kind not in HEADS:
        raise RecipeError(f"The head {kind!r} is not known; take one of: {', '.join(HEADS)}.")
    return HEADS[kind](input_size, words, members)
