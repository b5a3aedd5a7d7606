"""Read pretrained weights into a backbone: from a file that is given, the pictures' folder, the cache, or where they are published."""

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
    """Fill a network with weights under its own key names; raise `WeightsError` that names the keys that differ.

    Without `path` the file `weights/LOCAL` of the pictures' folder is taken, else the cache, else the published address.
    """
    path = path or local_weights(local) or published.find()
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in read_tensors(path).items()}
    load_weights(network, tensors, path, WeightsError)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of named tensors: safetensors, or PyTorch's own format without running anything that stands in it."""
    if not path.is_file():
        raise WeightsError(f"{path} is not a file; give a safetensors file with the backbone's weights.")
    try:
        if path.suffix == ".safetensors":
            return load(path.read_bytes())
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes torch's reader raises a dozen types without a common parent
        raise WeightsError(f"{path} is damaged, or no file of weights: {(str(error) or type(error).__name__).splitlines()[0]}") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise WeightsError(f"{path} holds something else than named tensors; save the network's state_dict().")
    return tensors


def local_weights(name: str) -> Path | None:
    """Return a file of the pictures' folder `weights`, or None where it is not there."""
    folder = image_data()
    path = folder / "weights" / name if folder else None
    return path if path is not None and path.is_file() else None
