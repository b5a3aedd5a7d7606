"""wav2vec 2.0, HuBERT and WavLM as layer groups that look at windows of a stream.

Every vector of these networks attends to all others, past and future, so a stream of them cannot be computed step by step.
Instead a window of fixed length is computed anew at every step, and the mean of its newest vectors is the step's embedding.
Vectors between groups are `(batch, windows, times, size)`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

HOP = 320  # samples from one vector to the next: 20 ms
WINDOW = 80  # frames of HOP samples: 1.6 s
STEP = 8  # frames: 160 ms
WINDOWS_AT_A_TIME = 16  # in the extractor, whose first layers give most numbers


class Extractor(nn.Module):
    """Cut windows out of frames of samples, and turn each into a vector every 20 ms by convolutions."""

    time_context = WINDOW - STEP  # frames: what a stream keeps

    def __init__(self, convolutions: nn.Module, normalize: bool) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.normalize = normalize

    def forward(self, frames: Tensor) -> Tensor:
        """Vectors for frames `(batch, 1, frames, samples)`."""
        windows = frames[:, 0].unfold(1, WINDOW, STEP).transpose(2, 3).flatten(2)
        samples = windows.flatten(0, 1).contiguous()
        if self.normalize:
            samples = nn.functional.layer_norm(samples, samples.shape[-1:])
        parts = torch.split(samples, WINDOWS_AT_A_TIME)
        vectors = torch.cat([self.convolutions(part, None)[0] for part in parts])
        return torch.unflatten(vectors, 0, (len(windows), -1))


class Windows(nn.Module):
    """Layers that run on every window by itself.

    With `keep`, the outputs of the previous layers for the newest vectors follow the vectors of a window, and the outputs of these
    layers are added to them: a sum over layers needs all.
    """

    def __init__(self, layers: nn.Module, times: int, keep: bool = False) -> None:
        super().__init__()
        self.layers = layers
        self.times = times
        self.keep = keep

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors, and the rows that were kept, for vectors and rows."""
        windows = rows.flatten(0, 1).contiguous()
        vectors: Tensor = self.layers(windows[:, : self.times])
        if self.keep:
            kept = [windows[:, self.times :]] if windows.shape[1] > self.times else []
            vectors = torch.cat([vectors, *kept, vectors[:, -STEP:].mean(dim=1, keepdim=True)], dim=1)
        return torch.unflatten(vectors, 0, rows.shape[:2])


class Position(nn.Module):
    """The projection to the transformer's size, and where in the window a vector stands."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        transformer = encoder.transformer
        self.projection = encoder.feature_projection
        self.position = transformer.pos_conv_embed
        self.norm = transformer.layer_norm if transformer.layer_norm_first else nn.Identity()
        self.dropout = transformer.dropout
        nn.utils.parametrize.remove_parametrizations(self.position.conv, "weight")  # what it was trained by; the weight is the product

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors `(windows, times, size)` for those of the extractor."""
        vectors = self.projection(vectors)
        placed: Tensor = self.dropout(self.norm(vectors + self.position(vectors)))
        return placed


class Block(nn.Module):
    """One transformer block; in some networks a normalisation follows the last one.

    In WavLM the attention of the first block knows what the distance of two vectors means, for all blocks.
    """

    def __init__(self, layer: nn.Module, first: Any, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layer = layer
        self.norm = norm or nn.Identity()
        # In a list, so that its weights count as the first block's alone.
        self._distances = [first.attention] if hasattr(first.attention, "compute_bias") else []

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors `(windows, times, size)` for vectors of the same shape."""
        windows, times, _ = vectors.shape
        biases = [attention.compute_bias(times, times).expand(windows, -1, -1, -1) for attention in self._distances]
        vectors, _ = self.layer(vectors, position_bias=biases[0] if biases else None)
        normed: Tensor = self.norm(vectors)
        return normed


class Newest(nn.Module):
    """The mean of a window's newest vectors as the step's embedding."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Embeddings `(batch, size, windows, 1)`."""
        return vectors[:, :, -STEP:].mean(dim=2).transpose(1, 2)[..., None]


class LayerSum(nn.Module):
    """The weighted mean over what all layers make of the newest vectors (Yang et al. 2021, SUPERB); all count the same at first."""

    def __init__(self, times: int, layers: int) -> None:
        super().__init__()
        self.times = times
        self.weights = nn.Parameter(torch.zeros(layers))

    def forward(self, rows: Tensor) -> Tensor:
        """Embeddings `(batch, size, windows, 1)`."""
        weights = torch.softmax(self.weights, dim=0)[:, None]
        return (rows[:, :, self.times :] * weights).sum(dim=2).transpose(1, 2)[..., None]


def groups_of(model: Any, *, normalize: bool, keep: bool = False) -> dict[str, nn.Module]:
    """A network of torchaudio as layer groups front to back, without its output layer, sharing its weights."""
    transformer, times = model.encoder.transformer, times_in_window(model)
    last = nn.Identity() if transformer.layer_norm_first else transformer.layer_norm
    blocks = list(transformer.layers)
    layers = [Block(block, blocks[0], last if block is blocks[-1] else None) for block in blocks]
    return {
        "extractor": Extractor(model.feature_extractor, normalize),
        "position": Windows(Position(model.encoder), times, keep),
        **{f"block{index}": Windows(block, times, keep) for index, block in enumerate(layers)},
    }


def times_in_window(model: Any) -> int:
    """The number of vectors that the extractor makes of a window; it does not pad."""
    samples = WINDOW * HOP
    for layer in model.feature_extractor.conv_layers:
        samples = (samples - layer.kernel_size) // layer.stride + 1
    return int(samples)
