"""The file of a bundle: a zip archive with a description and the files that it lists, bounded in size and checked by hash."""

from __future__ import annotations

import importlib
import json
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechtl.errors import BundleError
from speechtl.files import in_megabytes
from speechtl.runtime.bundle.description import MAX_NAME, Listed, read_listing
from speechtl.runtime.bundle.document import MAX_DOCUMENT, Field, read_document, shown

SCHEMA = 1
ABOUT = "bundle.json"
KIND = "wake word"  # of a bundle that states no other
PICTURE_KIND = "image"
MAX_BYTES = 32 * 1024 * 1024  # of everything unpacked, unless the bundle itself is large
MAX_PACKED = 4  # times its own size; weights never compress that well
MAX_LARGE = 2**32  # bytes; large enough for hundreds of millions of weights in float and int8
WORTHWHILE = 0.8  # of its size; a file that compresses to more is stored as it is, because decompression delays the start
# Errors that a damaged zip raises, beside zipfile's own.
DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError, zlib.error)
PIECE_BYTES = 1 << 16  # read at a time
MAX_ENTRIES = 64  # of the zip
MAX_DIRECTORY = 64 * 1024  # bytes of the zip's central directory
END, END_BYTES = b"PK\x05\x06", 22  # the record after a zip's central directory
LOCATOR, LOCATOR_BYTES = b"PK\x06\x07", 20  # the record before it in a zip of more than 4 GB


def _sha256() -> Callable[[bytes], Any]:
    """SHA-256 from Python's own module: `hashlib` would load OpenSSL, 4 MB of every detector's memory."""
    for module in ("_sha2", "_sha256", "hashlib"):  # from Python 3.12 on, before that, and in builds without either
        try:
            return importlib.import_module(module).sha256
        except ImportError:
            continue
    raise ImportError("This Python has no SHA-256.")


sha256 = _sha256()


class Files(Mapping[str, bytes]):
    """The files of a bundle by name, read and checked on access."""

    def __init__(self, path: Path, listing: Mapping[str, Listed]) -> None:
        self._path = path
        self._listing = listing

    def __getitem__(self, name: str) -> bytes:
        """The content of a file; raises `BundleError` when it has changed since the bundle was opened."""
        listed = self._listing[name]
        with _opened(self._path) as archive:
            content = b"".join(_pieces(self._path, archive, name, listed))
        if sha256(content).hexdigest() != listed.sha256:
            raise BundleError(f"{self._path} is damaged: {name} does not match its hash in {ABOUT}. Copy the bundle again.")
        return content

    def sha256(self, name: str) -> str:
        """The hash of a file, against which its content is checked whenever it is read."""
        return self._listing[name].sha256

    def check_hashes(self) -> None:
        """Raise `BundleError` for a file whose hash is not the one that the bundle lists."""
        for _ in self.values():
            pass

    def __contains__(self, name: object) -> bool:
        """True for a file that the bundle lists, without reading it."""
        return name in self._listing

    def __iter__(self) -> Iterator[str]:
        """The names of the files."""
        return iter(self._listing)

    def __len__(self) -> int:
        """Number of files."""
        return len(self._listing)


@contextmanager
def field_of(path: Path) -> Iterator[None]:
    """Put the bundle's name before an error that names a field."""
    try:
        yield
    except BundleError as error:
        raise BundleError(f"{path} cannot be used: in its {ABOUT}, {error}") from error


def bundle_kind(path: Path | str) -> str:
    """Kind of a bundle, read without its files; raises `BundleError` for anything else."""
    path = Path(path)
    with _opened(path) as archive:
        return _kind(path, _document(path, archive))


def read_archive(path: Path, kind: str, required: Iterable[str]) -> tuple[dict[str, Any], Files]:
    """Description of a bundle of this kind, with these keys, and its files, each read once to check that it is whole."""
    with _opened(path) as archive:
        about, listing = _read(path, archive, kind, required)
        for name, listed in listing.items():
            for _ in _pieces(path, archive, name, listed):
                pass
    return about, Files(path, listing)


def write_bundle(path: Path, about: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write a bundle to `path`; `about` is completed by the schema and the files' sizes and hashes."""
    listed = {name: {"size": len(content), "sha256": sha256(content).hexdigest()} for name, content in files.items()}
    document = {"schema": SCHEMA, **about, "files": listed}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {ABOUT: json.dumps(document, indent=2, ensure_ascii=False).encode(), **files}.items():
            packs = len(zlib.compress(content)) < WORTHWHILE * len(content)
            method = zipfile.ZIP_DEFLATED if packs else zipfile.ZIP_STORED
            # A fixed date: the same run gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, method, compresslevel=9)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a bundle whose names and sizes are safe; turn the errors of a damaged one into one sentence."""
    if path.is_dir():
        raise BundleError(
            f"{path} is a folder; give a .wake file. (A run folder becomes one with: speechtl export {path} -o NAME.wake; "
            f"a run on pictures with: speechtl image export {path} -o NAME.wake)"
        )
    if not path.is_file():
        raise BundleError(f"{path} does not exist.")
    if path.stat().st_size > MAX_LARGE:
        raise BundleError(f"{path} is larger than a bundle may be ({MAX_LARGE // 2**30} GB).")
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            _check_entries(path, archive)
            yield archive
    except PermissionError:
        raise
    except DAMAGE as error:
        raise BundleError(f"{path} is not a bundle, or was cut short: {reason(error)}.") from error


def _check_directory(path: Path) -> None:
    """Refuse a directory that is too large, before `zipfile` reads it."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - (1 << 16) - END_BYTES - LOCATOR_BYTES, 0))
        tail = file.read()
    place = tail.find(END)
    while place >= 0:
        if len(tail) - place >= END_BYTES:
            entries, size = struct.unpack_from("<HI", tail, place + 10)
            if entries > MAX_ENTRIES or size > MAX_DIRECTORY or tail[max(place - LOCATOR_BYTES, 0) :].startswith(LOCATOR):
                raise BundleError(f"{path} contains more files than a bundle may have ({MAX_ENTRIES}).")
        place = tail.find(END, place + 1)


def _check_entries(path: Path, archive: zipfile.ZipFile) -> None:
    for entry in archive.infolist():
        if entry.filename != Path(entry.filename).name or "\\" in entry.filename or entry.filename in ("", ".", ".."):
            raise BundleError(
                f"{path} is not safe to open: it contains a file named {shown(entry.filename)}, which is outside of the bundle."
            )
    size = path.stat().st_size
    most = min(max(MAX_BYTES, MAX_PACKED * size), MAX_LARGE)
    if (unpacked := sum(entry.file_size for entry in archive.infolist())) > most:
        raise BundleError(
            f"{path} is larger than a bundle may be: its {in_megabytes(size)} unpack to {in_megabytes(unpacked)}, "
            f"of {in_megabytes(most)} that are allowed."
        )


def _read(path: Path, archive: zipfile.ZipFile, kind: str, required: Iterable[str]) -> tuple[dict[str, Any], dict[str, Listed]]:
    about = _document(path, archive)
    if (given := _kind(path, about)) != kind:
        raise BundleError(f"{path} is a bundle of the kind {given!r}, where {kind!r} is needed; see: speechtl --help")
    missing = [key for key in required if key not in about]
    if missing:
        raise BundleError(f"{path} is damaged: its {ABOUT} has no {missing[0]!r}.")
    with field_of(path):
        listing = read_listing(Field("files", about["files"]))
    unlisted = sorted((Counter(archive.namelist()) - Counter([ABOUT, *listing])).elements())
    if unlisted:
        raise BundleError(f"{path} is damaged: it contains {shown(unlisted[0])}, which its {ABOUT} does not list.")
    return about, listing


def _kind(path: Path, about: Mapping[str, Any]) -> str:
    with field_of(path):
        return Field("kind", about.get("kind", KIND)).text(MAX_NAME)


def _document(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    if ABOUT not in archive.namelist():
        raise BundleError(f"{path} is a zip file but not a bundle: it has no {ABOUT}.")
    try:
        with archive.open(ABOUT) as file:
            about = read_document(file.read(MAX_DOCUMENT + 1))
    except DAMAGE as error:
        raise BundleError(f"{path} is damaged: its {ABOUT} cannot be read ({reason(error)}).") from error
    schema = about.get("schema") if isinstance(about, dict) else None
    if type(schema) is not int or schema < 1:
        raise BundleError(f"{path} is damaged: its {ABOUT} has no schema number.")
    if schema > SCHEMA:
        raise BundleError(
            f"{path} has schema {schema}, made by a newer speechtl; this one reads up to {SCHEMA}. Update it with: pip install -U speechtl"
        )
    return dict(about)


def _pieces(path: Path, archive: zipfile.ZipFile, name: str, listed: Listed) -> Iterator[bytes]:
    """Yield a file in pieces; raise `BundleError` after the last one where the size or the checksum is wrong."""
    size = 0
    try:
        with archive.open(name) as file:
            while piece := file.read(PIECE_BYTES):
                size += len(piece)
                if size > listed.size:
                    break
                yield piece
    except (KeyError, *DAMAGE) as error:
        raise BundleError(f"{path} is damaged: {name} is missing or cannot be read ({reason(error)}).") from error
    if size != listed.size:
        has = f"more than {listed.size}" if size > listed.size else str(size)
        raise BundleError(f"{path} is damaged: {name} has {has} bytes, where {ABOUT} lists {listed.size}. Copy the bundle again.")


def reason(error: Exception) -> str:
    """The message of an error without the characters of untrusted names."""
    return ascii(str(error) or type(error).__name__)[1:-1][:200]
