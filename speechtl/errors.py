"""Every error that speechtl raises on purpose.

SpeechtlError                  exit code 2: something given is missing, malformed or not supported
├── AudioError                 a recording cannot be read
├── PictureError               a picture cannot be read
├── ManifestError              lines of a manifest are wrong; lists all of them
├── RecipeError                a recipe has an unknown key or a value that is not allowed
├── InputMismatchError         data of another input type than the encoder was trained on
├── BundleError                a bundle is damaged, unknown or unsafe
├── RunError                   a run folder is missing, unfinished or damaged
├── WeightsError               pretrained weights cannot be found or are not the expected ones
├── MicrophoneError            there is no microphone, or it cannot be opened
├── ServerError                a server cannot listen where it should
├── ProtocolError              a client of the server sent something that is not a usable Wyoming event
├── DiskFullError              there is no room for an output
├── MissingExtraError          an optional dependency is not installed
├── StoppedError               exit code 130: a person interrupted the work
└── CheckFailedError           exit code 1: the check that a command makes did not pass

Messages are sentences for the person who can act: what was given, what is allowed, what to do next.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence

from speechtl.text import echo, first_few, one_line

INTERRUPTED = 130  # exit code of a program that Ctrl-C stopped, as in shells


class SpeechtlError(Exception):
    """The root of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 2


class AudioError(SpeechtlError):
    """A recording cannot be read as audio, or is not usable."""


class PictureError(SpeechtlError):
    """A picture cannot be read, or is not usable."""


class ManifestError(SpeechtlError):
    """Lines of a manifest are wrong; `problems` has one sentence for each, and the message the first few."""

    def __init__(self, message: str, problems: Iterable[str] = ()) -> None:
        self.message = message
        self.problems = list(problems)
        super().__init__("\n".join([message, *first_few(self.problems)]))


class RecipeError(SpeechtlError):
    """A recipe has an unknown key or a value that is not allowed."""


class InputMismatchError(SpeechtlError):
    """The data's input type differs from the one the encoder was pretrained on."""


class BundleError(SpeechtlError):
    """A bundle is damaged, of an unknown schema, or unsafe to open."""


class RunError(SpeechtlError):
    """A run folder is missing, unfinished or damaged."""


class WeightsError(SpeechtlError):
    """Pretrained weights cannot be found, or are not the expected ones."""


class MicrophoneError(SpeechtlError):
    """There is no microphone, or it cannot be opened."""


class ServerError(SpeechtlError):
    """A server cannot listen where it should."""


class ProtocolError(SpeechtlError):
    """A client of the server sent something that is not a usable Wyoming event."""


class DiskFullError(SpeechtlError):
    """There is no room for an output."""


class MissingExtraError(SpeechtlError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs packages that are not installed. Install them with: pip install 'speechtl[{extra}]'")


class StoppedError(SpeechtlError):
    """A person interrupted the work."""

    exit_code = INTERRUPTED


class CheckFailedError(SpeechtlError):
    """The check that a command makes did not pass."""

    exit_code = 1


def os_sentence(error: OSError) -> str:
    """An error of the system as a sentence for people."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"The disk is full{where}; free some space and run the command again (--resume continues a training). "
            "No file was left half written."
        )
    return f"{error.strerror or error}{where}."


def sentence_of(error: SpeechtlError) -> str:
    """The message of an error for a terminal: one line, and one more for each problem of a manifest."""
    parts = [error.message, *first_few(error.problems)] if isinstance(error, ManifestError) else [str(error)]
    return "\n".join(map(one_line, parts))


def reported(main: Callable[[], object]) -> int:
    """Run a program and return its exit code; errors raised on purpose become one sentence on standard error."""
    try:
        code = main()
    except SpeechtlError as error:
        echo(sentence_of(error), err=True)
        return error.exit_code
    except OSError as error:
        echo(one_line(os_sentence(error)), err=True)
        return SpeechtlError.exit_code
    except KeyboardInterrupt:
        echo("Stopped.", err=True)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest known name, or an empty string."""
    import difflib  # only where something is wrong: it takes memory

    nearest = difflib.get_close_matches(given, list(known), n=1, cutoff=0.5)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


def no_word(place: object, word: str, names: Sequence[str]) -> str:
    """The sentence for a word that a bundle does not have."""
    return f"{place} has no word {word!r}{did_you_mean(word, names)}; it has: {', '.join(names)}."
