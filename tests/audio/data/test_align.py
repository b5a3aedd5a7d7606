import json

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.align import align_manifest, find_word

RATE = 16_000
TOLERANCE = 0.06  # seconds


def syllable(seconds: float, hertz: float) -> np.ndarray:
    """Return harmonics under an envelope that rises in 20 ms and falls in 40 ms, at an RMS of about 1."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in (1, 2, 3, 5, 8))
    envelope = np.minimum(1, np.minimum(time / 0.02, (seconds - time) / 0.04))
    return tone * envelope / np.std(tone * envelope)


def clip(seconds: float, syllables: list[tuple[float, float]], snr: float, noise_after: float = 1.0) -> np.ndarray:
    """Return noise with syllables (start, end) that are `snr` dB above it; `noise_after` scales it after the last one."""
    noise = np.random.default_rng(3).normal(0, 0.01, round(seconds * RATE))
    noise[round(syllables[-1][1] * RATE) if syllables else len(noise) :] *= noise_after
    for number, (start, end) in enumerate(syllables):
        sound = syllable(end - start, 300 + 150 * number) * 0.01 * 10 ** (snr / 20)
        noise[round(start * RATE) : round(start * RATE) + len(sound)] += sound
    return noise.astype(np.float32)


@pytest.mark.parametrize("snr", [10, 15, 20, 30, 40])
@pytest.mark.parametrize(
    "syllables",
    [
        [(1.0, 1.5)],
        [(0.3, 0.5), (0.56, 0.75), (0.8, 1.05)],
        [(1.2, 1.5), (1.68, 2.1)],  # two words of one phrase
        [(2.2, 2.4), (2.45, 2.7)],  # near the end
    ],
)
def test_the_limits_of_a_word_are_found_within_60_ms(syllables, snr):
    start, end = find_word(clip(3.0, syllables, snr))
    assert start == pytest.approx(syllables[0][0], abs=TOLERANCE)
    assert end == pytest.approx(syllables[-1][1], abs=TOLERANCE)


def test_a_click_far_from_the_word_is_left_out():
    samples = clip(3.0, [(1.0, 1.3), (1.35, 1.6)], 25)
    samples[int(2.5 * RATE) : int(2.5 * RATE) + 40] = 0.9
    assert find_word(samples) == pytest.approx((1.0, 1.6), abs=TOLERANCE)


def test_the_longer_and_stronger_of_two_sounds_is_the_word():
    samples = clip(4.0, [(2.5, 2.75), (2.8, 3.2)], 30)
    samples[round(0.5 * RATE) : round(0.8 * RATE)] += (syllable(0.3, 200) * 0.01 * 10 ** (15 / 20)).astype(np.float32)
    assert find_word(samples) == pytest.approx((2.5, 3.2), abs=TOLERANCE)


def test_background_that_is_softer_after_the_word_does_not_move_its_start():
    assert find_word(clip(3.5, [(1.5, 1.8), (1.85, 2.1)], 25, noise_after=0.05)) == pytest.approx((1.5, 2.1), abs=TOLERANCE)


def test_padding_with_digital_silence_says_nothing_about_the_background():
    samples = np.concatenate([clip(2.0, [(0.8, 1.4)], 20), np.zeros(RATE, np.float32)])
    assert find_word(samples) == pytest.approx((0.8, 1.4), abs=TOLERANCE)


@pytest.mark.parametrize("samples", [clip(2.0, [], 0), np.zeros(RATE, np.float32), np.zeros(0, np.float32), clip(2.0, [], 0)[:300]])
def test_nothing_is_found_where_nothing_stands_out(samples):
    assert find_word(samples) is None


def test_a_manifest_gets_limits_where_it_has_none_and_one_word(tmp_path):
    soundfile.write(tmp_path / "word.wav", clip(3.0, [(1.0, 1.6)], 30), RATE)
    soundfile.write(tmp_path / "quiet.wav", clip(3.0, [], 30), RATE)
    word = {"audio_filepath": "word.wav", "duration": 3.0, "label": "computer"}
    lines = [
        word,
        word | {"text": "Computer"},
        word | {"word_start": 0.1, "word_end": 0.2},
        word | {"text": "computer lights on"},
        word | {"label": "silence"},
        word | {"audio_filepath": "quiet.wav"},
        word | {"audio_filepath": "missing.wav"},
    ]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    done = align_manifest(path)
    written = [json.loads(text) for text in path.read_text().splitlines()]
    assert [(entry["word_start"], entry["word_end"]) for entry in written[:2]] == [pytest.approx((1.0, 1.6), abs=TOLERANCE)] * 2
    assert written[2:] == lines[2:]
    assert (done.found, done.kept) == (2, 3)
    assert [reason.split(".wav")[0] for _, reason in done.not_found] == ["nothing stands out from the background.", "missing"]
    assert written[0]["word_start"] == round(written[0]["word_start"], 3)


def test_recordings_without_usable_samples_are_listed_with_the_reason(tmp_path):
    broken = {"nan": np.array([0.1, np.nan] * RATE), "short": np.full(1, 0.5), "mute": np.zeros(2 * RATE)}
    for name, samples in broken.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 48_000 if name == "short" else RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "middle.wav", np.insert(np.zeros(2 * RATE), 100, np.inf), RATE, subtype="FLOAT")
    (tmp_path / "empty.wav").write_bytes(b"")
    names = [*broken, "middle", "empty"]
    lines = [{"audio_filepath": f"{name}.wav", "duration": 0.00002 if name == "short" else 2.0, "label": "word"} for name in names]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    reasons = {clip.audio_filepath: reason for clip, reason in align_manifest(tmp_path / "m.jsonl").not_found}
    assert list(reasons) == [f"{name}.wav" for name in names]
    assert all("not numbers" in reasons[f"{name}.wav"] for name in ("nan", "middle"))
    assert reasons["mute.wav"] == reasons["short.wav"] == "nothing stands out from the background."
    assert reasons["empty.wav"].endswith("is empty (0 bytes).")
