from unittest.mock import ANY

import numpy as np
import pytest
import soxr

LIVE = "ws://localhost/api/words/burst/live"


def pcm(samples) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


@pytest.fixture
def trained(word, tiny_bundle):
    word.bundle.write_bytes(tiny_bundle.read_bytes())
    return word


def heard(client, sound: bytes, rate: int, piece: int = 4096) -> list[dict]:
    with client.websocket_connect(f"{LIVE}?rate={rate}") as socket:
        assert socket.receive_json() == {"ready": True}
        answers = []
        for start in range(0, len(sound), piece):
            socket.send_bytes(sound[start : start + piece])
            answers.append(socket.receive_json())
        return answers


@pytest.mark.parametrize("rate", [16_000, 48_000, 44_100])
def test_the_browsers_microphone_is_heard_by_the_same_detector(client, trained, bursts, rate):
    from speechtl.runtime import Detector

    sound = bursts((1.0, 3.0))
    answers = heard(client, pcm(soxr.resample(sound, 16_000, rate) if rate != 16_000 else sound), rate)
    events = [event for answer in answers for event in answer["events"]]
    expected = Detector.open(trained.bundle).feed(sound)
    assert [event["name"] for event in events] == ["burst", "burst"]
    assert [event["time"] for event in events] == pytest.approx([event.time for event in expected], abs=0.09)
    assert [(event["level"], event["snr"], event["at"][:2]) for event in events] == [(pytest.approx(-12, abs=3), ANY, "20")] * 2
    assert {answer["threshold"] for answer in answers if "threshold" in answer} == {0.5}
    assert answers[-1]["seconds"] == pytest.approx(5.0, abs=0.1)


def test_the_false_accepts_that_were_chosen_set_the_threshold(client, trained, remake, bursts):
    recalls = [{"logit": -5.0, "recall": 1.0, "low": 0.9, "high": 1.0}, {"logit": 12.0, "recall": 0.5, "low": 0.4, "high": 0.6}]
    tail = {"start": 0.0, "scale": 1.0, "rate": 10.0}
    trained.bundle.write_bytes(remake({"sensitivity": {"tail": tail, "high": tail, "hours": 1.0, "recalls": recalls}}).read_bytes())
    assert client.post("/api/words/burst/threshold", json={"per_day": 2.4}).status_code == 200
    answers = heard(client, pcm(bursts((1.0,), 2.0)), 16_000)
    expected = 1.0 / (1.0 + 0.1 / 10.0)  # the logit is log(10 an hour / 0.1 an hour)
    assert all(answer["threshold"] == pytest.approx(expected) for answer in answers if "threshold" in answer)


@pytest.mark.parametrize("rate", ["", "0", "-1", "16e3", "999999999", "٣٢٠٠٠"])
def test_a_rate_that_no_microphone_has_is_one_sentence(client, trained, rate):
    with client.websocket_connect(f"{LIVE}?rate={rate}") as socket:
        assert "The sample rate must be from 8000 to 192000 Hz" in socket.receive_json()["error"]


def test_odd_bytes_text_and_huge_messages_end_the_stream_and_nothing_else(client, trained):
    with client.websocket_connect(f"{LIVE}?rate=16000") as socket:
        socket.receive_json()
        socket.send_bytes(b"\x00" * 4097)
        assert socket.receive_json()["events"] == []
        socket.send_bytes(b"\x00" * 500_000)
        assert "at most" in socket.receive_json()["error"]
    with client.websocket_connect(f"{LIVE}?rate=16000") as socket:
        socket.receive_json()
        socket.send_text("hello")
    assert client.get("/api/project").status_code == 200


def test_without_a_bundle_the_page_is_told_to_train(client, word):
    with client.websocket_connect(f"{LIVE}?rate=16000") as socket:
        assert "train the word first" in socket.receive_json()["error"]


def test_a_damaged_bundle_is_one_sentence(client, word):
    word.bundle.write_bytes(b"PK nothing")
    with client.websocket_connect(f"{LIVE}?rate=16000") as socket:
        assert "burst.wake" in socket.receive_json()["error"]
