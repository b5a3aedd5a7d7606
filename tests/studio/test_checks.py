import numpy as np
import pytest
import soundfile

from speechtl.studio.checks import BARS, Checks, peaks


@pytest.fixture
def checks():
    made = Checks()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("samples", "problems"),
    [
        (np.zeros(16_000), ["silent"]),
        (np.random.default_rng(0).normal(0, 0.01, 16_000), ["no speech"]),
        (np.sign(np.sin(np.arange(16_000) / 20)), ["clipped"]),
    ],
    ids=["silence", "noise", "full scale"],
)
def test_a_take_is_checked_and_its_problem_comes_with_a_remedy(checks, tmp_path, samples, problems):
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    found = checks.now(tmp_path / "a.wav", ["burst"])["problems"]
    assert [one["kind"] for one in found][:1] == problems
    assert all(one["text"].endswith((".", "%")) and one["remedy"] for one in found)


def test_what_is_not_the_word_needs_none(checks, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.01, 16_000), 16_000)
    assert checks.now(tmp_path / "a.wav", ())["problems"] == []


def test_a_file_is_looked_at_once_until_it_changes(checks, tmp_path, monkeypatch):
    from speechtl.audio.data import folder_check

    looked = []
    monkeypatch.setattr("speechtl.studio.checks.look_at", lambda path: looked.append(path) or folder_check.look_at(path))
    for seconds in (1, 1, 2):
        soundfile.write(tmp_path / "a.wav", np.zeros(16_000 * seconds), 16_000)
        for _ in range(2):
            assert checks.now(tmp_path / "a.wav", ())["seconds"] == seconds
    assert len(looked) in (2, 3)  # a file that was written again may have the same time


def test_a_waveform_has_the_peaks_of_its_parts():
    samples = np.zeros(BARS * 10, np.float32)
    samples[15] = -0.5
    assert peaks(samples) == [0, 50, *[0] * (BARS - 2)]
    assert peaks(samples[:0]) == []


def test_a_take_that_sounds_different_is_found_once_all_are_known(checks, tmp_path, said):
    pytest.importorskip("torch", reason="torch is not installed")
    words = [said.spoken(pitch=100.0 + 4 * number) for number in range(5)]
    for number, samples in enumerate([*words, np.concatenate([words[0][::-1], words[1][::-1]])]):
        soundfile.write(tmp_path / f"{number}.wav", said.with_pauses([samples], [0.4], 40.0, seed=number), 16_000)
    paths = sorted(tmp_path.glob("*.wav"))
    for path in paths:
        checks.now(path, ["burst"])
    checks.differing({"anna": paths}, ["burst"])
    checks._slow.submit(lambda: None).result()
    assert set(checks.differing({"anna": paths}, ["burst"])) <= {paths[-1]}
