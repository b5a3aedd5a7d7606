"""A network with the inputs and output of Kokoro that hums for 70 ms a phoneme, and voices that differ in loudness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from speechtl.audio.synthesis import kokoro_files
from speechtl.audio.synthesis.espeak import EspeakLibrary, find_espeak
from speechtl.audio.synthesis.kokoro import Kokoro
from speechtl.cache import Published
from speechtl.files import sha256_of

PEAKS = {"af_one": 0.2, "am_two": 0.4, "bf_three": 0.6, "zm_four": 0.8, "zm_silent": 0.0}
ROWS = 510


def write_network(path: Path, phoneme_samples: float = 1680.0) -> Path:
    """Write a graph whose hum is as long as its tokens at its speed, and as loud as the style, with silence around it."""
    constants = {
        "one": np.array([1]),
        "zero": np.array(0),
        "step": np.array(1),
        "samples": np.array(phoneme_samples, np.float32),
        "pitch": np.array(0.05, np.float32),
        "silence": np.zeros(2400, np.float32),
        "first": np.array([0]),
        "all": np.array([-1]),
    }
    nodes = [
        ("Shape", ["tokens"], "shape", {}),
        ("Gather", ["shape", "one"], "count", {}),
        ("Cast", ["count"], "counted", {"to": TensorProto.FLOAT}),
        ("Mul", ["counted", "samples"], "plain", {}),
        ("Div", ["plain", "speed"], "long", {}),
        ("Cast", ["long"], "length", {"to": TensorProto.INT64}),
        ("Squeeze", ["length"], "end", {}),
        ("Range", ["zero", "end", "step"], "times", {}),
        ("Cast", ["times"], "moments", {"to": TensorProto.FLOAT}),
        ("Mul", ["moments", "pitch"], "phase", {}),
        ("Sin", ["phase"], "hum", {}),
        ("Slice", ["style", "first", "one", "one"], "peak", {}),
        ("Reshape", ["peak", "all"], "loudness", {}),
        ("Mul", ["hum", "loudness"], "sound", {}),
        ("Concat", ["silence", "sound", "silence"], "audio", {"axis": 0}),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, given, [made], **settings) for kind, given, made, settings in nodes],
        "hum",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "length"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["samples"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def styles(peak: float) -> np.ndarray:
    """Vectors whose first value is the loudness, a little higher for every further phoneme."""
    made = np.zeros((ROWS, 1, 256), np.float32)
    made[:, 0, 0] = peak * (1 + np.arange(ROWS) / 10_000)
    return made


def publish(monkeypatch: pytest.MonkeyPatch, network: bytes, voices: bytes) -> None:
    """Let other contents be the published ones."""
    for name, content in (("NETWORK", network), ("VOICES", voices)):
        old: Published = getattr(kokoro_files, name)
        monkeypatch.setattr(kokoro_files, name, Published(old.what, old.url, sha256_of(content), old.cached, old.otherwise))


def tiny_kokoro(folder: Path, monkeypatch: pytest.MonkeyPatch, *, peaks: dict[str, float] | None = None) -> Kokoro:
    """Write the files and let them be the published ones, in the folder where they are looked for."""
    network = write_network(folder / "kokoro-v1.0.int8.onnx")
    voices = folder / "voices-v1.0.bin"
    with voices.open("wb") as file:
        np.savez(file, **{name: styles(peak) for name, peak in (peaks or PEAKS).items()})  # type: ignore[arg-type]
    publish(monkeypatch, network.read_bytes(), voices.read_bytes())
    monkeypatch.setenv(kokoro_files.PLACE, str(folder))
    espeak = find_espeak()
    assert isinstance(espeak, EspeakLibrary)
    return Kokoro(network, voices, espeak)
