import numpy as np
import pytest

from speechtl.audio.recording.agreement import TakeEncoder, disagreeing, disagreement, disagreement_problem


@pytest.fixture(scope="module")
def encoder():
    return TakeEncoder()


@pytest.fixture
def embedded(encoder, said):
    """Return the function that embeds a word of vowels with a certain pitch and speed."""

    def embed(vowels: str, pitch: float = 120.0, speed: float = 1.0):
        word = said.spoken(vowels, pitch, speed)
        return encoder.embed(said.with_pauses([word], [0.5], 40.0, seed=round(pitch)), (0.5, 0.5 + len(word) / 16_000))

    return embed


def test_another_word_disagrees_and_the_same_one_at_another_pitch_and_speed_does_not(embedded):
    own = [embedded("oue", pitch, speed) for pitch, speed in ((110, 1.0), (118, 1.05), (125, 0.95))]
    assert disagreement_problem(embedded("oue", 121, 1.02), own) is None
    problem = disagreement_problem(embedded("iii", 120), own)
    assert problem.kind == "different"
    assert "sounds different from the others" in str(problem)


def test_nothing_is_said_about_takes_that_can_be_compared_with_fewer_than_three(embedded):
    assert disagreement_problem(embedded("iii"), [embedded("oue", 110), embedded("oue", 120)]) is None
    assert disagreement_problem(embedded("iii"), [embedded("oue", 110)], [embedded("oue", 120), embedded("oue", 125)]) is not None


def test_the_one_other_word_in_a_list_is_found(embedded):
    takes = [embedded("oue", pitch) for pitch in (108, 113, 119, 124)]
    assert disagreeing([*takes[:2], embedded("iii"), *takes[2:]]) == [2]
    assert disagreeing(takes[:3]) == []


def test_disagreement_is_the_median_distance_less_half_the_spread_of_the_others():
    x, y = np.eye(2, dtype=np.float32)
    assert disagreement(x, [y, y, y]) == pytest.approx(1.0)
    assert disagreement(x, [x, x, y]) == pytest.approx(0.0 - 0.5)


@pytest.mark.real
def test_in_real_takes_of_one_speaker_another_word_is_found(encoder, real_clips):
    from speechtl.runtime.sound.files import read_audio

    def embed(clip):
        return encoder.embed(read_audio(clip.path), (clip.word_start, clip.word_end))

    own = [embed(clip) for clip in real_clips("wake_computer", 200) if clip.speaker == "pv-mix26"][:6]
    other = next(embed(clip) for clip in real_clips("wake_jarvis", 200) if clip.speaker == "pv-mix26")
    assert len(own) > 3
    assert disagreeing([*own, other]) == [len(own)]
