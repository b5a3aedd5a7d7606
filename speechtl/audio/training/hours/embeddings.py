"""Outputs of a frozen encoder, on disk by recording: another search, and the next word, run only the head.

CACHE/embeddings/1f3a.../07/07c2....npy    half precision; an hour of both default encoders takes about 32 MB
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from speechtl import __version__
from speechtl.audio.data.manifest import TOLERANCE, Clip, fault
from speechtl.audio.encoders import AudioEncoder, silence
from speechtl.audio.network.model import BLOCK_STEPS
from speechtl.audio.training.rounds import add_weights, make_latest
from speechtl.errors import AudioError, SpeechtlError
from speechtl.files import cache_if_any, check_room, writing
from speechtl.runtime.features import front_end
from speechtl.runtime.samples import SAMPLE_RATE, Floats, from_int16, to_int16
from speechtl.runtime.sound.files import read_audio

FREE_BYTES = 5_000_000_000  # that are left on the disk


class Embeddings:
    """The outputs of an encoder for recordings, each a stream of its own that begins after silence; in the cache if it is `frozen`."""

    def __init__(self, encoder: AudioEncoder, *, frozen: bool = True) -> None:
        self.encoder = encoder.eval()
        self._front_end = front_end(encoder.features)
        self._device = next(encoder.parameters()).device
        cache = cache_if_any() if frozen else None
        self.folder: Path | None = None
        if cache is not None:
            digest = hashlib.sha256(json.dumps([__version__, encoder.features.to_json()]).encode())
            add_weights(digest, encoder.groups.values())
            self.folder = cache / "embeddings" / digest.hexdigest()[:16]
            with suppress(OSError):
                make_latest(self.folder)

    def of(self, clip: Clip) -> Floats:
        """The outputs `(steps, embedding size)`; raises `AudioError` for a recording that cannot be read."""
        if clip.path is None or not clip.path.is_file():
            raise AudioError(f"{clip.path} does not exist.")
        path = self._path(clip)
        if path is not None:
            with suppress(OSError, ValueError, EOFError):  # missing or damaged
                return np.load(path, allow_pickle=False).astype(np.float32)
        made = self._encoded(clip).astype(np.float16)
        if path is not None:
            with suppress(OSError, SpeechtlError):  # the training does not need it
                check_room(path, FREE_BYTES)
                with writing(path) as beside, beside.open("wb") as file:
                    np.save(file, made)
        return made.astype(np.float32)

    @cached_property
    @torch.no_grad()
    def silent(self) -> Floats:
        """The outputs `(1, embedding size)` for silence."""
        frames = silence(self.encoder.features, 1, self.encoder.receptive_field).to(self._device)
        outputs: Floats = self.encoder(frames)[0, :, :, 0].T.cpu().numpy()
        return outputs

    def _path(self, clip: Clip) -> Path | None:
        if self.folder is None or clip.sha256 is None:
            return None
        name = hashlib.sha256(json.dumps([clip.sha256, clip.offset, clip.duration, clip.channel]).encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.npy"

    @torch.no_grad()
    def _encoded(self, clip: Clip) -> Floats:
        assert clip.path is not None
        samples = from_int16(to_int16(read_audio(clip.path, clip.offset, clip.duration or None, clip.channel)))
        if len(samples) / SAMPLE_RATE < clip.duration - TOLERANCE and (problem := fault(clip)):
            raise AudioError(problem)
        stride, lead = self.encoder.stride, self.encoder.receptive_field - self.encoder.stride
        quiet = silence(self.encoder.features, 1, lead)[0, 0].numpy()
        frames = torch.from_numpy(np.concatenate([quiet, self._front_end.compute(samples)]))[None, None].to(self._device)
        steps = (frames.shape[2] - lead) // stride
        outputs = [np.zeros((0, self.encoder.info.embedding_size), np.float32)]
        for first in range(0, steps, BLOCK_STEPS):
            last = min(first + BLOCK_STEPS, steps)
            outputs.append(self.encoder(frames[:, :, first * stride : last * stride + lead])[0, :, :, 0].T.cpu().numpy())
        return np.concatenate(outputs)
