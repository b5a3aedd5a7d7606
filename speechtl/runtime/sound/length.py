"""Length of sound files whose header does not give it, or that libsndfile reads only in part: counted from the file's own bytes."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

FLAC_UNKNOWN = 1 << 40  # frames and more are announced where STREAMINFO holds none
FLAC_TAIL = 1 << 20  # bytes at the end, in which the last frame begins
OPUS_RATE = 48_000
MP3_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
MP3_KBPS = {  # by whether it is MPEG 1, and the layer's bits (3: layer I, 2: II, 1: III)
    (True, 3): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class Patched(io.RawIOBase):
    """A readable file with some bytes near the beginning replaced."""

    def __init__(self, path: Path, at: int, content: bytes) -> None:
        self._file, self._at, self._content = path.open("rb"), at, content

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position, as in any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position of the next read."""
        return self._file.tell()

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Fill a buffer; return the number of bytes read."""
        start = self._file.tell()
        count = self._file.readinto(buffer)
        for index in range(max(self._at, start), min(self._at + len(self._content), start + count)):
            buffer[index - start : index - start + 1] = self._content[index - self._at : index - self._at + 1]
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def with_length(path: Path) -> Patched | None:
    """A FLAC or WAV file whose header lacks the length, with the length filled in; None where it is there or cannot be found."""
    with path.open("rb") as file:
        beginning = file.read(12)
        if beginning[:4] == b"fLaC":
            return _flac_with_length(path, file)
        if beginning[:4] == b"RIFF" and beginning[8:] == b"WAVE":
            return _wav_with_length(path, file)
    return None


def counted_seconds(path: Path) -> tuple[float, bool] | None:
    """Seconds of sound in an MP3 or Ogg file, and whether its header gives them; None for every other file."""
    about = path.stat()
    return _counted(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=4096)
def _counted(path: Path, _size: int, _changed: int) -> tuple[float, bool] | None:
    with path.open("rb") as file:
        if file.read(4) == b"OggS":
            return _ogg_seconds(file), True
        file.seek(0)
        return _mp3_seconds(file.read())


def _flac_with_length(path: Path, file: BinaryIO) -> Patched | None:
    file.seek(8)
    info = file.read(34)  # STREAMINFO, always the first block
    if len(info) < 34 or int.from_bytes(info[13:18], "big") & 0xFFFFFFFFF:
        return None
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - FLAC_TAIL, 42))
    total = _flac_samples(file.read(), int.from_bytes(info[2:4], "big"))
    if not total:
        return None
    return Patched(path, 21, (int.from_bytes(info[13:18], "big") | total).to_bytes(5, "big"))


def _flac_samples(tail: bytes, block: int) -> int:
    """Number of samples up to the end of the last frame, 0 where none is found; `block` is the block size where it is fixed."""
    at = len(tail)
    guess = 0
    while (at := max(tail.rfind(b"\xff\xf8", 0, at), tail.rfind(b"\xff\xf9", 0, at))) >= 0:
        total = _flac_frame_end(tail[at : at + 16], block)
        if total and _crc16(tail[at:-2]) == int.from_bytes(tail[-2:], "big"):
            return total
        guess = guess or total
    return guess


def _flac_frame_end(header: bytes, block: int) -> int:
    """Number of samples up to the end of a frame, from its header; 0 where that is not a header (RFC 9639, section 9.1)."""
    if len(header) < 16 or header[3] & 1:
        return 0
    extra = next((count for count in range(8) if not header[4] << count & 0x80), 0)
    following = header[5 : 5 + max(extra - 1, 0)]
    number = header[4] & (0x7F if extra == 0 else 0x7F >> extra)
    if extra == 1 or any(byte & 0xC0 != 0x80 for byte in following):
        return 0
    for byte in following:
        number = number << 6 | byte & 0x3F
    place = 5 + len(following)
    code, rate = header[2] >> 4, header[2] & 15
    wide = {6: 1, 7: 2}.get(code, 0)
    last = int.from_bytes(header[place : place + wide], "big") + 1
    samples = last if wide else 192 if code == 1 else 576 << code - 2 if 2 <= code <= 5 else 256 << code - 8 if code >= 8 else 0
    place += wide + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if not samples or rate == 15 or place >= len(header) or _crc8(header[:place]) != header[place]:
        return 0
    return (number if header[1] & 1 else number * block) + samples


def _crc8(content: bytes) -> int:
    return _crc(content, 0x07, 8)


def _crc16(content: bytes) -> int:
    return _crc(content, 0x8005, 16)


def _crc(content: bytes, polynomial: int, bits: int) -> int:
    table = _crc_table(polynomial, bits)
    value, full = 0, (1 << bits) - 1
    for byte in content:
        value = value << 8 & full ^ table[value >> bits - 8 ^ byte]
    return value


@lru_cache
def _crc_table(polynomial: int, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> bits - 1 else 0)
            value &= (1 << bits) - 1
        table.append(value)
    return table


def _wav_with_length(path: Path, file: BinaryIO) -> Patched | None:
    size = file.seek(0, os.SEEK_END)
    at = 12
    while at + 8 <= size:
        file.seek(at)
        name, length = file.read(4), int.from_bytes(file.read(4), "little")
        if name == b"data":
            follows, long = file.read(4), int.from_bytes(file.read(4), "little")
            rest = size - at - 8
            another = follows.isalpha() and long <= rest - 8  # a chunk after an empty one
            return Patched(path, at + 4, min(rest, 0xFFFFFFFF).to_bytes(4, "little")) if length == 0 and rest and not another else None
        at += 8 + length + length % 2
    return None


def _ogg_seconds(file: BinaryIO) -> float:
    """Seconds of all streams of a file together."""
    total = seconds = 0.0
    rate, skipped, beginning = 0, 0, False
    for flags, position, body in _ogg_pages(file):
        if flags & 2 and not beginning:
            total, seconds = total + seconds, 0.0
            rate = OPUS_RATE if body[:8] == b"OpusHead" else int.from_bytes(body[12:16], "little") if body[1:7] == b"vorbis" else 0
            skipped = int.from_bytes(body[10:12], "little") if body[:8] == b"OpusHead" else 0
        beginning = bool(flags & 2)
        if rate and 0 < position < 1 << 62:
            seconds = max(position - skipped, 0) / rate
    return total + seconds


def _ogg_pages(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yield flags, position and the first bytes of each page."""
    file.seek(0)
    while (head := file.read(27))[:4] == b"OggS" and len(head) == 27:
        length = sum(file.read(head[26]))
        body = file.read(min(length, 32))
        yield head[5], int.from_bytes(head[6:14], "little"), body
        file.seek(length - len(body), os.SEEK_CUR)


def _mp3_seconds(content: bytes) -> tuple[float, bool] | None:
    at = _behind_tag(content, 0)
    first = _mp3_frame(content[at : at + 4])
    if first is None:
        return None
    tagged = any(mark in content[at : at + first[0]] for mark in (b"Xing", b"Info", b"VBRI"))
    if tagged:
        at += first[0]
    seconds = 0.0
    while 0 <= at < len(content) - 3:
        frame = _mp3_frame(content[at : at + 4])
        if frame is None:
            at = _behind_tag(content, at) if content[at : at + 3] == b"ID3" else _next_mp3_frame(content, at + 1)
            continue
        if at + frame[0] > len(content):
            break
        if not any(mark in content[at : at + 48] for mark in (b"Xing", b"Info")):
            seconds += frame[1]
        at += frame[0]
    return seconds, tagged


def _behind_tag(content: bytes, at: int) -> int:
    """The position after an ID3 tag, or the same position where there is none."""
    if content[at : at + 3] != b"ID3" or len(content) < at + 10:
        return at
    a, b, c, d = content[at + 6 : at + 10]
    return at + 10 + (a << 21 | b << 14 | c << 7 | d)


def _next_mp3_frame(content: bytes, at: int) -> int:
    """The position of the next two consecutive frames, or -1."""
    while (at := content.find(b"\xff", at)) >= 0:
        frame = _mp3_frame(content[at : at + 4])
        if frame is not None and _mp3_frame(content[at + frame[0] : at + frame[0] + 4]) is not None:
            return at
        at += 1
    return -1


def _mp3_frame(header: bytes) -> tuple[int, float] | None:
    """Bytes and seconds of the frame with this header; None where it is not a header (ISO 11172-3, 2.4.2.3)."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate_code, speed = header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or layer == 0 or rate_code == 3 or speed in (0, 15):
        return None
    rate = MP3_RATES[version][rate_code]
    kbps = MP3_KBPS[version == 3, layer][speed]
    samples = 384 if layer == 3 else 576 if layer == 1 and version != 3 else 1152
    padding = (header[2] >> 1 & 1) * (4 if layer == 3 else 1)
    size = 4 * (12_000 * kbps // rate) + padding if layer == 3 else samples // 8 * 1000 * kbps // rate + padding
    return size, samples / rate
