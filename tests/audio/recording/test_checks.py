import numpy as np
import pytest

from speechtl.audio.recording.checks import check_take

RATE = 16_000


@pytest.fixture
def take(said):
    """Return the function that makes a take of a word of 0.6 s after half a second, with its peak at a level (dBFS)."""

    def make(dbfs: float = -6.0, snr_db: float = 40.0, word=None) -> np.ndarray:
        samples = said.with_pauses([said.spoken() if word is None else word], [0.5], snr_db)
        return said.at_peak(samples, dbfs)

    return make


def kinds(samples, phrase: str = "computer", **measured) -> tuple[str, ...]:
    return check_take(samples, [phrase], **measured).kinds


def test_a_good_take_has_no_problem_and_its_measurements_are_right(take):
    check = check_take(take(), ["computer"])
    assert check.ok
    assert check.word == pytest.approx((0.5, 1.07), abs=0.06)
    assert check.seconds == pytest.approx(1.6)
    assert check.peak_db == pytest.approx(-6.0, abs=0.1)
    assert check.snr_db > 25.0


def test_silence_and_a_room_without_speech_are_told_apart():
    assert kinds(np.zeros(2 * RATE, np.float32)) == ("silent",)
    room = 0.01 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    assert kinds(room) == ("no speech",)
    assert kinds(np.zeros(0, np.float32)) == ("silent",)


def test_a_clipped_take_is_found_and_so_is_one_that_was_clipped_before_its_rate_was_converted(take):
    assert kinds(np.clip(4.0 * take(), -1.0, 1.0)) == ("clipped",)
    assert kinds(take(), clipped=0.01) == ("clipped",)


def test_quiet_and_noisy_takes_are_found(take):
    assert kinds(take(-48.0)) == ("quiet",)
    assert kinds(take(snr_db=5.0)) in (("noisy",), ("no speech",))


def test_words_that_are_too_short_or_too_long_are_found(take, said):
    assert kinds(take(word=said.spoken("oe")), "abracadabra abracadabra") == ("short",)
    assert kinds(take(word=np.concatenate([said.spoken(), said.spoken()] * 2)), "hey") == ("long",)


def test_a_take_that_is_cut_off_at_either_end_is_found(take):
    samples = take()
    assert kinds(samples[round(0.55 * RATE) :]) == ("cut off",)
    assert kinds(samples[: round(0.95 * RATE)]) == ("cut off",)


def test_every_problem_is_a_sentence_with_a_remedy_and_the_check_is_json(take):
    check = check_take(take(-48.0), ["computer"])
    problem = check.problems[0]
    assert str(problem) == f"{problem.sentence} {problem.remedy}"
    assert all(text[0].isupper() and text[-1] in ".?" for text in (problem.sentence, problem.remedy))
    document = check.to_json()
    assert document["problems"][0]["kind"] == "quiet"
    assert check_take(np.zeros(RATE, np.float32), []).to_json()["peak_db"] is None
