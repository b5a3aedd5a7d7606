"""python export/peer_workers/scores.py openwakeword|pyopen-wakeword MODEL < SAMPLES

Play int16 samples at 16 kHz from standard input to a peer in chunks of 80 ms and print its scores as one line of JSON.
Nothing is imported but the standard library, numpy and the peer, because this runs in the peer's own environment.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

CHUNK_BYTES = 2 * 1280  # 80 ms


def openwakeword(model: str, chunks: Iterable[bytes]) -> Iterator[float]:
    """Yield openWakeWord's scores."""
    from openwakeword.model import Model

    word = Model(wakeword_models=[model], inference_framework="onnx")
    for chunk in chunks:
        (score,) = word.predict(np.frombuffer(chunk, np.int16)).values()
        yield float(score)


def pyopen_wakeword(model: str, chunks: Iterable[bytes]) -> Iterator[float]:
    """Yield pyopen-wakeword's scores."""
    from pyopen_wakeword import OpenWakeWord, OpenWakeWordFeatures

    word, features = OpenWakeWord.from_model(model), OpenWakeWordFeatures.from_builtin()
    for chunk in chunks:
        for embeddings in features.process_streaming(chunk):
            yield from word.process_streaming(embeddings)


def main(arguments: list[str]) -> int:
    """Play standard input to a peer."""
    play = {"openwakeword": openwakeword, "pyopen-wakeword": pyopen_wakeword}[arguments[0]]
    samples = sys.stdin.buffer.read()
    chunks = (samples[first : first + CHUNK_BYTES] for first in range(0, len(samples) - CHUNK_BYTES + 1, CHUNK_BYTES))
    print(json.dumps(list(play(str(Path(arguments[1]).resolve()), chunks))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
