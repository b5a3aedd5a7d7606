import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.clips import read_clips, says
from speechtl.audio.recipe import make_recipe
from speechtl.audio.training import selection as module
from speechtl.audio.training.selection import HELD_OUT, prepare
from speechtl.errors import ManifestError

RATE = 16_000


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECHTL_DATA", raising=False)


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest and its recordings; every line is a dict, `duration` 1 s by default."""

    def write(name: str, lines: list[dict]):
        (tmp_path / name).mkdir()
        full = []
        for index, line in enumerate(lines):
            line = {"audio_filepath": f"{name}/{index}.wav", "duration": 1.0, **line}
            samples = np.random.default_rng([*name.encode(), index]).normal(0, 0.05, round(line["duration"] * RATE))
            samples[: len(samples) // 2] /= 50.0  # steady noise would be taken for a take without a word
            soundfile.write(tmp_path / line["audio_filepath"], samples, RATE)
            full.append(json.dumps(line) + "\n")
        (tmp_path / f"{name}.jsonl").write_text("".join(full))
        return tmp_path / f"{name}.jsonl"

    return write


def people(count: int, clips: int = 2, **others) -> list[dict]:
    return [{"speaker": f"p{person}", **others} for person in range(count) for _ in range(clips)]


def talk(count: int = 8, seconds: float = 30.0, **others) -> list[dict]:
    return [{"speaker": f"n{person}", "duration": seconds, **others} for person in range(count)]


def recipe(positives, negatives, **data):
    values = {"name": "word", "data": {"positives": [str(positives)], "negatives": [str(negatives)], **data}}
    return make_recipe(values, base=positives.parent, source="test")


def files(recordings) -> set[str]:
    return {recording.clip.audio_filepath for recording in recordings}


def speakers(recordings) -> set[str]:
    return {recording.clip.speaker for recording in recordings}


def test_lines_of_the_test_split_are_never_used(manifest):
    positives = manifest("p", people(6) + [{"speaker": f"t{person}", "split": "test"} for person in range(2)])
    negatives = manifest("n", [*talk(), {"speaker": "t2", "duration": 30.0, "split": "test"}])
    noise = manifest("x", [{"split": "test"}, {}, {}, {}])
    data = prepare(recipe(positives, negatives, noise=[str(noise)]), log=lambda text: None)
    used = data.clips()
    assert used
    assert not [clip for clip in used if clip.split == "test"]
    assert len([clip for clip in used if clip.audio_filepath.startswith("p/")]) == 12
    assert len([clip for clip in used if clip.audio_filepath.startswith("x/")]) == 3


def test_who_is_tested_on_in_one_manifest_is_left_out_of_all_others_with_a_note(manifest):
    positives = manifest("p", people(6))
    negatives = manifest("n", [*talk(), {"speaker": "p3", "duration": 30.0, "split": "test"}])
    notes: list[str] = []
    data = prepare(recipe(positives, negatives), notes.append)
    assert speakers(data.positives) == {"p0", "p1", "p2", "p4", "p5"}
    assert any("Left out 2 positives" in note and "'test'" in note for note in notes)


def test_a_recording_that_is_tested_on_under_another_name_is_left_out(manifest):
    positives = manifest("p", [*people(6), {"sha256": "ab" * 32}])
    tested = manifest("q", [{"sha256": "ab" * 32, "split": "test"}, {"speaker": "q0"}])
    made = recipe(positives, manifest("n", talk()))
    both = made.model_copy(update={"data": made.data.model_copy(update={"positives": [positives, tested]})})
    assert len(prepare(both, log=lambda text: None).positives) == 13  # 12 of p, and q0


def test_a_recording_given_as_the_word_and_as_something_else_is_no_negative(manifest):
    positives = manifest("p", [{"speaker": f"p{index}", "sha256": f"{index:064x}"} for index in range(6)])
    negatives = manifest("n", [*talk(), {"speaker": "p2", "sha256": f"{2:064x}"}])
    notes: list[str] = []
    data = prepare(recipe(positives, negatives), notes.append)
    assert len(data.positives) == 6
    assert "p2" not in speakers(data.negatives)
    assert any("Left out 1 negative that was already given" in note for note in notes)


def folds(recordings) -> dict[str, set[int]]:
    """Return for every speaker the folds that its recordings are in."""
    found: dict[str, set[int]] = {}
    for recording in recordings:
        found.setdefault(recording.clip.speaker, set()).add(recording.fold)
    return found


def with_seed(recipe, seed: int):
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})


@pytest.mark.parametrize("seed", range(3))
def test_no_speaker_is_in_two_folds(manifest, seed):
    positives = manifest("p", people(8))
    negatives = manifest("n", talk(8) + [{"speaker": f"p{person}", "duration": 20.0} for person in range(8)])
    data = prepare(with_seed(recipe(positives, negatives), seed), log=lambda text: None)
    found = folds([*data.positives, *data.negatives])
    assert len(found) == 16
    assert all(len(own) == 1 for own in found.values())
    assert {recording.fold for recording in data.positives} == {recording.fold for recording in data.negatives} == {0, 1, 2, 3}
    seconds = [sum(recording.seconds for recording in data.negatives if recording.fold == fold) for fold in range(4)]
    assert max(seconds) <= 2 * min(seconds)


def test_marked_validation_lines_are_the_held_out_fold_and_their_speakers_are_in_no_other(manifest):
    positives = manifest("p", people(6, split="train") + [{"speaker": f"v{person}", "split": "validation"} for person in range(3)])
    negatives = manifest("n", talk(8) + [{"speaker": f"{kind}{person}", "duration": 20.0} for kind in "pv" for person in range(3)])
    data = prepare(recipe(positives, negatives), log=lambda text: None)
    assert data.marked
    assert speakers(recording for recording in data.positives if recording.fold == HELD_OUT) == {"v0", "v1", "v2"}
    assert all(len(own) == 1 for own in folds([*data.positives, *data.negatives]).values())


def test_lines_without_a_mark_are_learned_from_where_others_are_marked(manifest):
    positives = manifest("p", [*people(6), {"speaker": "v", "split": "validation"}])
    negatives = manifest("n", [*talk(4), {"speaker": "w", "duration": 40.0, "split": "validation"}])
    data = prepare(recipe(positives, negatives), log=lambda text: None)
    assert speakers(recording for recording in data.positives if recording.fold == HELD_OUT) == {"v"}
    assert speakers(recording for recording in data.negatives if recording.fold == HELD_OUT) == {"w"}


def test_marks_in_the_negatives_alone_leave_negatives_for_every_fold(manifest):
    negatives = manifest(
        "n", talk(8, split="train") + [{"speaker": f"v{person}", "duration": 40.0, "split": "validation"} for person in range(3)]
    )
    data = prepare(recipe(manifest("p", people(8)), negatives), log=lambda text: None)
    assert {recording.fold for recording in data.positives} <= {recording.fold for recording in data.negatives}
    assert all(len(own) == 1 for own in folds([*data.positives, *data.negatives]).values())


def test_with_one_speaker_the_clips_are_divided_with_a_note_and_the_negatives_by_speaker(manifest):
    positives = manifest("p", [{"speaker": "me"}] * 12)
    negatives = manifest("n", [{"speaker": f"n{person}", "duration": 10.0} for person in range(8) for _ in range(4)])
    notes = []
    data = prepare(recipe(positives, negatives), notes.append)
    assert len(folds(data.positives)["me"]) > 1
    assert any("the same speakers" in note for note in notes)
    assert all(len(own) == 1 for own in folds(data.negatives).values())


def test_some_noise_is_kept_for_validation_alone(manifest):
    data = prepare(recipe(manifest("p", people(8)), manifest("n", talk()), noise=[str(manifest("x", [{}] * 10))]), log=lambda text: None)
    assert (len(data.noise), len(data.validation_noise)) == (8, 2)
    assert not files(data.noise) & files(data.validation_noise)


def test_some_music_is_kept_for_validation_and_is_no_noise(manifest):
    music, noise = manifest("m", [*({} for _ in range(10)), {"split": "test"}]), manifest("x", [{}] * 5)
    made = recipe(manifest("p", people(8)), manifest("n", talk()), noise=[str(noise)], music=[str(music)])
    data = prepare(made, log=lambda text: None)
    assert (len(data.noise), len(data.validation_noise), len(data.music), len(data.validation_music)) == (4, 1, 8, 2)
    assert not files(data.music) & files(data.validation_music)
    assert {name[0] for name in files(data.music) | files(data.validation_music)} == {"m"}


def test_negatives_in_which_the_word_is_said_are_left_out_with_a_note(manifest):
    positives = manifest("p", people(6))
    said = [{"text": "Please, WORD."}, {"label": "word"}, {"text": "the word's end"}]
    kept = [{"text": "words and swords"}, {"text": "nothing"}]
    negatives = manifest("n", talk() + [{"speaker": "x", **line} for line in said + kept])
    notes = []
    data = prepare(recipe(positives, negatives), notes.append)
    texts = {clip.text or clip.label for clip in data.clips() if clip.speaker == "x"}
    assert texts == {"words and swords", "nothing"}
    assert "Left out 3 negatives" in " ".join(notes)


def test_no_more_negatives_are_taken_than_asked_for(manifest):
    data = prepare(recipe(manifest("p", people(6)), manifest("n", talk(20)), negative_minutes=5.0), log=lambda text: None)
    assert 200 < sum(recording.seconds for recording in data.negatives) <= 300


def test_all_negatives_are_taken_without_a_limit_and_each_kind_has_a_share_with_one(manifest):
    positives, large, small = manifest("p", people(6)), manifest("n", talk(20)), manifest("s", talk(4, seconds=10.0))
    made = make_recipe(
        {"name": "word", "data": {"positives": [str(positives)], "negatives": [str(large), str(small)]}},
        base=positives.parent,
        source="test",
    )
    assert sum(recording.seconds for recording in prepare(made, log=lambda text: None).negatives) == pytest.approx(640.0)
    limited = made.model_copy(update={"data": made.data.model_copy(update={"negative_minutes": 3.0})})
    seconds = {"n": 0.0, "s": 0.0}
    for recording in prepare(limited, log=lambda text: None).negatives:
        seconds[recording.clip.manifest.stem] += recording.seconds
    assert seconds == {"n": 120.0, "s": 30.0}  # shares of 143 s and 37 s


def test_negatives_that_were_not_drawn_are_for_validation_in_the_folds_of_their_speakers(manifest):
    lines = [{"speaker": f"talker{index % 8}", "duration": 15.0, "text": "more"} for index in range(40)]
    tested = [{"speaker": "tested", "duration": 15.0, "split": "test"}]
    positives, negatives = manifest("p", people(8)), manifest("n", [*lines, *tested])
    made = recipe(positives, negatives, negative_minutes=5.0)
    data = prepare(made, log=lambda text: None)
    assert files(data.unlearned).isdisjoint(files(data.negatives))
    assert files(data.unlearned) | files(data.negatives) == {f"n/{index}.wav" for index in range(40)}
    folds = {recording.clip.speaker: recording.fold for recording in data.negatives}
    assert all(folds[recording.clip.speaker] == recording.fold for recording in data.unlearned)
    assert {recording.clip for recording in data.unlearned} <= set(data.clips())
    everything = made.model_copy(update={"data": made.data.model_copy(update={"negative_minutes": None})})
    assert prepare(everything, log=lambda text: None).unlearned == []


def test_takes_of_a_few_people_are_in_all_folds_however_many_voices_there_are_beside_them(manifest):
    voices = [{"speaker": f"v{index}", "source": "synthesised"} for index in range(12)]
    positives = manifest("p", [*people(1, clips=8), *voices])
    notes = []
    data = prepare(recipe(positives, manifest("n", talk(8))), notes.append)
    assert {recording.fold for recording in data.positives if not recording.synthesised} == {0, 1, 2, 3}
    assert not data.apart
    (note,) = [note for note in notes if "fewer than 4 speakers" in note]
    assert note.endswith("expect worse results for new speakers.")


def test_no_more_negatives_are_validated_on_than_calibration_takes(manifest, monkeypatch):
    monkeypatch.setattr(module, "VALIDATED_SECONDS", 400.0)
    negatives = manifest("n", [{"speaker": f"talker{index % 8}", "duration": 15.0} for index in range(60)])
    data = prepare(recipe(manifest("p", people(8)), negatives, negative_minutes=5.0), log=lambda text: None)
    assert 60.0 < sum(recording.seconds for recording in data.unlearned) <= 400.0 - sum(recording.seconds for recording in data.negatives)


def test_lines_without_recordings_are_counted_for_each_manifest_and_left_out(manifest, tmp_path):
    positives, negatives = manifest("p", people(8)), manifest("n", talk(10))
    noise = manifest("x", [{}] * 3)
    for file in ("n/3.wav", "n/4.wav", *(f"x/{index}.wav" for index in range(3))):
        (tmp_path / file).unlink()
    notes: list[str] = []
    data = prepare(recipe(positives, negatives, noise=[str(noise)]), notes.append)
    assert len(data.negatives) == 8
    assert not data.noise + data.validation_noise
    for manifest_, count in ((negatives, "2 of 10"), (noise, "3 of 3")):
        assert any(f"Left out {count} lines of {manifest_}" in note and f"speechtl data pull {manifest_}" in note for note in notes)


def test_a_word_none_of_whose_recordings_is_here_is_an_error(manifest, tmp_path):
    positives, negatives = manifest("p", people(8)), manifest("n", talk(10))
    for index in range(16):
        (tmp_path / f"p/{index}.wav").unlink()
    with pytest.raises(ManifestError, match=r"None of the 16 recordings.*can be used"):
        prepare(recipe(positives, negatives), log=lambda text: None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_one_recording_that_is_too_long_does_not_shut_out_the_others(manifest, seed):
    negatives = manifest("n", talk(12) + [{"speaker": f"long{index}", "duration": 400.0} for index in range(4)])
    made = recipe(manifest("p", people(8)), negatives, negative_minutes=5.0)
    data = prepare(with_seed(made, seed), log=lambda text: None)
    assert sum(recording.seconds for recording in data.negatives) >= 240


def test_of_recordings_that_are_longer_than_all_negatives_parts_are_taken_with_a_note(manifest):
    negatives = manifest("n", [{"speaker": f"long{index}", "duration": 200.0} for index in range(4)])
    notes = []
    data = prepare(recipe(manifest("p", people(8)), negatives, negative_minutes=3.0), notes.append)
    assert [recording.seconds for recording in data.negatives] == pytest.approx([45.0] * 4)
    assert len({recording.clip.offset for recording in data.negatives}) == 4
    assert sum(note.startswith("Took 0.8 minutes of ") for note in notes) == 4


def test_a_recording_that_is_shorter_than_its_line_says_is_left_out(manifest, tmp_path):
    positives = manifest("p", people(6))
    soundfile.write(tmp_path / "p" / "3.wav", np.zeros(RATE // 2), RATE)
    notes = []
    data = prepare(recipe(positives, manifest("n", talk())), notes.append)
    assert len(data.positives) == 11
    assert any("cut short" in note for note in notes)


def test_recordings_are_recognised_whether_or_not_their_line_has_a_hash(manifest):
    clips = read_clips([manifest("p", people(2))])
    assert all(clip.short_hash for clip in clips)
    assert len({clip.short_hash for clip in clips}) == 4


@pytest.mark.parametrize(("phrase", "left"), [("word", 0), ("Hey, Word!", 1), ("hey word", 1), ("...", 2)])
def test_punctuation_of_phrase_and_text_makes_no_difference(manifest, phrase, left):
    clips = read_clips([manifest("n", [{"text": "Hey word, play"}, {"text": "some WORD"}])])
    assert sum(not says(clip, [phrase]) for clip in clips) == left


def test_a_person_tested_on_is_left_out_however_the_name_is_written(manifest):
    lines = [*people(6), {"speaker": "José  Q", "split": "test"}, {"speaker": "jose\u0301 q"}]
    notes = []
    data = prepare(recipe(manifest("p", lines), manifest("n", talk())), notes.append)
    assert {recording.clip.person for recording in data.positives} == {f"{line['speaker']}".casefold() for line in people(6)}
    assert any("in split 'test'" in note for note in notes)


def test_whether_speakers_are_apart_is_known(manifest):
    negatives = manifest("n", talk())
    for name, lines, apart in (("p", people(6), True), ("q", people(2, clips=4), False), ("r", [{} for _ in range(12)], False)):
        notes = []
        assert prepare(recipe(manifest(name, lines), negatives), notes.append).apart is apart
        assert any("name no speaker" in note for note in notes) is (name == "r")


def test_too_few_positives_are_an_error_with_numbers(manifest):
    with pytest.raises(ManifestError, match="There are 3 positive recordings to train on; at least 5 are needed"):
        prepare(recipe(manifest("p", people(3, clips=1)), manifest("n", talk())), log=lambda text: None)


def test_too_few_negatives_are_an_error_with_numbers(manifest):
    with pytest.raises(ManifestError, match=r"There are 15 s of negatives.*at least 30 s are needed"):
        prepare(recipe(manifest("p", people(6)), manifest("n", talk(3, seconds=5.0))), log=lambda text: None)


def test_a_broken_recording_is_reported_and_left_out(manifest, tmp_path):
    positives = manifest("p", people(6))
    (tmp_path / "p" / "3.wav").write_bytes(b"broken")
    notes = []
    data = prepare(recipe(positives, manifest("n", talk())), notes.append)
    assert len(data.positives) == 11
    assert any("3.wav" in note and "Skipped" in note for note in notes)


def test_a_folder_stands_for_its_recordings_and_its_sub_folders_for_speakers(tmp_path):
    for name in ("anna/1.wav", "anna/2.flac", "ben/deep/1.ogg", "loose.wav", "notes.txt", ".hidden.wav"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / "f" / name).write_text("x")
        else:
            soundfile.write(tmp_path / "f" / name, np.zeros(RATE), RATE)
    clips = read_clips([tmp_path / "f"])
    assert {(clip.audio_filepath, clip.speaker) for clip in clips} == {
        ("anna/1.wav", "anna"),
        ("anna/2.flac", "anna"),
        ("ben/deep/1.ogg", "ben"),
        ("loose.wav", None),
    }
    assert all(clip.duration == pytest.approx(1.0) for clip in clips)


def test_a_recording_in_place_of_a_folder_is_taken_as_it_is(tmp_path):
    soundfile.write(tmp_path / "take.wav", np.zeros(2 * RATE), RATE)
    (clip,) = read_clips([tmp_path / "take.wav"])
    assert (clip.audio_filepath, clip.duration, clip.speaker, clip.path) == ("take.wav", 2.0, None, tmp_path / "take.wav")


def test_one_long_recording_given_by_itself_is_enough_of_negatives(manifest, tmp_path):
    positives = manifest("p", people(8))
    soundfile.write(tmp_path / "talk.wav", np.random.default_rng(0).normal(0, 0.05, 240 * RATE), RATE)
    data = prepare(recipe(positives, tmp_path / "talk.wav"), lambda _: None)
    assert {recording.fold for recording in data.negatives} == {0, 1, 2, 3}


def test_a_folder_without_recordings_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match="contains no recordings"):
        read_clips([tmp_path])


def test_takes_without_a_word_are_left_out_and_silent_noises_and_rooms_too(manifest, tmp_path):
    positives, negatives = manifest("p", people(8)), manifest("n", talk())
    noise, rooms = manifest("x", [{}, {}, {}]), manifest("r", [{}, {}])
    for index in range(4):
        soundfile.write(tmp_path / f"p/{index}.wav", np.random.default_rng(index).normal(0, 0.1, RATE), RATE)
    for index, file in enumerate(("x/1.wav", "r/1.wav")):
        soundfile.write(tmp_path / file, np.zeros(RATE + index), RATE)
    notes: list[str] = []
    data = prepare(recipe(positives, negatives, noise=[str(noise)], rooms=[str(rooms)]), notes.append)
    assert len(data.positives) == 12
    assert len(data.noise) + len(data.validation_noise) == 2
    assert files(data.rooms) == {"r/0.wav"}
    assert "Left out 4 recordings without a word: p/0.wav, p/1.wav, p/2.wav and 1 more." in notes
    assert "Left out 1 recording without any sound: r/1.wav." in notes


def test_takes_without_a_word_change_nothing_for_the_others(manifest, tmp_path):
    positives, negatives = manifest("p", people(8)), manifest("n", talk())
    lines = positives.read_text()
    alone = prepare(recipe(positives, negatives), lambda _: None)
    soundfile.write(tmp_path / "hiss.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    positives.write_text(json.dumps({"audio_filepath": "hiss.wav", "duration": 1.0, "speaker": "p9"}) + "\n" + lines)
    beside = prepare(recipe(positives, negatives), lambda _: None)
    for kind in ("positives", "negatives"):
        one, other = ([(recording.clip, recording.fold) for recording in getattr(data, kind)] for data in (alone, beside))
        assert one == other


def test_one_file_with_the_word_many_times_is_enough_to_train_and_validate_on(manifest, tmp_path, said):
    negatives = manifest("n", talk())
    (tmp_path / "words").mkdir()
    soundfile.write(tmp_path / "words" / "many.wav", said.with_pauses([said.spoken()] * 12, [1.0] * 12, 40.0), RATE)
    notes: list[str] = []
    data = prepare(recipe(tmp_path / "words", negatives), notes.append)
    assert [sum(recording.fold == fold for recording in data.positives) for fold in range(4)] == [3, 3, 3, 3]
    assert "Cut 1 recording at the pauses into 12 takes of the word: many.wav." in notes


def test_a_long_file_of_the_word_that_cannot_be_cut_is_named(manifest, tmp_path, said):
    negatives = manifest("n", talk())
    positives = manifest("p", people(8))
    soundfile.write(tmp_path / "one.wav", said.with_pauses([said.spoken()], [12.0], 40.0), RATE)
    values = {"name": "word", "data": {"positives": [str(positives), str(tmp_path / "one.wav")], "negatives": [str(negatives)]}}
    notes: list[str] = []
    prepare(make_recipe(values, base=tmp_path, source="test"), notes.append)
    assert any(note.startswith("Recordings of the word longer than 10 s") and "one take: one.wav." in note for note in notes)


def test_words_of_one_file_stay_in_its_fold_where_there_are_enough_files(manifest, tmp_path, said):
    negatives = manifest("n", talk())
    (tmp_path / "words").mkdir()
    for number in range(5):
        samples = said.with_pauses([said.spoken(pitch=100 + 10 * number)] * 3, [1.0] * 3, 40.0, number)
        soundfile.write(tmp_path / "words" / f"{number}.wav", samples, RATE)
    data = prepare(recipe(tmp_path / "words", negatives), lambda _: None)
    assert len(data.positives) == 15
    assert len({(recording.clip.audio_filepath, recording.fold) for recording in data.positives}) == 5


def test_the_folds_of_recorded_negatives_are_the_same_for_every_word(manifest):
    negatives = manifest("negatives", talk(9))
    spoken = manifest("spoken", [{"speaker": f"v{index}", "source": "synthesised"} for index in range(3)])
    folds = []
    for name, persons, others in (("one", 5, []), ("two", 7, [str(spoken)])):
        made = recipe(manifest(name, people(persons)), negatives)
        data = made.data.model_copy(update={"negatives": [*made.data.negatives, *map(Path, others)]})
        chosen = prepare(made.model_copy(update={"data": data}), lambda text: None)
        folds.append({one.clip.audio_filepath: one.fold for one in chosen.negatives if not one.synthesised})
    assert folds[0] == folds[1]
    assert len(set(folds[0].values())) == 4
