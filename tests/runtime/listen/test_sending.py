import json
import os
import socket
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from speechtl.errors import SpeechtlError
from speechtl.runtime.listen import sending as module
from speechtl.runtime.listen.sending import SENT, InboxAddress, Sender

KEY = "k" * 64
NAME = "20261201T09301{}.000Z_{}_0.97.wav"


@pytest.fixture
def studio(monkeypatch):
    """What a studio received, and the codes and bodies of its next answers; then 201."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    received, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            sound = self.rfile.read(int(self.headers["content-length"]))
            name = unquote(self.path.rsplit("/", 1)[1])
            status, body = answers.pop(0) if answers else (201, json.dumps({"name": name}).encode())
            if status < 300:
                received.append((self.path, self.headers["authorization"], sound))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            if status >= 400:
                self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    server.received, server.answers = received, answers
    server.inbox = InboxAddress.of(f"http://127.0.0.1:{server.server_port}/api/words/hey_home/inbox/#key={KEY}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def sent(folder, studio, until, log=lambda _: None, inbox=None):
    """Send until a condition holds."""
    sender = Sender(folder, inbox or studio.inbox, log)
    try:
        deadline = time.monotonic() + 20
        while not until():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        sender.close()
        sender._thread.join()


def save(folder, second, word="hey_home", sound=b"RIFF"):
    (folder / NAME.format(second, word)).write_bytes(sound)


def test_saved_clips_of_the_word_arrive_once_and_in_order(tmp_path, studio):
    for second in (2, 1):
        save(tmp_path, second, sound=bytes([second]))
    save(tmp_path, 3, word="other")
    (tmp_path / "notes.wav").write_bytes(b"mine")
    sent(tmp_path, studio, lambda: len(studio.received) == 2)
    assert [(path.rsplit("/", 1)[1], sound) for path, _, sound in studio.received] == [
        (NAME.format(1, "hey_home"), b"\1"),
        (NAME.format(2, "hey_home"), b"\2"),
    ]
    assert {authorization for _, authorization, _ in studio.received} == {f"Bearer {KEY}"}
    save(tmp_path, 4)
    sent(tmp_path, studio, lambda: len(studio.received) == 3)  # after a restart, nothing is sent again
    assert studio.received[2][0].endswith(NAME.format(4, "hey_home"))


def test_names_of_clips_that_are_gone_are_forgotten(tmp_path, studio):
    (tmp_path / SENT).write_text(f"{NAME.format(1, 'hey_home')}\n{NAME.format(2, 'hey_home')}\n")
    save(tmp_path, 2)
    Sender(tmp_path, studio.inbox, print).close()
    assert (tmp_path / SENT).read_text().split() == [NAME.format(2, "hey_home")]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "does not know the key"),
        (404, "does not have this word"),
        (507, "507: The disk is full"),
        (302, "302"),
        (200, "something else answers"),
    ],
)
def test_what_does_not_arrive_is_told_once_and_sent_later(tmp_path, studio, status, said):
    studio.answers += [(status, b'{"error": "The disk is full"}')] * 2
    save(tmp_path, 1)
    told = []
    sent(tmp_path, studio, lambda: len(told) == 2, told.append)
    assert said in told[0]
    assert told[1] == "The studio has the clips now."
    assert len({path for path, _, _ in studio.received}) == 1


@pytest.mark.parametrize("status", [413, 415, 422])
def test_a_clip_that_the_studio_refuses_is_told_and_not_sent_again(tmp_path, studio, status):
    studio.answers.append((status, b'{"error": "No \\u001b[2J clip"}'))
    save(tmp_path, 1)
    save(tmp_path, 2)
    told = []
    sent(tmp_path, studio, lambda: len(studio.received) == 1, told.append)
    assert told == [f"The studio does not take the clip {NAME.format(1, 'hey_home')}: No  [2J clip"]
    assert studio.received[0][0].endswith(NAME.format(2, "hey_home"))


def test_clips_of_a_short_time_are_sent_at_its_end(tmp_path, studio, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 60.0)
    sender = Sender(tmp_path, studio.inbox, print)
    save(tmp_path, 1)
    sender.close(5.0)
    assert len(studio.received) == 1


def test_the_end_does_not_wait_for_a_studio_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 60.0)
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        inbox = InboxAddress.of(f"http://127.0.0.1:{hanging.getsockname()[1]}/api/words/hey_home/inbox/#key={KEY}")
        told = []
        sender = Sender(tmp_path, inbox, told.append)
        save(tmp_path, 1)
        began = time.monotonic()
        sender.close(0.1)
        assert time.monotonic() - began < 0.4
        sender._thread.join()
    assert "does not have all clips yet" in told[0]


def test_a_clip_that_cannot_be_read_keeps_no_other_back(tmp_path, studio):
    (tmp_path / NAME.format(1, "hey_home")).mkdir()
    save(tmp_path, 2)
    told = []
    sent(tmp_path, studio, lambda: studio.received, told.append)
    assert told == [f"The clip {NAME.format(1, 'hey_home')} cannot be read (Is a directory), and is not sent."]


def test_where_nothing_can_be_noted_each_clip_is_still_sent_once_and_this_is_told(tmp_path, studio):
    (tmp_path / SENT).mkdir()
    save(tmp_path, 1)
    save(tmp_path, 2)
    told = []
    sent(tmp_path, studio, lambda: len(studio.received) == 2, told.append)
    assert len(studio.received) == 2
    assert [line.partition(" ")[2] for line in told] == [
        "cannot be used (Is a directory). After a restart all clips are sent again; the studio keeps each once."
    ]


def test_what_was_sent_is_not_forgotten_on_a_full_disk(tmp_path, studio, monkeypatch):
    known = f"{NAME.format(1, 'hey_home')}\n{NAME.format(2, 'hey_home')}\n"
    (tmp_path / SENT).write_text(known)

    def full(*_arguments):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(module, "write_text", full)
    told = []
    Sender(tmp_path, studio.inbox, told.append).close()
    assert "No space left" in told[0]
    assert (tmp_path / SENT).read_text() == known


def test_a_host_that_cannot_be_does_not_end_sending(tmp_path, studio):
    save(tmp_path, 1)
    told = []
    sent(tmp_path, studio, lambda: told, told.append, replace(studio.inbox, host="a" * 70))
    assert "Clips do not reach the studio" in told[0]


def test_a_studio_that_is_away_gets_the_clips_when_it_is_back(tmp_path, studio):
    save(tmp_path, 1)
    told = []
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    away = InboxAddress.of(f"http://127.0.0.1:{port}/api/words/hey_home/inbox/#key={KEY}")
    sent(tmp_path, studio, lambda: told, told.append, away)
    assert "Clips do not reach the studio" in told[0]
    assert "sent later" in told[0]
    assert not (tmp_path / SENT).exists()
    sent(tmp_path, studio, lambda: studio.received)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", "must begin"),
        ("ftp://host/api/words/a/inbox/#key=k", "must begin"),
        ("http://host/elsewhere/#key=k", "must begin"),
        ("http://host:port/api/words/a/inbox/#key=k", "ort"),
        ("http://host/api/words/a/inbox/", "key is missing"),
        ("http://host/api/words/a/inbox/#key=k%0ax", "key is missing"),
        ("http://host/api/words/a/clips/#key=k", "must begin"),
        ("http://host/api/words/a b/inbox/#key=k", "must begin"),
        ("http://host/api/words/ä/inbox/#key=k", "must begin"),
        ("https://host/api/words/a/inbox/#key=k", "fingerprint"),
        ("https://host/api/words/a/inbox/#key=k&sha256=" + "g" * 64, "fingerprint"),
        ("http://host/api/words/a/inbox/#key=k&sha256=" + "a" * 64, "fingerprint"),
    ],
)
def test_an_address_that_is_none_is_one_sentence(tmp_path, address, problem):
    file = tmp_path / "a.inbox"
    file.write_text(address)
    with pytest.raises(SpeechtlError, match="no address of an inbox") as refused:
        InboxAddress.read(file)
    assert problem in str(refused.value)
    assert "k&" not in str(refused.value)


def test_a_file_that_cannot_be_read_says_where_it_comes_from(tmp_path):
    (tmp_path / "a.inbox").write_bytes(b"\xff\xfe")
    for name in ("missing.inbox", "a.inbox"):
        with pytest.raises(SpeechtlError, match="page Inbox of the studio"):
            InboxAddress.read(tmp_path / name)


def test_the_key_is_not_shown(studio):
    assert KEY not in repr(studio.inbox)
