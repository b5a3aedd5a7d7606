"""WakeHuBERT tiny as a teacher: a streaming network that learned HuBERT's layers from noisy recordings.

The weights (Apache-2.0) are read from the package that carries them, which is never imported, or from a folder. They are not
part of speechtl.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechtl.audio.encoders.speech_embedding import carried
from speechtl.errors import RecipeError, WeightsError
from speechtl.files import at_home, sha256_of
from speechtl.runtime.engine.onnx import load_graph
from speechtl.runtime.features import WaveformSettings
from speechtl.runtime.samples import Floats, Samples
from speechtl.transfer.network import EncoderInfo, InputSpec

NAME = "wakehubert"
PACKAGE = "ovos-ww-plugin-wakeforge"
VERSION = "0.7.0a1"
INSIDE = "ovos_ww_plugin_wakeforge/featurizers/wakehubert-tiny/wakehubert.onnx"
SHA256 = "7c08cdb068f16bee9fa4cfe6f2d56b1e78d938d5421296a635920edce1211e1b"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"
EMBEDDING_SIZE = 128
HOP = 320  # samples; frame t has heard samples up to 320 (t + 1)
SOURCE = f"WakeHuBERT tiny (TigreGotico, distilled from HuBERT base), of {PACKAGE} {VERSION}"


class WakeHubert:
    """Embeddings `(frames, 128)` of a recording at 16 kHz, one every 20 ms."""

    def __init__(self, path: Path) -> None:
        self.session = load_graph(path.read_bytes())
        self.info = EncoderInfo(NAME, InputSpec("audio", WaveformSettings(hop=HOP).to_json()), EMBEDDING_SIZE, SOURCE, "Apache-2.0")

    def __call__(self, samples: Samples) -> Floats:
        """Embeddings of the whole recording; before it is silence."""
        heard: Floats = self.session.run(None, {"waveform": np.asarray(samples, np.float32)[None]})[0][0]
        return heard


def is_wakehubert(name: str) -> bool:
    """Whether a teacher's name is `wakehubert` or `wakehubert:FOLDER`."""
    return name.partition(":")[0] == NAME


def load(name: str) -> WakeHubert:
    """WakeHuBERT from the installed package, or from the folder in its name.

    Raises `RecipeError` where it is not, and `WeightsError` for other weights than the published ones.
    """
    path = _find(name.partition(":")[2])
    if (digest := sha256_of(path)) != SHA256:
        raise WeightsError(f"{path} is not the published WakeHuBERT: its SHA-256 is {digest}, expected {SHA256}. Get it with: {INSTALL}")
    return WakeHubert(path)


def _find(folder: str) -> Path:
    if folder:
        found = [path for inside in (Path(INSIDE).name, INSIDE) if (path := at_home(folder) / inside).is_file()]
        if not found:
            raise RecipeError(f"The folder {folder} of the teacher {NAME}:{folder} has no {Path(INSIDE).name}; give the one that has it.")
        return found[0]
    installed = carried(PACKAGE, INSIDE)
    if installed is None:
        raise RecipeError(
            f"The teacher {NAME} needs the weights in the package {PACKAGE}, which is not installed. Install it with: {INSTALL} "
            f"(or unpack it and write {NAME}:FOLDER)."
        )
    return installed
