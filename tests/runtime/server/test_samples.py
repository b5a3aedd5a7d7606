import io

import numpy as np
import pytest
import soundfile

from speechtl.errors import ProtocolError
from speechtl.runtime.server.samples import PcmConverter, PcmFormat, to_numbers

SUBTYPES = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}


def encode(samples: np.ndarray, rate: int, width: int) -> tuple[bytes, np.ndarray]:
    """Return samples `(frames, channels)` as libsndfile writes them into a WAV file, and as it reads them back."""
    raw = io.BytesIO()
    soundfile.write(raw, samples, rate, format="WAV", subtype=SUBTYPES[width])
    raw.seek(0)
    read = soundfile.read(raw, dtype="float32", always_2d=True)[0]
    return raw.getvalue()[-samples.size * width :], read


def convert(form: PcmFormat, content: bytes, cut: int) -> np.ndarray:
    converter = PcmConverter(form)
    parts = [converter.convert(piece) for start in range(0, len(content), cut) for piece in converter.pieces(content[start : start + cut])]
    return np.concatenate([*parts, converter.end()])


@pytest.fixture
def stereo():
    time = np.arange(24_000) / 16_000
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * time), 0.25 * np.sin(2 * np.pi * 660 * time)], axis=1)


@pytest.mark.parametrize("width", SUBTYPES)
def test_every_width_is_read_as_libsndfile_reads_it(stereo, width):
    content, read = encode(stereo, 16_000, width)
    np.testing.assert_array_equal(to_numbers(content, width).reshape(-1, 2), read)


@pytest.mark.parametrize("width", SUBTYPES)
@pytest.mark.parametrize("cut", [1001, 2560, 10**6])
def test_channels_are_averaged_however_the_bytes_are_cut(stereo, width, cut):
    content, read = encode(stereo, 16_000, width)
    np.testing.assert_allclose(convert(PcmFormat(16_000, width, 2), content, cut), read.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_every_rate_becomes_16_khz_in_tune(rate):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
    content, _ = encode(tone[:, None], rate, 2)
    heard = convert(PcmFormat(rate, 2, 1), content, 4096)
    assert len(heard) == pytest.approx(32_000, abs=2)
    spectrum = np.abs(np.fft.rfft(heard[8_000:24_000] * np.hanning(16_000)))
    assert spectrum.argmax() == 1000
    np.testing.assert_allclose(np.sqrt(2 * np.mean(heard[8_000:24_000] ** 2)), 0.5, atol=0.002)


def test_long_chunks_are_worked_on_a_second_at_a_time(stereo):
    content, _ = encode(stereo, 16_000, 2)
    assert [len(piece) for piece in PcmConverter(PcmFormat(16_000, 2, 2)).pieces(content)] == [64_000, 32_000]


def test_audio_that_ends_within_a_sample_is_told():
    converter = PcmConverter(PcmFormat(16_000, 2, 2))
    assert list(converter.pieces(bytes(7))) == [bytes(4)]
    with pytest.raises(ProtocolError, match="3 bytes are left where 4 make one"):
        converter.end()


@pytest.mark.parametrize(
    ("field", "value"),
    [("rate", 0), ("rate", 10**9), ("rate", 16_000.0), ("width", 5), ("channels", 0), ("channels", None), ("rate", True)],
)
def test_formats_that_cannot_be_are_refused(field, value):
    with pytest.raises(ProtocolError, match=field):
        PcmFormat.of({"rate": 16_000, "width": 2, "channels": 1} | {field: value})
