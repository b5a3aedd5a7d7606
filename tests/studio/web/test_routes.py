import errno
import json

import pytest

from speechtl.studio import takes

TAKES = "/api/words/burst/data/word"


def names(client, kind="word"):
    return {one["speaker"]: [file["name"] for file in one["files"]] for one in client.get("/api/words/burst/data").json()[kind]}


def test_the_page_and_its_parts_are_served_without_outside_resources(client):
    page = client.get("/")
    assert "speechtl studio" in page.text
    from speechtl.studio.web.routes import STATIC

    for path in STATIC.iterdir():
        assert client.get(f"/static/{path.name}").status_code == 200
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert "http://" not in text
        assert "https://" not in text


def test_a_new_word_has_a_folder_and_what_is_spoken(client, project):
    assert client.post("/api/words", json={"phrase": "Hey  Marvin"}).json() == {"name": "hey_marvin"}
    assert project.word("hey_marvin").about["phrases"] == ["Hey Marvin"]
    assert [word["name"] for word in client.get("/api/project").json()["words"]] == ["burst", "hey_marvin"]
    again = client.post("/api/words", json={"phrase": "hey marvin"})
    assert (again.status_code, again.json()["error"]) == (409, "There is a word of the name hey_marvin already.")


@pytest.mark.parametrize("phrase", ["", "…", "../..", "x" * 101, "a\x1b[2J", 7, None])
def test_what_cannot_be_a_word_is_refused(client, project, phrase):
    answer = client.post("/api/words", json={"phrase": phrase})
    assert answer.status_code == 422
    assert answer.json()["error"].endswith(".")
    assert [word.name for word in project.words()] == ["burst"]


def test_a_take_is_stored_checked_and_played(client, take, word):
    answer = client.put(f"{TAKES}/Anna/t-1.wav", content=take)
    assert answer.status_code == 201
    about = answer.json()
    assert (about["speaker"], about["name"], about["check"]["problems"]) == ("Anna", "t_1.wav", [])
    assert about["check"]["seconds"] == 1.2
    assert max(about["check"]["wave"]) > 30
    assert (word.folder / "recordings" / "Anna" / "t_1.wav").read_bytes() == take
    played = client.get(f"{TAKES}/Anna/t_1.wav")
    assert (played.content, played.headers["content-type"]) == (take, "audio/wav")
    assert client.get(f"{TAKES}/Anna/t_1.wav", headers={"range": "bytes=0-3"}).content == b"RIFF"


def test_a_request_that_is_repeated_after_a_lost_answer_does_no_harm(client, take):
    assert client.put(f"{TAKES}/anna/a.wav", content=take).status_code == 201
    assert client.put(f"{TAKES}/anna/a.wav", content=take).status_code == 200
    other = client.put(f"{TAKES}/anna/a.wav", content=take[:44] + bytes(len(take) - 44))
    assert (other.status_code, "another recording of the name a.wav" in other.json()["error"]) == (409, True)
    assert client.get(f"{TAKES}/anna/a.wav").content == take


def test_a_removed_take_comes_back_and_two_windows_do_not_disagree(client, take):
    client.put(f"{TAKES}/anna/a.wav", content=take)
    assert client.delete(f"{TAKES}/anna/a.wav").status_code == 200
    assert names(client) == {"anna": []}
    second = client.delete(f"{TAKES}/anna/a.wav")
    assert (second.status_code, "Another window may have changed it" in second.json()["error"]) == (404, True)
    for _ in range(2):
        assert client.post(f"{TAKES}/anna/a.wav/restore").status_code == 200
    assert names(client) == {"anna": ["a.wav"]}


def test_a_speaker_is_kept_for_the_test_and_comes_back(client, take):
    client.put(f"{TAKES}/anna/a.wav", content=take)
    assert client.post("/api/words/burst/data/word/anna/keep").status_code == 200
    assert (names(client), names(client, "kept-word")) == ({}, {"anna": ["a.wav"]})
    client.put(f"{TAKES}/anna/b.wav", content=take)
    both = client.post("/api/words/burst/data/kept-word/anna/keep")
    assert (both.status_code, "anna is on both sides" in both.json()["error"]) == (409, True)


@pytest.mark.parametrize(
    ("name", "content", "status", "says"),
    [
        ("a.wav", b"this is no sound" * 100, 415, "a.wav is not an audio file"),
        ("a.wav", b"", 415, "empty"),
        ("a.exe", b"MZ", 415, "not a recording that can be read"),
        ("a.html", b"<script>alert(1)</script>", 415, "not a recording that can be read"),
        (".wav", b"RIFF", 415, "not a recording"),
    ],
)
def test_what_is_no_sound_is_refused_and_leaves_nothing(client, word, name, content, status, says):
    answer = client.put(f"{TAKES}/anna/{name}", content=content)
    assert (answer.status_code, says in answer.json()["error"]) == (status, True)
    assert str(word.folder) not in answer.json()["error"]
    assert [path for path in word.folder.rglob("*") if path.is_file() and path.name != "word.json"] == []


def test_an_upload_that_is_too_large_is_refused_before_and_while_it_comes(client, word, monkeypatch):
    answer = client.put(f"{TAKES}/anna/a.wav", content=b"x", headers={"content-length": str(2 * 10**9)})
    assert (answer.status_code, "1.0 GB at most" in answer.json()["error"]) == (413, True)
    monkeypatch.setattr(takes.store, "__defaults__", (1000,))
    answer = client.put(f"{TAKES}/anna/a.wav", content=iter([b"x" * 600] * 2))
    assert answer.status_code == 413
    assert list(word.folder.rglob("*.wav")) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(client, word, take, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    answer = client.put(f"{TAKES}/anna/a.wav", content=take)
    assert (answer.status_code, answer.json()["error"].startswith("The disk of the computer is full.")) == (507, True)
    assert list(word.folder.rglob("*.wav")) == []
    monkeypatch.undo()
    assert client.put(f"{TAKES}/anna/a.wav", content=take).status_code == 201


HOSTILE = ["%2e%2e", "..%2f..%2fsecret.wav", "%2fetc%2fpasswd", "a%00.wav", "%5c..%5csecret.wav", ".hidden.wav", "link.wav"]


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_outside_of_the_project_is_readable(client, word, take, name):
    secret = word.folder.parent.parent / "secret.wav"
    secret.write_bytes(take)
    client.put(f"{TAKES}/anna/a.wav", content=take)
    (word.folder / "recordings" / "anna" / "link.wav").symlink_to(secret)
    for path in (
        f"{TAKES}/anna/{name}",
        f"{TAKES}/{name}/secret.wav",
        f"/report/burst/1/{name}",
        f"/api/words/{name}/data/word/x/secret.wav",
    ):
        assert client.get(path).status_code == 404
    assert client.delete(f"{TAKES}/anna/{name}").status_code in (404, 405)
    assert client.get(f"/static/{name}").status_code == 404
    assert secret.read_bytes() == take


HOSTILE_SPEAKERS = ["..%2f..%2fx", "%2e%2e", "<img src=x onerror=alert(1)>", "a%1b%5b2J", "%e2%80%aeevil", "$(reboot)", "%00", "x" * 300]


@pytest.mark.parametrize("speaker", HOSTILE_SPEAKERS)
def test_hostile_names_of_speakers_are_refused(client, word, take, speaker):
    answer = client.put(f"{TAKES}/{speaker}/a.wav", content=take)
    assert answer.status_code in (404, 405, 422)
    assert list(word.folder.rglob("*.wav")) == []


def test_people_are_called_what_they_are_called(client, word, take):
    for speaker in ("Åsa Öberg", "田中", "speaker-1"):
        assert client.put(f"{TAKES}/{speaker}/a.wav", content=take).json()["speaker"] == speaker
    assert set(names(client)) == {"Åsa Öberg", "田中", "speaker-1"}


def test_recordings_put_into_the_folder_by_hand_are_listed_whatever_their_names(client, word, take):
    folder = word.folder / "recordings" / "Åsa & <b>Co"
    folder.mkdir(parents=True)
    (folder / "take 1.wav").write_bytes(take)
    (word.folder / "recordings" / "loose.wav").write_bytes(take)
    assert names(client) == {"": ["loose.wav"], "Åsa & <b>Co": ["take 1.wav"]}
    assert client.get(f"{TAKES}/-/loose.wav").content == take
    assert client.get(f"{TAKES}/%C3%85sa%20%26%20%3Cb%3ECo/take%201.wav").content == take


def test_a_name_that_is_no_text_hides_no_other(client, word, take):
    for folder in ("recordings", "recordings/\udcff", "clips"):
        (word.folder / folder).mkdir(exist_ok=True)
        for name in ("a.wav", "\udcfe.wav"):
            (word.folder / folder / name).write_bytes(take)
    assert names(client) == {"": ["a.wav", "?.wav"], "?": ["a.wav", "?.wav"]}
    assert [clip["name"] for clip in client.get("/api/words/burst/inbox").json()["clips"]] == ["a.wav"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"nul", b"[" * 100_000, b"\xff\xfe", json.dumps({"phrase": "x" * 200_000}).encode()])
def test_a_request_that_is_no_json_object_is_one_sentence(client, body):
    answer = client.post("/api/words", content=body)
    assert answer.status_code in (400, 413)
    assert answer.json()["error"].endswith(".")


def test_a_mistake_of_ours_is_told_in_the_terminal_and_not_to_the_page(client, monkeypatch, capsys):
    def broken(_word):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("speechtl.studio.ship.certificate", broken)
    answer = client.get("/api/words/burst/certificate")
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_phones_find_the_studio_by_a_code_only_with_lan(client):
    assert client.get("/api/phone.svg").status_code == 404


def test_the_code_of_a_studio_in_the_network_is_a_picture(project):
    import asyncio
    from types import SimpleNamespace

    from speechtl.studio.web.routes import _code

    answer = asyncio.run(_code(SimpleNamespace(phone="https://192.168.1.7:8300/?token=abc"), None))
    assert answer.body.startswith(b"<?xml")
    assert b"<path" in answer.body


def test_the_bundle_is_downloaded_with_what_it_states(client, word, tiny_bundle):
    missing = client.get("/api/words/burst/bundle")
    assert (missing.status_code, "train the word first" in missing.json()["error"]) == (404, True)
    word.bundle.write_bytes(tiny_bundle.read_bytes())
    answer = client.get("/api/words/burst/bundle")
    assert (answer.content, "burst.wake" in answer.headers["content-disposition"]) == (tiny_bundle.read_bytes(), True)
    about = client.get("/api/words/burst/certificate").json()
    assert about["words"] == [{"name": "burst", "phrases": ["burst"], "threshold": 0.5}]
    assert all(one["ok"] for one in about["stated"]["parity"])
    assert about["previous"] is False
    word.bundle.with_name("burst.wake.previous").touch()
    assert client.get("/api/words/burst/certificate").json()["previous"] is True


def test_a_bundle_that_cannot_keep_what_was_chosen_says_so_and_is_still_there(client, word, remake):
    word.bundle.write_bytes(remake({"sensitivity": None}).read_bytes())
    client.post("/api/words/burst/threshold", json={"per_day": 2.4})
    about = client.get("/api/words/burst/certificate").json()
    assert "does not tell which threshold gives 2.4 false accepts a day" in about["note"]
    assert about["words"][0]["threshold"] == 0.5
    assert client.get("/api/words/burst/bundle").status_code == 200
