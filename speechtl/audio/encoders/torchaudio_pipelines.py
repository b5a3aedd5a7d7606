"""Networks of torchaudio.pipelines (wav2vec 2.0, HuBERT, WavLM) as encoders and as teachers, `torchaudio:HUBERT_BASE` by name.

They take samples at 16 kHz and give a vector every 20 ms. `torchaudio:HUBERT_BASE+layers` is the weighted mean of all layers in
place of the last one; its weights learn as soon as the last group of the encoder does (`policy = "last:1"`). The weights
of the networks are looked for where torch.hub keeps downloads, and downloaded from there.
"""

from __future__ import annotations

import importlib
import pickle
import re
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from speechtl.audio.encoders.base import AudioEncoder
from speechtl.audio.encoders.transformer import HOP, STEP, WINDOW, LayerSum, Newest, groups_of, times_in_window
from speechtl.errors import MissingExtraError, RecipeError, SpeechtlError, WeightsError, did_you_mean
from speechtl.runtime.features import WaveformSettings
from speechtl.transfer.network import EncoderInfo, InputSpec, SourceNetwork, cut

PREFIX = "torchaudio:"
LAYERS = "+layers"
ADDRESS = "https://download.pytorch.org/torchaudio/models/"
HOURS = re.compile(r"([\d,]+)\s*(k?) hours of (?!transcribed)", re.IGNORECASE)


class WindowEncoder(AudioEncoder):
    """An encoder that computes a window of samples anew at every step."""

    in_windows = True
    small_inside = False  # every window has vectors of its own between the groups


@dataclass(frozen=True)
class TeacherNetwork:
    """A pretrained network that computes embeddings of whole recordings."""

    info: EncoderInfo
    model: Any
    layer: int | None  # None: the mean over all layers
    normalize: bool
    frame_rate: float = 16_000 / HOP  # embeddings a second

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Tensor:
        """Embeddings `(batch, times, embedding_size)` of recordings `(batch, samples)` at 16 kHz, in [-1, 1], all of one length.

        Embedding t stands for the 25 ms that begin at sample 320 t.
        """
        if self.normalize:
            samples = nn.functional.layer_norm(samples, samples.shape[-1:])
        layers: list[Tensor] = self.model.extract_features(samples)[0]
        return torch.stack(layers).mean(dim=0) if self.layer is None else layers[self.layer]


def is_pipeline(name: str) -> bool:
    """Whether a name is that of one of torchaudio's networks."""
    return name.startswith(PREFIX)


def known_pipelines() -> list[str]:
    """The names of all networks; raises `MissingExtraError` without torchaudio."""
    pipelines = torchaudio().pipelines
    return [PREFIX + name for name in dir(pipelines) if isinstance(getattr(pipelines, name), pipelines.Wav2Vec2Bundle)]


def check_pipeline(name: str) -> None:
    """Raise `RecipeError` for a network that torchaudio does not have."""
    known = known_pipelines()
    plain = name.removesuffix(LAYERS)
    if plain not in known:
        raise RecipeError(
            f"The encoder {name!r} is not known{did_you_mean(plain, known)}; of torchaudio take one of: {', '.join(known)}, "
            f"each also with {LAYERS}."
        )


def build(name: str) -> AudioEncoder:
    """A network's architecture with random weights, to load a run's weights into."""
    bundle = _bundle(name)
    models = torchaudio().models
    make = models.wavlm_model if bundle._model_type == "WavLM" else models.wav2vec2_model
    return _encoder(name, bundle, make(**bundle._params))


def load(name: str) -> AudioEncoder:
    """A pretrained network; raises `WeightsError`, with the file to fetch, where its weights are missing."""
    bundle = _bundle(name)
    return _encoder(name, bundle, _pretrained(name, bundle))


def source(name: str, bundle: Any, model: Any) -> SourceNetwork:
    """A network with its own output layer, where it has one, in parts that can be cut."""
    groups = groups_of(model, normalize=bundle._normalize_waveform, keep=name.endswith(LAYERS))
    return SourceNetwork(groups, model.aux or nn.Identity(), _info(name, bundle))


def teacher(name: str, layer: int = -1) -> TeacherNetwork:
    """A pretrained network as a teacher: what its `layer` gives (0 is the first block), or with `+layers` the mean of all."""
    bundle = _bundle(name)
    blocks = bundle._params["encoder_num_layers"]
    if not -blocks <= layer < blocks:
        raise SpeechtlError(f"{name} has no layer {layer}; its layers are 0 to {blocks - 1}.")
    model = _pretrained(name, bundle).eval().requires_grad_(False)
    averaged = name.endswith(LAYERS)
    return TeacherNetwork(_info(name, bundle), model, None if averaged else layer, bundle._normalize_waveform)


def weights_path(bundle: Any) -> Path:
    """The path at which torch.hub keeps a network's weights."""
    return Path(torch.hub.get_dir(), "checkpoints", bundle._path.rpartition("/")[2])


def _encoder(name: str, bundle: Any, model: Any) -> AudioEncoder:
    encoder = cut(source(name, bundle, model))
    groups = dict(encoder.groups.items())
    last = list(groups)[-1]
    if name.endswith(LAYERS):
        groups["layers"] = LayerSum(times_in_window(model), len(groups) - 1)
    else:
        groups[last] = nn.Sequential(groups[last], Newest())
    return WindowEncoder(groups, encoder.info, WaveformSettings(hop=HOP), stride=STEP, receptive_field=WINDOW).eval()


def _bundle(name: str) -> Any:
    check_pipeline(name)
    return getattr(torchaudio().pipelines, name.removeprefix(PREFIX).removesuffix(LAYERS))


def _info(name: str, bundle: Any) -> EncoderInfo:
    said = str(bundle.__doc__ or "")
    hours = [float(number.replace(",", "")) * (1000.0 if thousands else 1.0) for number, thousands in HOURS.findall(said)]
    return EncoderInfo(
        name=name,
        input=InputSpec("audio", {**WaveformSettings(hop=HOP).to_json(), "sample_rate": int(bundle.sample_rate)}),
        embedding_size=bundle._params["encoder_embed_dim"],
        source=" ".join(re.sub(r"\s*:cite:`.*?`|[*`]", "", said.split("\n\n")[0]).split()) or f"torchaudio.pipelines, {bundle._path}",
        licence=_licence(said),
        source_hours=sum(hours) or None,
    )


def _licence(said: str) -> str:
    """The licence that torchaudio's documentation of a network names, as SPDX does."""
    if re.search(r"CC[- ]BY[- ]NC", said):
        return "CC-BY-NC-4.0"
    return "MIT" if "MIT License" in said else "unknown"


def _pretrained(name: str, bundle: Any) -> Any:
    settings = {"map_location": "cpu", "weights_only": True, "progress": sys.stderr.isatty()}
    with _weights_errors(name, bundle):
        model = bundle.get_model(dl_kwargs=settings)
    return getattr(model, "model", model)  # without torchaudio's wrapper, which normalises a whole batch as one


@contextmanager
def _weights_errors(name: str, bundle: Any) -> Iterator[None]:
    path = weights_path(bundle)
    address = bundle._path if bundle._path.startswith("https") else ADDRESS + bundle._path
    absent = not path.exists()
    try:
        yield
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise WeightsError(
            f"The weights of {name} are not on this machine and could not be downloaded ({error}). Fetch {address} on a machine that "
            f"can, and put the file at {path}."
        ) from error
    except OSError as error:
        raise WeightsError(f"The weights of {name} cannot be {'written to' if absent else 'read from'} {path} ({error}).") from error
    except (RuntimeError, KeyError, EOFError, pickle.UnpicklingError, ValueError, AttributeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} does not contain the weights of {name} ({reason}). Delete it to download it again, or replace it with the file "
            f"of {address}."
        ) from error


EXTENSION = "torchaudio._extension"


def torchaudio() -> Any:
    """Torchaudio, without its compiled extension where that does not fit the installed torch.

    Its wheel is linked against a build of torch for CUDA, and does not load beside one for the CPU. Networks and pipelines are
    pure Python and need nothing of it.
    """
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError as error:
        if error.name != "torchaudio":
            raise
        raise MissingExtraError("An encoder of torchaudio", "torchaudio") from error
    except OSError as error:
        if "torchaudio" not in str(error):
            raise
        sys.modules[EXTENSION] = _without_extension()
        return importlib.import_module("torchaudio")


def _without_extension() -> ModuleType:
    """A stub for the compiled extension with the answers of a torchaudio that was built without it."""
    stub = ModuleType(EXTENSION)
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    stub._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
    stub._check_cuda_version = lambda: None  # type: ignore[attr-defined]
    stub.fail_if_no_align = _no_alignment  # type: ignore[attr-defined]
    return stub


def _no_alignment(function: Any) -> Any:
    def refuse(*_: object, **__: object) -> None:
        raise SpeechtlError(f"{function.__name__} of torchaudio needs its compiled extension, which does not fit the installed torch.")

    return refuse
