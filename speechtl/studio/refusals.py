"""Refusals of requests, and the answers that they and other errors become."""

from __future__ import annotations

import errno

from speechtl.errors import DiskFullError, SpeechtlError, os_sentence, sentence_of

UNPROCESSABLE, FULL = 422, 507  # status codes of input that cannot be used, and of a full disk
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_SENTENCE = "The disk of the computer is full. Free some space there, and repeat this; nothing that was saved is lost."


class RefusedError(SpeechtlError):
    """A request is refused, with the status code of its answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def missing(what: str) -> RefusedError:
    """What a request names is not there, or no longer."""
    return RefusedError(404, f"{what} is not there (any more). Another window may have changed it; this one now shows what is there.")


def conflict(sentence: str) -> RefusedError:
    """A request contradicts what is there."""
    return RefusedError(409, sentence)


def status_and_sentence(error: Exception) -> tuple[int, str]:
    """The status code and the sentence with which an error is answered."""
    if isinstance(error, RefusedError):
        return error.status, str(error)
    if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in NO_ROOM):
        return FULL, FULL_SENTENCE
    if isinstance(error, SpeechtlError):
        return UNPROCESSABLE, sentence_of(error)
    if isinstance(error, OSError):
        return 500, os_sentence(error)
    return 500, "The studio made a mistake; its terminal shows which."
