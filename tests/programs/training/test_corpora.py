import csv
import hashlib
import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.check import validate
from speechtl.audio.data.manifest import read_manifest
from speechtl.errors import ManifestError


@pytest.fixture
def program(load_program):
    return load_program("training/corpora")


@pytest.fixture
def clone(tmp_path, monkeypatch, program):
    """Commit files as the snapshot of a set; a number becomes a recording of that many seconds."""
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    def commit(name: str, files: dict[str, str | float]) -> Path:
        folder = tmp_path / f"clone of {name}"
        for number, (path, content) in enumerate(files.items()):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                target.write_text(content, encoding="utf-8")
            else:
                record(target, content, number)
        git(folder, "init", "-q")
        git(folder, "add", "-A")
        git(folder, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "all")
        corpus = program.CORPORA[name]
        made = git(folder, "rev-parse", "HEAD")
        monkeypatch.setitem(program.CORPORA, name, program.dataclasses.replace(corpus, commit=made))
        return folder / ".git"

    return commit


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def record(path: Path, seconds: float, seed: int) -> None:
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * 8000))
    raw = {"format": "RAW", "subtype": "ULAW"} if path.suffix == ".ulaw" else {}
    soundfile.write(path, samples, 8000, **raw)


def table(rows: list[dict[str, str]], delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def run(program, tmp_path: Path, name: str, clone: Path, *options: str):
    assert program.main([name, str(clone), "--out", str(tmp_path / "out"), *options]) == 0
    path = tmp_path / "out" / f"{name}.jsonl"
    report = validate([path])
    assert [str(problem) for problem in report.problems] == []
    return read_manifest(path)


def librispeech(*readers: int) -> dict[str, str | float]:
    folder = "LibriSpeech/train-clean-5"
    files: dict[str, str | float] = {}
    for reader in readers:
        files[f"{folder}/{reader}/7/{reader}-7.trans.txt"] = f"{reader}-7-0000 GOOD MORNING\n{reader}-7-0001 IT'S\n"
        files |= {f"{folder}/{reader}/7/{reader}-7-000{number}.flac": 0.5 + number for number in (0, 1)}
    return files


def test_read_sentences_get_text_speaker_address_hash_and_a_place_in_the_cache(program, clone, tmp_path):
    first, second = run(program, tmp_path, "mini_librispeech", clone("mini_librispeech", librispeech(19)))
    commit = program.CORPORA["mini_librispeech"].commit
    assert (first.audio_filepath, first.text, first.speaker, first.license) == (
        "mini_librispeech/19-7-0000.flac",
        "good morning",
        "ls-19",
        "CC-BY-4.0",
    )
    assert (second.text, second.duration) == ("it's", 1.5)
    path = "LibriSpeech/train-clean-5/19/7/19-7-0000.flac"
    assert first.url == f"https://raw.githubusercontent.com/zhangrui0712/Voice-Age/{commit}/{path}"
    assert first.source == f"github:zhangrui0712/Voice-Age@{commit}:{path}"
    assert first.path == tmp_path / "cache" / "audio" / first.sha256[:2] / f"{first.sha256}.flac"
    assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.sha256 == first.source_sha256


def test_a_speaker_is_in_one_split_and_a_fifth_of_them_are_for_testing(program, clone, tmp_path):
    clips = run(program, tmp_path, "mini_librispeech", clone("mini_librispeech", librispeech(*range(10))))
    splits = {clip.speaker: clip.split for clip in clips}
    assert sorted(splits.values()) == ["test"] * 2 + ["train"] * 7 + ["validation"]
    assert all(clip.split == splits[clip.speaker] for clip in clips)


def test_speakers_keep_their_split_and_recordings_are_listed_once(program, clone, tmp_path, capsys):
    repository = clone("mini_librispeech", librispeech(*range(5)))
    clips = run(program, tmp_path, "mini_librispeech", repository)
    tested = next(clip for clip in clips if clip.split == "test")
    (tmp_path / "out" / "mini_librispeech.jsonl").unlink()
    line = {"audio_filepath": "a.flac", "duration": 1.0, "speaker": tested.speaker, "sha256": tested.sha256}
    (tmp_path / "out" / "other.jsonl").write_text(json.dumps(line))
    again = run(program, tmp_path, "mini_librispeech", repository)
    assert tested.sha256 not in {clip.sha256 for clip in again}
    assert len(again) == len(clips) - 1
    assert {clip.split for clip in again if clip.speaker == tested.speaker} == {"train"}
    assert "listed already: 1" in capsys.readouterr().err


def voices(*clients: str) -> dict[str, str | float]:
    rows = [{"client_id": client, "path": f"cv_{client}.mp3", "sentence": f'"Bon jour", {client}'} for client in clients]
    return {"fr/validated.tsv": table(rows, "\t").replace('"""', '"').replace('""', '"')} | {
        f"fr/clips/cv_{client}.mp3": 1.0 for client in clients
    }


def named(*clients: str) -> list[str]:
    return [hashlib.sha1(client.encode()).hexdigest()[:12] for client in clients]


def test_only_listed_speakers_of_common_voice_are_taken(program, clone, tmp_path):
    (tmp_path / "speakers.txt").write_text("\n".join(named("ann")))
    repository = clone("common_voice", voices("ann", "bob"))
    (clip,) = run(program, tmp_path, "common_voice", repository, "--speakers", str(tmp_path / "speakers.txt"))
    assert (clip.speaker, clip.extra) == (f"cv-{named('ann')[0]}", {"language": "fr"})
    assert "ann" in (clip.text or "")
    manifest = tmp_path / "out" / "common_voice.jsonl"
    assert program.read_speakers(manifest) == frozenset(named("ann"))
    with pytest.raises(ManifestError, match=r"1 speaker must not be used, such as cv-"):
        program.check_speakers([clip], frozenset(named("bob")))


def test_common_voice_without_a_list_of_speakers_is_refused(program, clone, tmp_path):
    with pytest.raises(ManifestError, match="common_voice needs --speakers"):
        program.main(["common_voice", str(clone("common_voice", voices("ann"))), "--out", str(tmp_path / "out")])
    (tmp_path / "speakers.txt").write_text("ann\n")
    with pytest.raises(ManifestError, match="12 hexadecimal digits on every line, got 'ann'"):
        program.read_speakers(tmp_path / "speakers.txt")


def calls(**names: str) -> dict[str, str | float]:
    said = {"000": None, "001": "[click] Operator", "007": "{breath} call ThinkEngine [noise]", "008": "(( )) Onword"}
    entries = [
        {
            "sessionNumber": call.removeprefix("c"),
            "utteranceNumber": number,
            "filePath": f"calls/{call}/{call}_{number}.ulaw",
            "transcription": text or name,
            "startTime": 0.2,
            "endTime": 0.6,
        }
        for call, name in names.items()
        for number, text in said.items()
    ]
    return {"data.json": json.dumps({"entries": entries})} | {entry["filePath"]: 1.0 for entry in entries}


def test_calls_of_one_name_are_one_speaker_and_names_are_left_out(program, clone, tmp_path, capsys):
    names = {"c1": "Ralph Nordgren", "c2": "{smack} ralph nordgrin", "c3": "Ann Miller", "c4": "[static]"}
    clips = run(program, tmp_path, "wuw_calls", clone("wuw_calls", calls(**names)))
    assert {Path(clip.audio_filepath).stem[:2]: clip.speaker for clip in clips} == {
        "c1": "wuw-1",
        "c2": "wuw-1",
        "c3": "wuw-3",
        "c4": "wuw-4",
    }
    assert {(clip.text, clip.label) for clip in clips} == {("operator", "operator"), ("call think engine", None)}
    assert {(clip.word_start, clip.word_end, clip.duration) for clip in clips} == {(0.2, 0.6, 1.0)}
    assert all(clip.split == "train" for clip in clips if clip.speaker == "wuw-4")
    assert "not understood in all parts: 4" in capsys.readouterr().err


def test_only_free_clips_of_further_kinds_are_taken_from_esc50(program, clone, tmp_path):
    names = ["1-10-A-3.wav", "1-10-B-3.wav", "2-20-A-3.wav", "3-30-A-0.wav", "4-40-A-3.wav"]
    rows = [
        {"filename": name, "fold": name[0], "category": "door_knock", "esc10": str(name[0] == "3"), "src_file": name[2:4]} for name in names
    ]
    licences = dict(zip(names, ["CC0", "CC-BY", "CC-BY-NC", "CC0", "CC-Sampling"], strict=True))
    credits = "".join(f"- [{name[:6]}.ogg]: clip derived from a.wav [{licence}]\n" for name, licence in licences.items())
    files = {"LICENSE": credits, "meta/esc50.csv": table(rows, ",")} | {f"audio/{name}": 0.5 for name in names}
    clips = run(program, tmp_path, "noise_esc50", clone("noise_esc50", files))
    assert [(clip.audio_filepath, clip.license, clip.label) for clip in clips] == [
        ("noise_esc50/1-10-A-3.wav", "CC0-1.0", "door knock"),
        ("noise_esc50/1-10-B-3.wav", "CC-BY-3.0", "door knock"),
    ]
    assert len({clip.split for clip in clips}) == 1
    assert clips[0].extra == {"fold": 1, "origin": "freesound-10"}


def test_a_sound_that_two_collections_took_from_one_source_is_in_one_split(program, clone, tmp_path):
    link = "https://freesound.org/people/x/sounds/7/"
    rows = "".join(f"| [{name}](https://freesound.org/s/{number}/) | x | CC BY 4.0 |\n" for number, name in enumerate(["Boat", "Drops"]))
    mine = {f".github/assets/sounds/{name}.ogg": 0.5 for name in ("wind", "boat", "drops", "train")}
    run(program, tmp_path, "noise_noisekun", clone("noise_noisekun", {"README.md": f"| [Wind]({link}) | x | CC0 | - |\n{rows}"} | mine))
    manifest = tmp_path / "out" / "noise_noisekun.jsonl"
    manifest.write_text(manifest.read_text().replace('"split": "train"', '"split": "test"'))
    files = {"SOUNDS_LICENSING.md": f"| [Wind]({link}) | x | - | CC0\n", "data/resources/sounds/wind.ogg": 0.7}
    (clip,) = run(program, tmp_path, "noise_blanket", clone("noise_blanket", files))
    assert (clip.split, clip.license, clip.extra) == ("test", "CC0-1.0", {"origin": "freesound-7"})


def test_a_sound_without_a_licence_is_an_error(program, clone, tmp_path):
    files = {"README.md": "| [Boat](https://a.org/1) | x | CC0 |\n", ".github/assets/sounds/wind.ogg": 0.5}
    with pytest.raises(ManifestError, match=r"wind\.ogg is not in the table of licences"):
        program.main(["noise_noisekun", str(clone("noise_noisekun", files)), "--out", str(tmp_path / "out")])


def test_broken_and_absent_recordings_are_counted(program, clone, tmp_path, capsys):
    files = librispeech(2, 3) | {"LibriSpeech/train-clean-5/2/7/2-7-0001.flac": "no sound"}
    del files["LibriSpeech/train-clean-5/2/7/2-7-0000.flac"]
    run(program, tmp_path, "mini_librispeech", clone("mini_librispeech", files))
    printed = capsys.readouterr().err
    assert "broken: 1" in printed
    assert "not in the clone: 1" in printed


def test_a_folder_that_is_no_clone_is_an_error(program, tmp_path):
    with pytest.raises(ManifestError, match="is no clone that has the commit"):
        program.main(["noise_machines", str(tmp_path), "--out", str(tmp_path / "out")])


def test_a_corpus_without_any_recording_is_an_error(program, clone, tmp_path):
    files = {path: text for path, text in librispeech(1).items() if path.endswith(".txt")}
    with pytest.raises(ManifestError, match="contains no recording of mini_librispeech that can be used"):
        program.main(["mini_librispeech", str(clone("mini_librispeech", files)), "--out", str(tmp_path / "out")])


def test_effects_of_a_game_are_without_speech_and_each_has_a_free_licence(program, clone, tmp_path, capsys):
    folder = "sound/CC-Sounds"
    files = {f"{folder}/{path}.ogg": 0.5 for path in ("doors/a", "doors/b", "doors/c", "speech/zombie/hi", "rain/rain")}
    doors = "".join(
        f"| {name} | x | **{licence}** | https://freesound.org/s/9/ |\n"
        for name, licence in {"a.ogg": "CC0 1.0", "b": "CC-BY-3.0", "c.ogg": "Sampling Plus 1.0"}.items()
    )
    tables = {f"{folder}/doors/credits.md": doors, f"{folder}/rain/credits.md": "| rain.ogg | Ann | **CC BY 4.0** | by myself |\n"}
    clips = run(program, tmp_path, "noise_effects", clone("noise_effects", tables | files))
    assert [(clip.audio_filepath, clip.extra["origin"], clip.license) for clip in clips] == [
        ("noise_effects/doors_a.ogg", "freesound-9", "CC-BY-SA-4.0"),
        ("noise_effects/doors_b.ogg", "freesound-9", "CC-BY-SA-4.0"),
        ("noise_effects/rain.ogg", "Ann", "CC-BY-SA-4.0"),
    ]
    assert "not credited with a free licence: 1" in capsys.readouterr().err


def test_of_a_hall_the_first_channel_is_read(program, clone, tmp_path):
    (clip,) = run(program, tmp_path, "rir_halls", clone("rir_halls", {"impulseFiles/reverb/St. Ann's Church, York.wav": 0.5}))
    assert (clip.audio_filepath, clip.channel, clip.split) == ("rir_halls/reverb_St._Ann_s_Church_York.wav", 1, "test")
    assert (clip.label, clip.license) == ("St. Ann's Church, York", "CC-BY-4.0")
