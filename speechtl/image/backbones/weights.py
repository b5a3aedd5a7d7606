"""Load pretrained weights into a backbone, from a file, the pictures' folder, the cache, or a download."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor, nn

from speechtl.cache import Published
from speechtl.errors import WeightsError
from speechtl.image.manifest import image_data
from speechtl.transfer import load_weights


def load_pretrained(network: nn.Module, published: Published, local: str, path: Path | None = None) -> None:
    """Load weights with the network's key names; raise `WeightsError` that lists keys that differ.

    Without `path`, the weights come from `weights/LOCAL` in the pictures' folder, the cache, or the published address.
    """
    path = path or local_weights(local) or published.find()
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in read_tensors(path).items()}
    load_weights(network, tensors, path, WeightsError)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of named tensors: safetensors, or PyTorch's format without executing code from it."""
    if not path.is_file():
        raise WeightsError(f"{path} is not a file; give a safetensors file with the backbone's weights.")
    try:
        if path.suffix == ".safetensors":
            return load(path.read_bytes())
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types without a common base class for damaged files
        raise WeightsError(
            f"{path} is damaged, or not a file of weights: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise WeightsError(f"{path} does not contain named tensors; save the network's state_dict().")
    return tensors


def local_weights(name: str) -> Path | None:
    """A file in `weights` of the pictures' folder, or None if it does not exist."""
    folder = image_data()
    path = folder / "weights" / name if folder else None
    return path if path is not None and path.is_file() else None
