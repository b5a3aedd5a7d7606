import importlib.util

import numpy as np
import pytest

from speechtl.errors import MissingExtraError
from speechtl.export.microwakeword import features
from speechtl.runtime.samples import to_int16


def test_any_chunks_give_the_features_that_pymicro_wakeword_gives_its_models(front_end, bursts):
    theirs = pytest.importorskip("pymicro_wakeword").MicroWakeWordFeatures()
    samples = bursts((0.7,), seconds=2.0)
    expected = np.concatenate([*theirs.process_streaming(to_int16(samples).tobytes())])[:, 0] / features.SCALE + features.ZERO
    ours = features.MicroFeatures()
    made = np.concatenate([ours.feed(part) for part in np.split(samples, [5, 170, 9000, 9001])])
    assert len(made) == (len(samples) - features.WINDOW) // features.HOP + 1
    assert made.max() > 0
    np.testing.assert_allclose(made, expected.clip(-128, 127), atol=1.5)  # they divide by 26.0 / 255, and ESPHome by 666 / 256
    np.testing.assert_array_equal(made, features.compute(samples))


def test_values_become_the_integers_of_esphome():
    integers = np.array([0, 1, 2, 333, 663, 664, 700])
    assert features.as_int8(integers / 25.6).tolist() == [-128, -128, -127, 0, 127, 127, 127]


def test_without_the_front_end_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pymicro_features", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'speechtl\[microwakeword\]'"):
        features.MicroFeatures()
    assert importlib.util.find_spec("speechtl.export.microwakeword.features")
