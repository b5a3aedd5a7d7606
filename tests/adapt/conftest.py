import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="torch is not installed")

from speechtl.adapt.layer import features_of_network, layer_of_network
from speechtl.adapt.memory import MEMORY, Memory, best, pack

RATE = 16_000
LOUD = np.geomspace(0.1, 1.0, 12)


@pytest.fixture
def remembering(remake, tiny_network, bursts):
    """The tiny bundle with a memory: bursts are its word, also rather soft ones, and silence is anything else."""
    scorer, layer = features_of_network(tiny_network), layer_of_network(tiny_network)

    def steps(samples):
        scorer.reset()
        return scorer.feed(samples)

    words = [best(layer, steps(bursts((1.0,), 2.0) * scale)) for scale in LOUD]
    others = [row[None] for row in steps(bursts((), 3.0))[-40:]]
    return remake(files={MEMORY: pack(Memory(words, list(range(len(words))), others, 0.1))}, name="burst.wake")


@pytest.fixture
def save(tmp_path):
    """Save a labelled clip in the folder `clips`, with a name of its own, and return that folder."""
    folder = tmp_path / "clips"

    def write(label: str, samples: np.ndarray, name: str | None = None):
        (folder / label).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / label / f"{name or len(list(folder.rglob('*.wav')))}.wav", samples, RATE, subtype="PCM_16")
        return folder

    return write
