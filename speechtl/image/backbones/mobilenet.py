"""MobileNetV2 1.0 (Sandler et al. 2018), its weights read from Google's quantised TFLite file (Apache-2.0): 3.5 million, 1001 classes.

In that file normalisation is folded into the convolutions, so this network has convolutions with biases and no normalisation layers whose
statistics fine-tuning could spoil. Weights have 8 bits in the file and are floats here; the file is not part of speechtl.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speechtl.errors import MissingExtraError, WeightsError
from speechtl.image.backbones.weights import local_weights
from speechtl.image.network import PICTURES, Normalize
from speechtl.transfer import EncoderInfo, SourceNetwork

FILE = "mobilenet_v2_1.0_224_quant.tflite"
CENTRE = (128.0 / 255.0,) * 3  # zero point and scale of the file's input: (byte - 128) / 128
EMBEDDING_SIZE = 1280
CLASSES = 1001  # the first is "background"
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # expansion, channels, blocks, stride


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: more on the right and at the bottom if the sides differ."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)
        nn.init.kaiming_normal_(self.weight, mode="fan_out")
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Pad and convolve."""
        if self.kernel_size[0] == 1:
            return super().forward(inputs)
        height, width = (self._padding(length) for length in inputs.shape[2:])
        return super().forward(nn.functional.pad(inputs, (width // 2, width - width // 2, height // 2, height - height // 2)))

    def _padding(self, length: int) -> int:
        outputs = -(-length // self.stride[0])
        return max((outputs - 1) * self.stride[0] + self.kernel_size[0] - length, 0)


class InvertedResidual(nn.Module):
    """Expand, filter every channel separately, project; the input is added if the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        layers: list[nn.Module] = [SameConv(inputs, wide, 1), nn.ReLU6()] if expansion > 1 else []
        self.layers = nn.Sequential(*layers, SameConv(wide, wide, 3, stride, groups=wide), nn.ReLU6(), SameConv(wide, outputs, 1))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, inputs: Tensor) -> Tensor:
        """Features `(batch, outputs, height / stride, width / stride)`."""
        outputs: Tensor = self.layers(inputs)
        return inputs + outputs if self.adds else outputs


def build() -> SourceNetwork:
    """The architecture with random weights."""
    groups: dict[str, nn.Module] = {"conv1": nn.Sequential(Normalize(CENTRE, CENTRE), SameConv(3, 32, 3, 2), nn.ReLU6())}
    sizes = {"conv1": 32}
    inputs = 32
    for number, (expansion, outputs, blocks, stride) in enumerate(STAGES, 1):
        first = [InvertedResidual(inputs, outputs, stride, expansion)]
        groups[f"stage{number}"] = nn.Sequential(*first, *(InvertedResidual(outputs, outputs, 1, expansion) for _ in range(blocks - 1)))
        sizes[f"stage{number}"] = inputs = outputs
    groups["conv2"] = nn.Sequential(SameConv(inputs, EMBEDDING_SIZE, 1), nn.ReLU6())
    sizes["conv2"] = EMBEDDING_SIZE
    info = EncoderInfo(
        name="mobilenet",
        input=PICTURES,
        embedding_size=EMBEDDING_SIZE,
        source="MobileNetV2 1.0 224, quantised, on ImageNet, 1000 classes and background",
        licence="Apache-2.0",
        source_examples=1_281_167,
        group_sizes=sizes,
    )
    output = nn.Sequential(nn.AdaptiveAvgPool2d(1), SameConv(EMBEDDING_SIZE, CLASSES, 1), nn.Flatten())
    return SourceNetwork(groups, output, info)


def load(path: Path | None = None) -> SourceNetwork:
    """The pretrained network, from `path` or the pictures' folder."""
    path = path or local_weights(FILE)
    if path is None or not path.is_file():
        given = f"{path} is not a file" if path else "The weights of MobileNetV2 are not on this machine"
        raise WeightsError(f'{given}; give TensorFlow\'s hosted {FILE} with weights = "PATH" in the recipe.')
    network = build()
    convolutions = [module for module in network.modules() if isinstance(module, SameConv)]
    stored = read_convolutions(path)
    shapes = [tuple(module.weight.shape) for module in convolutions]
    if shapes != [tuple(weight.shape) for weight, _ in stored]:
        raise WeightsError(
            f"{path} does not contain MobileNetV2 1.0: its {len(stored)} convolutions do not match the expected {len(shapes)}."
        )
    with torch.no_grad():
        for module, (weight, bias) in zip(convolutions, stored, strict=True):
            assert module.bias is not None
            module.weight.copy_(weight)
            module.bias.copy_(bias)
    return network.eval()


def read_convolutions(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weights `(outputs, inputs, height, width)` and biases of a quantised TFLite network, in order of execution."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise MissingExtraError("Reading MobileNetV2's TFLite file", "tflite") from error
    try:
        interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is damaged, or not a TFLite network: {error}") from error
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}

    def value(index: int) -> Tensor:
        scale, zero = details[index]["quantization"]
        return torch.from_numpy((interpreter.get_tensor(index).astype(np.float64) - zero) * scale).float()

    found = []
    for operation in interpreter._get_ops_details():
        if operation["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            _, weight, bias = operation["inputs"]
            order = (0, 3, 1, 2) if operation["op_name"] == "CONV_2D" else (3, 0, 1, 2)
            found.append((value(weight).permute(*order), value(bias)))
    return found
