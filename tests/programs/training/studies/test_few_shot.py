import json

import numpy as np
import pytest
import soundfile
import torch

from speechtl.errors import reported

RATE = 16_000


def tone(hertz: float, random) -> np.ndarray:
    """A clip of a second with a tone in the middle, which stands for a word."""
    samples = random.normal(0, 0.0005, RATE)
    samples[4000:11200] += 0.3 * np.sin(2 * np.pi * hertz * np.arange(7200) / RATE)
    return samples


@pytest.fixture
def words(tmp_path):
    """A manifest of the words low, mid and high, of another word, and of silence, by six people."""
    random, lines = np.random.default_rng(0), []
    labels = {"low": 300.0, "mid": 900.0, "high": 2700.0, "unknown": 600.0, "new": 1500.0, "silence": 0.0}
    for person in range(6):
        for label, hertz in labels.items():
            path = tmp_path / f"{label}-{person}.wav"
            soundfile.write(path, tone(hertz * random.uniform(0.95, 1.05), random), RATE)
            text = {"unknown": {"text": "other"}, "silence": {}}.get(label, {"text": label})
            lines.append({"audio_filepath": path.name, "duration": 1.0, "label": label, "speaker": f"p{person}", **text})
    (tmp_path / "words.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "words.jsonl"


@pytest.fixture
def program(load_program, known_tiny, monkeypatch):
    torch.set_num_threads(1)
    module = load_program("training/studies/few_shot")
    monkeypatch.setattr(module, "TRAINED", 8)
    return module


@pytest.fixture
def arguments(words, tmp_path):
    given = ["--manifests", str(words), "--words", "low", "mid", "high", "--unheard", "new", "--encoders", "tiny"]
    return [*given, "--folds", "3", "--draws", "1", "--out", str(tmp_path / "out")]


def test_clips_are_in_their_classes_and_nobody_is_learned_and_tested(program, words):
    clips = program.gather([words], ["low", "mid", "high"], ["new", "other"])
    assert clips.names == ["low", "mid", "high", "silence"]  # all unknown clips are of an unheard word
    clips = program.gather([words], ["low", "mid", "high"], ["new"])
    assert clips.names == ["low", "mid", "high", "unknown", "silence"]
    assert clips.classes.count(None) == 6
    trials = list(program._trials(clips, 2, 3, 1))
    for learned, tested in trials:
        assert not {clips.groups[index] for index in learned} & {clips.groups[index] for index in tested}
        assert [clips.classes[index] for index in learned] == [name for name in clips.names for _ in range(2)]
    assert sorted(index for _, tested in trials for index in tested) == list(range(36))


def test_a_table_is_printed_and_embeddings_are_kept(program, arguments, monkeypatch, capsys):
    found = program.main([*arguments, "--shots", "1", "2"])
    assert list(found) == [("tiny", 1), ("tiny", 2)]
    assert all(0.0 <= share <= 1.0 for result in found["tiny", 2] for share in (result.accuracy, result.found, result.auc))
    printed = capsys.readouterr().out
    assert "found at 5% accepted" in printed
    assert "BC-ResNet" not in printed  # other words than the published figures
    monkeypatch.setattr(program, "_embed", lambda *_: 1 / 0)
    assert program.main([*arguments, "--shots", "1", "2"]) == found


def test_classes_that_are_far_apart_are_learned_from_few_clips_and_others_rejected(program):
    classes = ["a"] * 20 + ["b"] * 20 + ["unknown"] * 20 + [None] * 20
    clips = program.Clips([None] * 80, classes, ["p"] * 80, ["a", "b"])
    centres = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0], [1.0, 1.0, 9.0]]).repeat_interleave(20, dim=0)
    embedded = centres + torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    learned = [*range(4), *range(20, 24), *range(40, 44)]
    result = program.try_out(embedded, clips, learned, list(range(80)))
    assert (result.accuracy, result.found) == (1.0, 1.0)
    assert result.auc == 1.0


def test_what_is_embedded_ends_after_the_word_with_silence_around_the_clip(program):
    samples = np.arange(10, dtype=np.float32)
    assert program._ending(samples, 6, 4).tolist() == [2, 3, 4, 5]
    assert program._ending(samples, 12, 4).tolist() == [8, 9, 0, 0]
    assert program._ending(samples, 2, 4).tolist() == [0, 0, 0, 1]


def test_wrong_words_and_too_few_clips_are_one_sentence(program, arguments, capsys):
    assert reported(lambda: program.main([*arguments, "--words", "lowest"])) == 2
    assert "that is on this machine has the label 'lowest'." in capsys.readouterr().err
    assert reported(lambda: program.main([*arguments, "--shots", "50"])) == 2
    assert "Other folds have 4 clips of 'low', not 50; give fewer --shots." in capsys.readouterr().err
