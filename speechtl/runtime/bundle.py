"""The bundle: one `.wake` file with the graph, the detector's settings, and where everything comes from.

A zip that any tool reads. Nothing in it is a pickle, nothing is unpacked to disk, and every file is checked
against its size and checksum when the bundle is opened, and again when it is used; only what is in use is in memory.
`speechtl verify` checks the hashes, too: what computes them would take 4 MB of every detector's memory.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechtl.errors import BundleError
from speechtl.runtime.front_end import Features, read_features
from speechtl.runtime.trigger import TriggerSettings

SCHEMA = 1
ABOUT = "bundle.json"
KIND = "wake word"  # of a bundle that does not say another
PICTURE_KIND = "image"
GOLDEN = "golden.npz"
MAX_BYTES = 256 * 1024 * 1024  # of everything unpacked, unless the bundle itself is large
MAX_PACKED = 4  # times its own size, which no file of weights is packed to
WORTHWHILE = 0.8  # of its size; a file that packs to more is stored as it is, as unpacking delays the start
# What reading a damaged zip raises, beside what zipfile means to raise.
DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError, zlib.error)
PIECE_BYTES = 1 << 16  # read at a time
MAX_STEPS = 10_000  # far beyond any network's memory
REQUIRED = ("name", "phrases", "sample_rate", "features", "chunk", "states", "detector", "graphs", "files")


@dataclass(frozen=True)
class State:
    """One state of the step graph: its input's name, the output that replaces it, and its shape."""

    name: str
    output: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """One graph of a bundle: its file, in what format and layout, and whether the exporter found it fit for use."""

    name: str
    format: str  # "onnx" or "tflite"
    precision: str  # "fp32" or "int8"
    layout: str = "NCHW"  # of its frames and states; the bundle gives their shapes as (1, channels, frames, bands)
    default: bool = True  # False: runs only when it is asked for by name
    tolerance: float | None = None  # the largest score difference that its verification allows
    measured: tuple[str, ...] = ()  # the runtimes in which it was found within that

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return a shape of the bundle in the layout of this graph."""
        if self.layout == "NCHW" or len(shape) != 4:
            return shape
        return (shape[0], shape[2], shape[3], shape[1])


@dataclass(frozen=True)
class Word:
    """A wake word of a bundle: the name that its events carry, how it is said, and when its score becomes an event."""

    name: str
    phrases: tuple[str, ...]
    trigger: TriggerSettings


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked."""

    path: Path
    about: Mapping[str, Any]
    files: Files

    @property
    def name(self) -> str:
        """What the bundle is called; with one word, the name that its events carry."""
        return str(self.about["name"])

    @property
    def features(self) -> Features:
        """What the graph takes."""
        return read_features(self.about["features"])

    @property
    def words(self) -> list[Word]:
        """The wake words, in the order of the graph's scores; a bundle of one word is described by its own entries."""
        described = self.about.get("words") or [self.about]
        return [Word(str(word["name"]), tuple(word["phrases"]), self._trigger(word["detector"])) for word in described]

    def _trigger(self, settings: Mapping[str, Any]) -> TriggerSettings:
        try:
            return TriggerSettings(**settings)
        except TypeError as error:
            raise BundleError(f"{self.path} has detector settings that this version of speechtl does not know: {error}.") from error

    @property
    def frames_per_step(self) -> int:
        """How many log-mel frames the graph takes at a time."""
        return int(self.about["chunk"]["frames"])

    @property
    def silent_steps(self) -> int:
        """How many steps of silence bring zero states to those of a stream preceded by silence."""
        return int(self.about["chunk"]["silent_steps"])

    @property
    def states(self) -> list[State]:
        """The graph's states, in order."""
        return [State(state["name"], state["output"], tuple(state["shape"])) for state in self.about["states"]]

    @property
    def graphs(self) -> dict[str, Graph]:
        """The graphs by file name, the one to prefer first."""
        return {name: self._graph(name, about) for name, about in self.about["graphs"].items()}

    def _graph(self, name: str, about: Mapping[str, Any]) -> Graph:
        layout, tolerance = about.get("layout", "NCHW"), about.get("tolerance")
        if layout not in ("NCHW", "NHWC"):
            raise BundleError(f"{self.path} has a graph {name} of layout {layout!r}, which this version of speechtl does not know.")
        return Graph(
            name,
            str(about["runtime"]),
            str(about.get("precision", "fp32")),
            layout,
            about.get("default", True) is not False,
            None if tolerance is None else float(tolerance),
            tuple(str(one["engine"]) for one in self.about.get("parity", ()) if one["graph"] == name and one["ok"] is True),
        )

    def golden(self) -> dict[str, npt.NDArray[Any]]:
        """Return the golden audio and the scores expected of it."""
        if GOLDEN not in self.files:
            raise BundleError(f"{self.path} carries no golden audio; export it again without --no-golden.")
        try:
            with np.load(io.BytesIO(self.files[GOLDEN]), allow_pickle=False) as arrays:
                golden = {name: arrays[name] for name in arrays.files}
        except DAMAGE as error:
            raise BundleError(f"{self.path} is damaged: {GOLDEN} cannot be read ({error}).") from error
        if any(
            name not in golden or golden[name].ndim not in ranks or golden[name].dtype.kind not in "if"
            for name, ranks in (("audio", (1,)), ("scores", (1, 2)))
        ):
            raise BundleError(f"{self.path} is damaged: {GOLDEN} must hold 'audio' and 'scores', one number after the other.")
        return golden


class Files(Mapping[str, bytes]):
    """The files of a bundle by name, read and checked when they are asked for."""

    def __init__(self, path: Path, listing: Mapping[str, Mapping[str, Any]]) -> None:
        self._path = path
        self._listing = listing

    def __getitem__(self, name: str) -> bytes:
        """Return the content of a file; raise `BundleError` when it is not what it was when the bundle was opened."""
        listed = self._listing[name]
        with _opened(self._path) as archive:
            return b"".join(_pieces(self._path, archive, name, listed))

    def check_hashes(self) -> None:
        """Raise `BundleError` for a file whose hash is not the one that the bundle lists."""
        import hashlib

        for name, content in self.items():
            if hashlib.sha256(content).hexdigest() != self._listing[name].get("sha256"):
                raise BundleError(f"{self._path} is damaged: {name} does not fit the hash in {ABOUT}. Copy the bundle again.")

    def __contains__(self, name: object) -> bool:
        """Tell whether the bundle lists a file, without reading it."""
        return name in self._listing

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the files."""
        return iter(self._listing)

    def __len__(self) -> int:
        """Return how many files there are."""
        return len(self._listing)


def open_bundle(path: Path | str) -> Bundle:
    """Read and check a bundle; raise `BundleError` for anything that is damaged, unknown or unsafe."""
    path = Path(path)
    bundle = Bundle(path, *read_archive(path, KIND, REQUIRED))
    _check_values(bundle)
    return bundle


def bundle_kind(path: Path | str) -> str:
    """Return of what kind a bundle is, without reading its files; raise `BundleError` for what is no bundle."""
    path = Path(path)
    with _opened(path) as archive:
        return str(_document(path, archive).get("kind", KIND))


def read_archive(path: Path, kind: str, required: Iterable[str]) -> tuple[dict[str, Any], Files]:
    """Return what a bundle of this kind says about itself, with these keys, and its files, each read once to see that it is whole."""
    with _opened(path) as archive:
        about = _read(path, archive, kind, required)
        for name, listed in about["files"].items():
            for _ in _pieces(path, archive, name, listed):
                pass
    return about, Files(path, about["files"])


def write_bundle(path: Path, about: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write a bundle to `path`; `about` is completed by the schema and the files' sizes and hashes."""
    import hashlib

    listed = {name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()}
    document = {"schema": SCHEMA, **about, "files": listed}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {ABOUT: json.dumps(document, indent=2, ensure_ascii=False).encode(), **files}.items():
            packs = len(zlib.compress(content)) < WORTHWHILE * len(content)
            method = zipfile.ZIP_DEFLATED if packs else zipfile.ZIP_STORED
            # A fixed date: the same run gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, method, compresslevel=9)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a bundle whose names and sizes are safe; what its damage raises becomes one sentence."""
    if path.is_dir():
        raise BundleError(
            f"{path} is a folder; give a .wake file. (A run folder becomes one with: speechtl export {path} -o NAME.wake; "
            f"a run on pictures with: speechtl image export {path} -o NAME.wake)"
        )
    if not path.is_file():
        raise BundleError(f"{path} does not exist.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(path, archive)
            yield archive
    except PermissionError:
        raise
    except DAMAGE as error:
        raise BundleError(f"{path} is no bundle, or was cut short: {error}.") from error


def _check_entries(path: Path, archive: zipfile.ZipFile) -> None:
    for entry in archive.infolist():
        if entry.filename != Path(entry.filename).name or "\\" in entry.filename or entry.filename in ("", ".", ".."):
            raise BundleError(f"{path} is not safe to open: it holds a file named {entry.filename!r}, which leads out of the bundle.")
    if sum(entry.file_size for entry in archive.infolist()) > max(MAX_BYTES, MAX_PACKED * path.stat().st_size):
        raise BundleError(f"{path} is larger than a bundle may be ({MAX_BYTES // 2**20} MB).")


def _read(path: Path, archive: zipfile.ZipFile, kind: str, required: Iterable[str]) -> dict[str, Any]:
    about = _document(path, archive)
    if (given := about.get("kind", KIND)) != kind:
        raise BundleError(f"{path} is a bundle of the kind {given!r}, where {kind!r} is needed; see: speechtl --help")
    missing = [key for key in required if key not in about]
    if missing:
        raise BundleError(f"{path} is damaged: its {ABOUT} has no {missing[0]!r}.")
    listing = about["files"]
    if not isinstance(listing, dict) or not all(isinstance(listed, dict) for listed in listing.values()):
        raise BundleError(f"{path} is damaged: its {ABOUT} does not list its files.")
    unlisted = sorted((Counter(archive.namelist()) - Counter([ABOUT, *listing])).elements())
    if unlisted:
        raise BundleError(f"{path} is damaged: it holds {unlisted[0]!r} besides what its {ABOUT} lists.")
    return about


def _document(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    if ABOUT not in archive.namelist():
        raise BundleError(f"{path} is a zip file but no bundle: it has no {ABOUT}.")
    try:
        about = json.loads(archive.read(ABOUT))
    except DAMAGE as error:
        raise BundleError(f"{path} is damaged: its {ABOUT} cannot be read ({error}).") from error
    schema = about.get("schema") if isinstance(about, dict) else None
    if type(schema) is not int or schema < 1:
        raise BundleError(f"{path} is damaged: its {ABOUT} has no schema number.")
    if schema > SCHEMA:
        raise BundleError(
            f"{path} has schema {schema}, made by a newer speechtl; this one reads up to {SCHEMA}. Update it with: pip install -U speechtl"
        )
    return dict(about)


def _pieces(path: Path, archive: zipfile.ZipFile, name: str, listed: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield a file in pieces, and raise `BundleError` behind the last where they do not fit its size and the zip's checksum."""
    size = 0
    try:
        with archive.open(name) as file:
            while piece := file.read(PIECE_BYTES):
                size += len(piece)
                yield piece
    except (KeyError, *DAMAGE) as error:
        raise BundleError(f"{path} is damaged: {name} is missing or cannot be read ({error}).") from error
    if size != listed.get("size"):
        raise BundleError(f"{path} is damaged: {name} has {size} bytes, not those that {ABOUT} lists. Copy the bundle again.")


def _check_values(bundle: Bundle) -> None:
    try:
        _ = (bundle.features, bundle.words, bundle.frames_per_step, bundle.silent_steps, bundle.states)
        missing = [name for name, graph in bundle.graphs.items() if name not in bundle.files or not graph.format]
        if not isinstance(bundle.about.get("data", {}), dict) or not all(
            isinstance(word["name"], str)
            and word["name"]
            and word["name"].isprintable()  # it stands in lines for people, and in the environment of commands
            and isinstance(word["phrases"], list)
            and all(isinstance(phrase, str) for phrase in word["phrases"])
            for word in (bundle.about, *(bundle.about.get("words") or ()))
        ):
            raise ValueError("name, phrases or data")
        if len({word.name for word in bundle.words}) < len(bundle.words):
            raise ValueError("two words of one name")
        if (
            not 1 <= bundle.frames_per_step <= MAX_STEPS
            or bundle.silent_steps > MAX_STEPS
            or bundle.silent_steps < 0
            or min((1, *(size for state in bundle.states for size in state.shape))) < 1
        ):
            raise ValueError("sizes out of range")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{bundle.path} is damaged: its {ABOUT} holds values of the wrong kind ({error!r}).") from error
    if missing or not bundle.graphs:
        raise BundleError(
            f"{bundle.path} is damaged: it names {'no graph' if not missing else f'the graph {missing[0]!r}, which is not in it'}."
        )
