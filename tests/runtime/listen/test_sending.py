import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
            status, body = answers.pop(0) if answers else (201, b"{}")
            if status < 300:
                received.append((self.path, self.headers["authorization"], sound))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
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
    [(403, "does not know the key"), (404, "does not have this word"), (507, "507: The disk is full"), (302, "302")],
)
def test_what_does_not_arrive_is_told_once_and_sent_later(tmp_path, studio, status, said):
    studio.answers += [(status, b'{"error": "The disk is full"}')] * 2
    save(tmp_path, 1)
    told = []
    sent(tmp_path, studio, lambda: len(told) == 2, told.append)
    assert said in told[0]
    assert told[1] == "The studio has the clips now."
    assert len(studio.received) == 1


def test_a_clip_that_the_studio_refuses_is_told_and_not_sent_again(tmp_path, studio):
    studio.answers.append((422, b'{"error": "No \\u001b[2J clip"}'))
    save(tmp_path, 1)
    save(tmp_path, 2)
    told = []
    sent(tmp_path, studio, lambda: len(studio.received) == 1, told.append)
    assert told == [f"The studio does not take the clip {NAME.format(1, 'hey_home')}: No  [2J clip"]
    assert studio.received[0][0].endswith(NAME.format(2, "hey_home"))


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
