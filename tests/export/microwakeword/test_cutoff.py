import numpy as np

from speechtl.audio.evaluation.scoring import PlayedWord, ScoredStream, count
from speechtl.audio.training.calibrate import Copies, OperatingPoint
from speechtl.audio.training.validation import Validation
from speechtl.export.microwakeword import cutoff as module
from speechtl.export.microwakeword.cutoff import Cutoff, averaged, choose
from speechtl.runtime.trigger import TriggerSettings

STEP = 0.03


def stream(scores: np.ndarray, words=(), seconds: float = 0.0) -> ScoredStream:
    return ScoredStream(scores.astype(np.float32), np.arange(1, len(scores) + 1) * STEP, STEP, seconds, list(words))


def test_esphome_makes_the_level_of_the_cutoff():
    for level in range(1, 255):
        cutoff = Cutoff(level, 1, OperatingPoint(0.3, 0.5, 0, 0, 0, 0, 1, 0, 0, 0, 0))
        assert int(cutoff.probability * 255) == level
        assert level / 256 < cutoff.score < (level + 1.6) / 256


def test_the_window_is_chosen_that_tells_long_words_from_short_peaks(monkeypatch):
    monkeypatch.setattr(module, "WINDOWS", (1, 10))
    random = np.random.default_rng(1)
    words = np.full(10_000, 0.01)
    others = np.full(400_000, 0.01)
    played = []
    for index in range(60):
        start = 100 + 150 * index
        words[start : start + 12] = 0.9
        played.append(PlayedWord(start * STEP - 0.3, start * STEP + 0.2, index))
    for start in random.choice(len(others) - 10, 300, replace=False):
        others[start : start + 2] = random.uniform(0.6, 0.99)
    heard = Validation([stream(words, played)], {"speech": [stream(others, seconds=400_000 * STEP)]}, Copies())
    cutoff = choose(heard, 0.3, 1.0)
    assert cutoff.window == 10
    assert cutoff.point.detected == 60
    (silent,) = averaged(heard.others["speech"], cutoff.window)
    assert len(count(silent, TriggerSettings(cutoff.score, 1, 1.0)).false_accepts) <= 3
