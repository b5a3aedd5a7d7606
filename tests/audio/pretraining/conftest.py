import json

import numpy as np
import pytest
import soundfile

RATE = 16_000


@pytest.fixture
def manifest(tmp_path):
    """Return a function that writes sounds with texts and returns their manifest."""

    def make(name="some.jsonl", texts=("yes", "no", "go"), seconds=1.0, **extra):
        lines = []
        for index, text in enumerate(texts):
            path = tmp_path / f"{name}-{index}.wav"
            random = np.random.default_rng(index)
            sound = 0.1 * random.standard_normal(int(seconds * RATE)).astype(np.float32)
            soundfile.write(path, sound, RATE)
            line = {"audio_filepath": path.name, "duration": seconds, "speaker": f"{name}-{index % 2}", "license": "MIT", **extra}
            lines.append(line | ({} if text is None else {"text": text}))
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return make
