"""Saved clips on their way to the inbox of a studio, where people say what is heard."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from speechtl.errors import SpeechtlError
from speechtl.runtime.listen.clips import ClipName, in_file_name

LOOK_SECONDS = 15.0  # between two looks for new clips
MOST_WAIT_SECONDS = 600.0  # after failures, the wait doubles up to this
ANSWER_SECONDS = 15.0
CLOSE_SECONDS = 0.3
MOST_ADDRESS, MOST_ANSWER = 4096, 4096  # bytes
SENT = ".sent"  # names of the clips that need not be sent (again)
STORED, REFUSED = (200, 201), (413, 422)  # codes of answers


class _NotSentError(Exception):
    """A clip did not arrive, for a reason that may pass."""


@dataclass(frozen=True)
class InboxAddress:
    """The inbox of a word: https://HOST:PORT/api/words/WORD/inbox/#key=KEY&sha256=FINGERPRINT, as the studio's page gives it.

    The key lets clips be added, and nothing else. The certificate must have the fingerprint; without encryption the studio is on this
    machine.
    """

    host: str
    port: int
    path: str
    key: str = field(repr=False)
    sha256: str = ""  # of the certificate, in hexadecimal; empty without encryption

    @classmethod
    def read(cls, file: Path) -> InboxAddress:
        """The address in a file; raises `SpeechtlError` where there is none."""
        try:
            with file.open("rb") as opened:
                text = opened.read(MOST_ADDRESS).decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise SpeechtlError(f"{file} cannot be read ({reason}). This file comes from the page Inbox of the studio.") from error
        try:
            return cls.of(text.strip())
        except ValueError as error:
            raise SpeechtlError(f"{file} has no address of an inbox: {error}. Get it again from the page Inbox of the studio.") from error

    @classmethod
    def of(cls, address: str) -> InboxAddress:
        """The address; raises `ValueError` for anything else."""
        url = urlsplit(address)
        secrets = {name: values[0] for name, values in parse_qs(url.fragment).items()}
        mark = secrets.get("sha256", "").replace(":", "").lower()
        if url.scheme not in ("http", "https") or not url.hostname or not url.path.startswith("/api/words/") or not address.isprintable():
            raise ValueError("it must begin as https://HOST:PORT/api/words/WORD/inbox/")
        if "key" not in secrets:
            raise ValueError("the key is missing")
        if (url.scheme == "https") != (len(mark) == 64) or mark.strip("0123456789abcdef"):
            raise ValueError("the fingerprint of the certificate does not fit")
        return cls(url.hostname, url.port or {"http": 80, "https": 443}[url.scheme], url.path.rstrip("/") + "/", secrets["key"], mark)

    @property
    def word(self) -> str:
        """The word whose clips are wanted, in its form for file names."""
        return in_file_name(unquote(self.path.split("/")[3]))

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the studio; raises `_NotSentError` if its certificate is another one."""
        if not self.sha256:
            return http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_SECONDS)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the fingerprint is checked instead
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=ANSWER_SECONDS, context=context)
        connection.connect()
        shown = connection.sock.getpeercert(binary_form=True) or b""
        if not hmac.compare_digest(hashlib.sha256(shown).hexdigest(), self.sha256):
            connection.close()
            raise _NotSentError("its certificate is another one; get the file again from its page Inbox")
        return connection


class Sender:
    """Send the clips of a folder, the oldest first, on a thread of its own; what does not arrive is sent later, each clip once."""

    def __init__(self, folder: Path, inbox: InboxAddress, log: Callable[[str], None]) -> None:
        self._folder = folder
        self._inbox = inbox
        self._log = log
        self._settled = self._read_settled()
        self._troubled = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="speechtl-sending", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; clips that are left are sent the next time."""
        self._ending.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        wait = LOOK_SECONDS
        while not self._ending.wait(wait):
            try:
                self._send_new()
                wait = LOOK_SECONDS
            except (_NotSentError, OSError, http.client.HTTPException) as error:
                wait = min(2.0 * wait, MOST_WAIT_SECONDS)
                self._trouble(str(error) or type(error).__name__)

    def _send_new(self) -> None:
        new = [name for name in sorted(path.name for path in self._folder.glob("*.wav")) if self._is_wanted(name)]
        if not new:
            return
        with closing(self._inbox.connect()) as connection:
            for name in new:
                if self._ending.is_set():
                    return
                self._send(connection, name)
        if self._troubled:
            self._troubled = False
            self._log("The studio has the clips now.")

    def _is_wanted(self, name: str) -> bool:
        told = ClipName.of(name)
        return told is not None and told.word == self._inbox.word and name not in self._settled

    def _send(self, connection: http.client.HTTPConnection, name: str) -> None:
        try:
            sound = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return  # removed for its age, or labelled here
        connection.request("PUT", self._inbox.path + quote(name), sound, {"Authorization": f"Bearer {self._inbox.key}"})
        answer = connection.getresponse()
        said = _sentence(answer.read(MOST_ANSWER))
        if answer.status not in (*STORED, *REFUSED):
            raise _NotSentError(_reason(answer.status, said))
        if answer.status in REFUSED:
            self._log(f"The studio does not take the clip {name}: {said}")
        self._settled.add(name)
        with (self._folder / SENT).open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")

    def _read_settled(self) -> set[str]:
        """The clips that need not be sent, without those that are gone."""
        path = self._folder / SENT
        try:
            names = {name for name in path.read_text(encoding="utf-8", errors="replace").splitlines() if (self._folder / name).is_file()}
            path.write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise SpeechtlError(f"{path} cannot be used: {error.strerror or error}.") from error
        return names

    def _trouble(self, what: str) -> None:
        if not self._troubled:
            self._log(f"Clips do not reach the studio ({what.rstrip('.')}). They are kept, and sent later.")
        self._troubled = True


def _reason(status: int, said: str) -> str:
    known = {403: "it does not know the key; get the file again from its page Inbox", 404: "it does not have this word any more"}
    return known.get(status, f"it answers {status}: {said}")


def _sentence(answer: bytes) -> str:
    """What an answer says, without signs that a terminal would obey."""
    try:
        said = json.loads(answer)["error"]
    except (ValueError, KeyError, TypeError):
        said = answer.decode(errors="replace")
    return "".join(sign if sign.isprintable() else " " for sign in str(said)[:300])
