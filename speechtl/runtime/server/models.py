"""The wake words that a server offers; each bundle is opened once, and all streams share its graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wyoming.info import Attribution, Info, WakeModel, WakeProgram

from speechtl import __version__
from speechtl.progress import say
from speechtl.runtime.bundle.choice import Choice
from speechtl.runtime.bundle.open_bundles import OpenBundles
from speechtl.runtime.bundle.wake_word import Bundle, Word, open_bundle
from speechtl.runtime.detector import Detector

PROGRAM = "speechtl"


OWN = Choice()


@dataclass(frozen=True, eq=False)
class Served:
    """A served bundle: the description of its words for clients, and the detector that each stream forks."""

    words: tuple[WakeModel, ...]
    detector: Detector

    @classmethod
    def of(cls, bundle: Bundle, choice: Choice) -> Served:
        """Load a bundle's graph; the bundle itself, with its golden audio, is not kept in memory."""
        return cls(_words(bundle), Detector.of(bundle, choice))

    @property
    def names(self) -> set[str]:
        """The names of its words, as in requests and detections."""
        return {word.name for word in self.words}


@dataclass(frozen=True)
class Models:
    """The bundles that the server offers."""

    served: tuple[Served, ...]

    @classmethod
    def open(cls, paths: Sequence[Path], choice: Choice = OWN) -> Models:
        """Open bundles; raise `BundleError`, also where two of them have a word of the same name."""
        return cls(tuple(open_served(paths, choice, say).opened))

    @property
    def names(self) -> list[str]:
        """The names of all words, in order."""
        return [word.name for bundle in self.served for word in bundle.words]

    def chosen(self, names: Collection[str]) -> list[Served]:
        """The bundles that contain any of these words."""
        return [bundle for bundle in self.served if bundle.names & set(names)]

    def detectors(self, names: Collection[str]) -> list[Detector]:
        """New detectors, for one stream, of the bundles that contain any of these words."""
        return [bundle.detector.fork() for bundle in self.chosen(names)]

    def info(self) -> Info:
        """The server's answer to a client's `describe`."""
        program = WakeProgram(
            name=PROGRAM,
            attribution=Attribution(PROGRAM, ""),
            installed=True,
            description="Wake words by transfer learning",
            version=__version__,
            models=[word for bundle in self.served for word in bundle.words],
        )
        return Info(wake=[program])


def open_served(paths: Sequence[Path], choice: Choice, log: Callable[[str], None]) -> OpenBundles[Served]:
    """Open the bundles to serve, files and folders; `log` receives a sentence for each change in the folders."""

    def open_one(path: Path) -> Served:
        bundle = open_bundle(path)
        served = Served.of(bundle, choice)
        for sentence in choice.explain(bundle):
            log(sentence)
        return served

    bundles = OpenBundles(paths, open_one, log)
    bundles.expect(choice)
    return bundles


def _words(bundle: Bundle) -> tuple[WakeModel, ...]:
    return tuple(_word(bundle, word) for word in bundle.words)


def _word(bundle: Bundle, word: Word) -> WakeModel:
    phrase = word.phrases[0] if word.phrases else word.name
    return WakeModel(
        name=word.name,
        attribution=Attribution(_text(bundle.about.get("encoder"), "source") or PROGRAM, ""),
        installed=True,
        description=phrase,
        version=_text(bundle.about.get("versions"), "speechtl") or None,
        languages=[],
        phrase=phrase,
    )


def _text(values: Any, key: str) -> str:
    """A text from a bundle's description, or an empty one where there is none."""
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, str) else ""
