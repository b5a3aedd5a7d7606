import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from speechtl.audio.data.download import pull
from speechtl.audio.data.manifest import cache_path, read_manifest
from speechtl.errors import CheckFailedError, SpeechtlError

CONTENT = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Files(BaseHTTPRequestHandler):
    """Serve CONTENT under any name; what happens depends on the name."""

    def do_GET(self):
        served = self.server.served
        asked = self.headers.get("Range")
        served.append((self.path, asked))
        times = sum(path == self.path for path, _ in served)
        if self.path == "/none.wav":
            self.send_error(404)
        elif self.path == "/busy.wav" and times < 3:
            self.send_error(503)
        elif self.path == "/away.wav":
            self.send_response(302)
            self.send_header("Location", "ftp://host/a.wav")
            self.end_headers()
        else:
            self.send(
                asked if self.path != "/no_ranges.wav" else None, breaks=self.path in ("/breaks.wav", "/no_ranges.wav") and times == 1
            )

    def send(self, asked, breaks):
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if breaks else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        server.served = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def manifest(tmp_path, monkeypatch, server):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECHTL_DATA", raising=False)

    def write(*names, **others) -> Path:
        path = tmp_path / "m.jsonl"
        lines = [
            {"audio_filepath": name, "duration": 1.0, "url": f"http://127.0.0.1:{server.server_port}/{name}", "source_sha256": DIGEST}
            | others
            for name in names
        ]
        path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
        return path

    return write


def target(path: Path) -> Path:
    return cache_path(read_manifest(path)[0])


def test_a_recording_is_fetched_once_and_then_resolves(manifest, server):
    path = manifest("a.wav", "b.wav")  # one original under two names
    seen = []
    assert pull([path], progress=lambda done, total: seen.append((done, total))).fetched == 1
    assert [clip.path for clip in read_manifest(path)] == [target(path)] * 2
    assert target(path).read_bytes() == CONTENT
    assert seen == [(1, 1)]
    assert pull([path]).present == 2
    assert len(server.served) == 1


def test_an_interrupted_transfer_goes_on_where_it_ended(manifest, server):
    path = manifest("breaks.wav")
    pull([path], backoff=0.01)
    assert target(path).read_bytes() == CONTENT
    assert server.served == [("/breaks.wav", None), ("/breaks.wav", f"bytes={len(CONTENT) // 2}-")]


def test_a_later_command_resumes_what_an_earlier_one_left(manifest, server):
    path = manifest("a.wav")
    part = target(path).with_name(target(path).name + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    pull([path])
    assert target(path).read_bytes() == CONTENT
    assert server.served == [("/a.wav", "bytes=1000-")]
    assert not part.exists()


def test_a_part_that_is_complete_is_not_fetched_again(manifest):
    path = manifest("a.wav")
    part = target(path).with_name(target(path).name + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    pull([path])
    assert target(path).read_bytes() == CONTENT


def test_a_damaged_part_is_thrown_away_and_fetched_anew(manifest):
    path = manifest("a.wav")
    part = target(path).with_name(target(path).name + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    pull([path], backoff=0.01)
    assert target(path).read_bytes() == CONTENT


def test_a_server_without_ranges_sends_everything_again(manifest):
    path = manifest("no_ranges.wav")
    pull([path], backoff=0.01)
    assert target(path).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(manifest, server):
    pull([manifest("busy.wav")], backoff=0.01)
    assert len(server.served) == 3


def test_a_wrong_hash_fails_and_leaves_nothing_behind(manifest, tmp_path):
    path = manifest("a.wav", source_sha256="0" * 64)
    with pytest.raises(CheckFailedError, match="not the recording described"):
        pull([path])
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == []


def test_failures_are_all_listed_and_the_others_are_kept(manifest, server, tmp_path):
    path = manifest("none.wav")
    gone = json.loads(path.read_text())
    lines = [
        gone | {"source_sha256": "1" * 64},
        gone | {"url": "file:///etc/passwd", "source_sha256": "2" * 64},
        gone | {"url": None},
        gone | {"source_sha256": None},
        gone | {"url": gone["url"].replace("none", "a")},
        gone | {"url": gone["url"].replace("none", "away"), "source_sha256": "3" * 64},
    ]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    with pytest.raises(CheckFailedError) as caught:
        pull([path])
    text = str(caught.value)
    assert text.startswith("5 of 6 recordings could not be fetched:")
    assert [row.split(": ")[0] for row in text.splitlines()[1:]] == [f"{path}:{number}" for number in (1, 2, 3, 4, 6)]
    assert "404" in text
    assert text.count("only http and https are allowed") == 2
    assert caught.value.exit_code == 1
    assert (tmp_path / "cache/audio" / DIGEST[:2] / f"{DIGEST}.wav").exists()
    assert sum(name == "/none.wav" for name, _ in server.served) == 1  # what is gone is not asked for again


def test_a_server_that_is_not_there_is_named(manifest):
    path = manifest("a.wav", url="http://127.0.0.1:9/a.wav")
    with pytest.raises(CheckFailedError, match=r"http://127\.0\.0\.1:9/a\.wav cannot be reached"):
        pull([path], attempts=2, backoff=0.01)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_sentence(manifest):
    path = manifest("a.wav")
    part = target(path).with_name(target(path).name + ".part")
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(SpeechtlError, match=r"is full\. Free some space, or set SPEECHTL_CACHE") as caught:
        pull([path])
    assert caught.value.exit_code == 2
