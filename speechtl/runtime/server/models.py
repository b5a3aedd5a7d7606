"""The wake words that a server offers: each bundle opened once, its graph shared by all streams."""

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
    """A bundle that is served: what clients are told of its words, and the detector that streams fork."""

    words: tuple[WakeModel, ...]
    detector: Detector

    @classmethod
    def of(cls, bundle: Bundle, choice: Choice) -> Served:
        """Load a bundle's graph; the bundle itself, golden audio and all, need not be kept."""
        return cls(_words(bundle), Detector.of(bundle, choice))

    @property
    def names(self) -> set[str]:
        """The names that clients ask for and detections carry."""
        return {word.name for word in self.words}


@dataclass(frozen=True)
class Models:
    """All bundles that are served."""

    served: tuple[Served, ...]

    @classmethod
    def open(cls, paths: Sequence[Path], choice: Choice = OWN) -> Models:
        """Open bundles; raise `BundleError`, also where two have a word of one name."""
        return cls(tuple(open_served(paths, choice, say).opened))

    @property
    def names(self) -> list[str]:
        """The names of all words, in order."""
        return [word.name for bundle in self.served for word in bundle.words]

    def chosen(self, names: Collection[str]) -> list[Served]:
        """The bundles that hold any of these words."""
        return [bundle for bundle in self.served if bundle.names & set(names)]

    def detectors(self, names: Collection[str]) -> list[Detector]:
        """Return new detectors, for one stream, of the bundles that hold any of these words."""
        return [bundle.detector.fork() for bundle in self.chosen(names)]

    def info(self) -> Info:
        """Return what a client that asks is told."""
        program = WakeProgram(
            name=PROGRAM,
            attribution=Attribution(PROGRAM, ""),
            installed=True,
            description="Wake words by transfer learning",
            version=__version__,
            models=[word for bundle in self.served for word in bundle.words],
        )
        return Info(wake=[program])


def open_served(paths: Sequence[Path], choice: Choice, note: Callable[[str], None]) -> OpenBundles[Served]:
    """Open what is served, files and folders; `note` gets a sentence for what changes in these."""
    bundles = OpenBundles(paths, lambda path: Served.of(open_bundle(path), choice), note)
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
    """Return a text of a description that may have it, and may have anything else."""
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, str) else ""
