import numpy as np
import pytest

from speechtl.export.microwakeword.listener import HALF, listener
from speechtl.runtime.samples import to_int16

pytestmark = pytest.mark.usefixtures("front_end")


def test_it_scores_what_pymicro_wakeword_does_at_every_step(model, bursts, tmp_path):
    package = pytest.importorskip("pymicro_wakeword")
    import json

    (tmp_path / "burst.tflite").write_bytes(model)
    micro = {"probability_cutoff": 0.5, "sliding_window_size": 3}
    document = {"type": "micro", "wake_word": "burst", "model": "burst.tflite", "trained_languages": ["en"], "micro": micro}
    (tmp_path / "burst.json").write_text(json.dumps(document))
    theirs, front_end = package.MicroWakeWord.from_config(tmp_path / "burst.json"), package.MicroWakeWordFeatures()
    samples = bursts((0.7,), seconds=3.0)
    told = [theirs.process_streaming_prob(frame) for frame in front_end.process_streaming(to_int16(samples).tobytes())][2::3]
    ours = listener(model, window=3).feed(samples)[1:, 0] - HALF
    assert np.ptp(ours) > 0.05
    assert len(ours) - len(told) in (0, -1)
    np.testing.assert_allclose(ours[2:], told[2 : len(ours)], atol=0.06)  # their features are rounded in another way


def test_chunks_do_not_matter_and_a_new_stream_begins_anew(model, bursts):
    samples, scorer = bursts((0.7,), seconds=2.0), listener(model)
    whole = scorer.feed(samples)
    scorer.reset()
    parts = np.concatenate([scorer.feed(part) for part in np.array_split(samples, 37)])
    np.testing.assert_array_equal(whole, parts)
    assert len(whole) == len(samples) // 480
    assert scorer.time(0) == 0.03


def test_a_window_averages_the_last_probabilities(model, bursts):
    single, averaged = (listener(model, window).feed(bursts((0.7,), seconds=2.0))[1:, 0] for window in (1, 4))
    expected = np.convolve(single - HALF, np.full(4, 0.25))[: len(single)] + HALF
    np.testing.assert_allclose(averaged, expected, atol=1e-6)
