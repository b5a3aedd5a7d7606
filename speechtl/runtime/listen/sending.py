"""Saved clips on their way to the inbox of a studio, where people say what is heard."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import re
import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from speechtl.errors import SpeechtlError
from speechtl.files import write_text
from speechtl.runtime.listen.clips import ClipName, in_file_name

LOOK_SECONDS = 15.0  # between two looks for new clips
MOST_WAIT_SECONDS = 600.0  # after failures, the wait doubles up to this
ANSWER_SECONDS = 15.0
CLOSE_SECONDS, LAST_SECONDS = 0.3, 5.0  # for the last clips: after a signal, and at the end of a recording
MOST_ADDRESS, MOST_ANSWER = 4096, 4096  # bytes
SENT = ".sent"  # names of the clips that need not be sent (again)
STORED, REFUSED = (200, 201), (400, 413, 415, 422)  # codes of answers; what is refused would be refused again
INBOX = re.compile(r"/api/words/[^/]+/inbox/?")
KEY = re.compile(r"[\w-]+", re.ASCII)


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
                text = opened.read(MOST_ADDRESS).decode("utf-8-sig")
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
        is_plain = address.isascii() and address.isprintable() and " " not in address
        if url.scheme not in ("http", "https") or not url.hostname or not INBOX.fullmatch(url.path) or not is_plain:
            raise ValueError("it must begin as https://HOST:PORT/api/words/WORD/inbox/")
        if not KEY.fullmatch(secrets.get("key", "")):
            raise ValueError("the key is missing")
        if (url.scheme == "https") != (len(mark) == 64) or mark.strip("0123456789abcdef"):
            raise ValueError("the fingerprint of the certificate does not fit")
        return cls(url.hostname, url.port or {"http": 80, "https": 443}[url.scheme], url.path.rstrip("/") + "/", secrets["key"], mark)

    @property
    def word(self) -> str:
        """The word whose clips are wanted, in its form for file names."""
        return in_file_name(unquote(self.path.split("/")[3]))

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the studio, which is opened when it is needed; then it raises `_NotSentError` for another certificate."""
        if not self.sha256:
            return http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_SECONDS)
        return _PinnedConnection(self)


class _PinnedConnection(http.client.HTTPSConnection):
    """An encrypted connection to whoever has the certificate, also when it is opened again because the other side closed it."""

    def __init__(self, inbox: InboxAddress) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the fingerprint is checked instead
        super().__init__(inbox.host, inbox.port, timeout=ANSWER_SECONDS, context=context)
        self._sha256 = inbox.sha256

    def connect(self) -> None:
        super().connect()
        shown = self.sock.getpeercert(binary_form=True) or b""
        if not hmac.compare_digest(hashlib.sha256(shown).hexdigest(), self._sha256):
            self.close()
            raise _NotSentError("its certificate is another one; get the file again from its page Inbox")


class Sender:
    """Send the clips of a folder, the oldest first, on a thread of its own; what does not arrive is sent later, each clip once."""

    def __init__(self, folder: Path, inbox: InboxAddress, log: Callable[[str], None]) -> None:
        self._folder = folder
        self._inbox = inbox
        self._log = log
        self._troubled = self._forgetful = False
        self._settled = self._read_settled()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="speechtl-sending", daemon=True)
        self._thread.start()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what is there, for so long at most, and stop; clips that are left are sent the next time."""
        self._ending.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._log("The studio does not have all clips yet; the others are sent the next time.")

    def _run(self) -> None:
        wait, last = LOOK_SECONDS, False
        while not last:
            last = self._ending.wait(wait)
            try:
                self._send_new()
                wait = LOOK_SECONDS
            except (_NotSentError, OSError, ValueError, http.client.HTTPException) as error:  # ValueError: hosts that cannot be
                wait = min(2.0 * wait, MOST_WAIT_SECONDS)
                self._trouble(str(error) or type(error).__name__)

    def _send_new(self) -> None:
        new = sorted(name for name in self._saved() if self._is_wanted(name))
        if not new:
            return
        with closing(self._inbox.connect()) as connection:
            for name in new:
                self._send(connection, name)
        if self._troubled:
            self._troubled = False
            self._log("The studio has the clips now.")

    def _saved(self) -> set[str]:
        return {path.name for path in self._folder.glob("*.wav")}

    def _is_wanted(self, name: str) -> bool:
        told = ClipName.of(name) if name not in self._settled else None
        return told is not None and told.word == self._inbox.word

    def _send(self, connection: http.client.HTTPConnection, name: str) -> None:
        try:
            sound = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return  # removed for its age, or labelled here
        except OSError as error:
            self._settled.add(name)  # until the next start
            self._log(f"The clip {name} cannot be read ({error.strerror or error}), and is not sent.")
            return
        connection.request("PUT", self._inbox.path + quote(name), sound, {"Authorization": f"Bearer {self._inbox.key}"})
        answer = connection.getresponse()
        document = _document(answer.read(MOST_ANSWER))
        said = _sentence(document)
        if answer.status not in (*STORED, *REFUSED):
            raise _NotSentError(_reason(answer.status, said))
        if answer.status in STORED and document.get("name") != name:
            raise _NotSentError("something else answers at its address")
        if answer.status in REFUSED:
            self._log(f"The studio does not take the clip {name}: {said}")
        self._settle(name)

    def _settle(self, name: str) -> None:
        """Remember, also after a restart, that a clip need not be sent again."""
        self._settled.add(name)
        try:
            with (self._folder / SENT).open("a", encoding="utf-8") as file:
                file.write(f"{name}\n")
        except OSError as error:
            self._forget(error)

    def _read_settled(self) -> set[str]:
        """The clips that need not be sent, without those that are gone."""
        path, left = self._folder / SENT, set[str]()
        try:
            names = path.read_text(encoding="utf-8", errors="replace").splitlines()
            left = self._saved().intersection(names)
            if len(left) < len(names):
                write_text(path, "".join(f"{name}\n" for name in sorted(left)))
        except FileNotFoundError:
            pass  # nothing was sent yet
        except OSError as error:
            self._forget(error)
        return left

    def _forget(self, error: OSError) -> None:
        if not self._forgetful:
            why = error.strerror or error
            self._log(
                f"{self._folder / SENT} cannot be used ({why}). After a restart all clips are sent again; the studio keeps each once."
            )
        self._forgetful = True

    def _trouble(self, what: str) -> None:
        if not self._troubled:
            self._log(f"Clips do not reach the studio ({what.rstrip('.')}). They are kept, and sent later.")
        self._troubled = True


def _reason(status: int, said: str) -> str:
    known = {403: "it does not know the key; get the file again from its page Inbox", 404: "it does not have this word any more"}
    return known.get(status, f"it answers {status}: {said}")


def _document(answer: bytes) -> dict[str, Any]:
    """The object that an answer is; what is none becomes the object of an error."""
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        document = None
    return document if isinstance(document, dict) else {"error": answer.decode(errors="replace")}


def _sentence(document: dict[str, Any]) -> str:
    """What an answer says, without signs that a terminal would obey."""
    return "".join(sign if sign.isprintable() else " " for sign in str(document.get("error", document))[:300])
