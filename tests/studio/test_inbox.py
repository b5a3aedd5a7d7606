import pytest
import soundfile

from speechtl.studio.inbox import PAGE, describe

BASE = "/api/words/burst/inbox"


def clip_name(second: int, near: bool = False) -> str:
    return f"20261130T10{second // 60:02d}{second % 60:02d}.000Z_burst{'_near' if near else ''}_0.91.wav"


@pytest.fixture
def clips(word, take):
    """Three clips, as `listen --save-clips` names them."""
    word.clips.mkdir()
    for second in range(3):
        (word.clips / clip_name(second, near=second == 1)).write_bytes(take)
    return word.clips


def test_the_name_of_a_real_clip_tells_time_score_and_near_misses(tmp_path, bursts):
    from speechtl.runtime.detector import Event
    from speechtl.runtime.listen.clips import Clips

    clips = Clips(tmp_path, print)
    clips.add(Event("hey burst_near", 0.5, 0.423), near=True)
    clips.feed(bursts((0.5,), 2.0), 32_000)
    clips.close()
    clips._thread.join()
    (path,) = tmp_path.iterdir()
    about = describe(path.name)
    assert (about["near"], about["score"]) == (True, 0.42)
    assert about["at"].endswith("Z")


def test_the_newest_clips_come_first_and_are_played(client, clips, take):
    listed = client.get(BASE).json()
    assert [clip["name"] for clip in listed["clips"]] == [clip_name(2), clip_name(1, near=True), clip_name(0)]
    assert [clip["near"] for clip in listed["clips"]] == [False, True, False]
    assert listed["total"] == 3
    assert client.get(f"{BASE}/{clip_name(0)}").content == take


@pytest.mark.parametrize("label", ["word", "not-word", "unsure"])
def test_a_label_moves_the_clip_and_can_be_taken_back(client, clips, label):
    name = clip_name(0)
    for _ in range(2):  # repeated after a lost answer
        assert client.post(f"{BASE}/{name}", json={"label": label}).status_code == 200
    assert (clips / label / name).is_file()
    assert client.get(BASE).json()["labelled"][label] == 1
    assert client.get(f"{BASE}/{name}").status_code == 200
    assert client.post(f"{BASE}/{name}", json={"label": "", "expected": label}).status_code == 200
    assert (clips / name).is_file()


def test_two_windows_do_not_overwrite_each_others_labels(client, clips):
    name = clip_name(0)
    client.post(f"{BASE}/{name}", json={"label": "word"})
    second = client.post(f"{BASE}/{name}", json={"label": "not-word"})
    assert (second.status_code, "Another window labelled this clip 'word'" in second.json()["error"]) == (409, True)
    assert (clips / "word" / name).is_file()


@pytest.mark.parametrize("label", ["elsewhere", "../x", 3, [], {}])
def test_a_label_that_is_none_is_refused(client, clips, label):
    assert client.post(f"{BASE}/{clip_name(0)}", json={"label": label}).status_code == 422
    assert (clips / clip_name(0)).is_file()


def test_ten_thousand_clips_come_by_the_page(client, clips):
    for second in range(10_000):
        (clips / f"20260101T000000.000Z_{second}_0.50.wav").touch()
    listed = client.get(BASE).json()
    assert (listed["total"], len(listed["clips"])) == (10_003, PAGE)
    more = client.get(BASE, params={"before": listed["clips"][-1]["name"]}).json()["clips"]
    assert more[0]["name"] < listed["clips"][-1]["name"]


def test_a_device_sends_a_clip_once(client, word, take):
    name = clip_name(7)
    assert client.put(f"{BASE}/{name}", content=take).status_code == 201
    client.post(f"{BASE}/{name}", json={"label": "word"})
    assert client.put(f"{BASE}/{name}", content=take).status_code == 200
    assert client.get(BASE).json()["total"] == 0
    assert soundfile.info(word.clips / "word" / name).duration == 1.2


def test_devices_add_no_clip_to_a_full_inbox(client, clips, take, monkeypatch):
    monkeypatch.setattr("speechtl.studio.inbox.MOST_WAITING", 3)
    answer = client.put(f"{BASE}/{clip_name(7)}", content=take)
    assert (answer.status_code, "3 clips wait in the inbox; label some" in answer.json()["error"]) == (507, True)
    assert client.put(f"{BASE}/{clip_name(0)}", content=take).status_code == 200  # it is there
    client.post(f"{BASE}/{clip_name(0)}", json={"label": "word"})
    assert client.put(f"{BASE}/{clip_name(7)}", content=take).status_code == 201


@pytest.mark.parametrize("name", ["a.wav", "..%2fx.wav", "20261130T100000.000Z_%2e%2e%5cx_0.91.wav", "20261130T100000.000Z_a_0.91.exe"])
def test_a_clip_with_another_name_is_refused(client, word, take, name):
    assert client.put(f"{BASE}/{name}", content=take).status_code in (404, 405, 422)
    assert not word.clips.exists()


def test_the_file_for_devices_is_an_address_that_they_read(app, client, tmp_path):
    from speechtl.runtime.listen.sending import InboxAddress
    from speechtl.studio.inbox import Door

    assert client.get("/api/words/burst/inbox-address").status_code == 404
    assert client.get(BASE).json()["reachable"] is False
    word = type("Word", (), {"name": "smart mirror ä"})
    address = InboxAddress.of(Door("https://[fe80::1]:8300", "key-1", "ab" * 32).address(word))
    assert (address.host, address.port, address.key, address.sha256) == ("fe80::1", 8300, "key-1", "ab" * 32)
    assert address.word == "smart_mirror_ä"
