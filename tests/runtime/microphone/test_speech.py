import numpy as np
import pytest

from speechtl.errors import MissingExtraError
from speechtl.runtime.microphone.speech import FRAME, SpeechFrames, by_level, by_webrtc, speech_after


def test_frames_are_the_same_for_every_block():
    sound = np.random.default_rng(0).normal(0, 0.1, 10 * FRAME + 7).astype(np.float32)
    sound[3 * FRAME : 6 * FRAME] = 0.0
    expected = [True] * 3 + [False] * 3 + [True] * 4
    assert SpeechFrames(by_level(-60.0)).feed(sound) == expected
    frames = SpeechFrames(by_level(-60.0))
    assert [one for start in range(0, len(sound), 100) for one in frames.feed(sound[start : start + 100])] == expected


@pytest.mark.parametrize(
    ("noise", "level", "expected"), [(-60.0, -51.0, True), (-60.0, -53.0, False), (None, -41.0, True), (None, -43.0, False)]
)
def test_a_level_is_compared_with_the_noise_before(noise, level, expected):
    assert by_level(noise)(np.full(FRAME, 10 ** (level / 20), np.float32)) == expected


def test_without_the_extra_levels_decide_and_what_needs_the_detector_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "webrtcvad", None)
    assert speech_after(-60.0).feed(np.full(FRAME, 0.1, np.float32)) == [True]
    with pytest.raises(MissingExtraError, match=r"The gate needs.*speechtl\[vad\]"):
        by_webrtc("The gate")
