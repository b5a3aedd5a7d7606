"""The description in a wake-word bundle, as typed values; `BundleError` names a field that is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from speechtl.errors import BundleError
from speechtl.runtime.bundle.document import Field
from speechtl.runtime.bundle.sensitivity import Sensitivity, read_sensitivity
from speechtl.runtime.features import Features, LogMelSettings, WaveformSettings
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.runtime.trigger import TriggerSettings

REQUIRED = ("name", "phrases", "sample_rate", "features", "chunk", "states", "detector", "graphs", "files")
MAX_NAME = 100  # characters of a word, a state, a graph or a phrase
MAX_WORDS = 256
MAX_PHRASES = 64  # of a word
MAX_GRAPHS = 16
MAX_FILES = 32
MAX_STATES = 256
MAX_STATE_VALUES = 1_000_000  # of all states together: 4 MB, of which a few copies exist
MAX_SIDE = 100_000  # of a state's shape
MAX_FRAMES = 2000  # input of a graph
MAX_SILENT_STEPS = 10_000  # far beyond any network's memory
MAX_SILENT_VALUES = 4_000_000  # frames of silence before a stream, times bands
SHORTEST_STEP, LONGEST_STEP = 80, 30 * SAMPLE_RATE  # samples between two scores: 5 ms to 30 s
MAX_SMOOTHING = 1000  # steps
MAX_REFRACTORY = 3600.0  # seconds
MAX_LENGTH = 30.0  # seconds of a word
DELAYS = (-30.0, 30.0)  # seconds from a word's end to its event
MAX_TOLERANCE = 10.0
TOLERANCE = 1e-4  # allowed difference of a score, which is between 0 and 1, where a graph states no other
MAX_DFT, MAX_BANDS = 2048, 512
MAX_SIZE = 2**31 - 1  # bytes of a file: more than that no ONNX or TFLite graph can have
HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class State:
    """One state of the step graph: its input's name, the output that replaces it, and its shape."""

    name: str
    output: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """One graph of a bundle: its file, format and layout, and whether the exporter found it fit for use."""

    name: str
    format: str  # "onnx" or "tflite"
    precision: str  # "fp32" or "int8"
    layout: str = "NCHW"  # of its frames and states; the bundle gives their shapes as (1, channels, frames, bands)
    default: bool = True  # False: runs only when it is given by name
    tolerance: float | None = None  # the largest score difference that its verification allows
    measured: tuple[str, ...] = ()  # the runtimes in which it stayed within the tolerance

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape of the bundle in the layout of this graph."""
        if self.layout == "NCHW" or len(shape) != 4:
            return shape
        return (shape[0], shape[2], shape[3], shape[1])


@dataclass(frozen=True)
class Timing:
    """Where a word lies before its event: its length, and the delay from its end to the event (seconds, medians of recordings)."""

    length: float
    delay: float


@dataclass(frozen=True)
class Word:
    """A wake word of a bundle: the name of its events, its phrases, and when its score becomes an event.

    `sensitivity` is None where the word was not calibrated, `timing` where the bundle does not tell it.
    """

    name: str
    phrases: tuple[str, ...]
    trigger: TriggerSettings
    sensitivity: Sensitivity | None = None
    timing: Timing | None = None
    column: int = 0  # of the graph's scores


@dataclass(frozen=True)
class Listed:
    """Size and hash of a bundle's file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Description:
    """The typed values of a wake-word bundle."""

    name: str
    features: Features
    words: tuple[Word, ...]
    columns: int  # of the graph's scores: one for each word, and more where words were left out
    frames_per_step: int
    silent_steps: int
    states: tuple[State, ...]
    graphs: Mapping[str, Graph]


def read_description(about: Mapping[str, Any]) -> Description:
    """The values of a wake-word bundle; raise `BundleError` for one that is missing, of another type or out of range."""
    field = Field("", about)
    field["sample_rate"].whole(SAMPLE_RATE, SAMPLE_RATE)
    features = read_feature_settings(field["features"])
    frames, silent = _chunk(field["chunk"], features)
    words = _words(field)
    check_provenance(field)
    for word in field.get("words", []).list(0, MAX_WORDS):
        check_provenance(word)
    columns = field.get("columns", len(words)).whole(1, MAX_WORDS)
    if max(word.column for word in words) >= columns:
        raise field.get("columns", len(words)).wrong("more than the column of every word")
    return Description(field["name"].text(MAX_NAME), features, words, columns, frames, silent, _states(field["states"]), _graphs(field))


def read_listing(field: Field) -> dict[str, Listed]:
    """Size and hash of every file of a bundle of any kind."""
    return {name: _listed(listed) for name, listed in field.items(MAX_FILES)}


def _listed(field: Field) -> Listed:
    sha256 = field["sha256"].text(64)
    if len(sha256) != 64 or not HEX.issuperset(sha256):
        raise field["sha256"].wrong("a SHA-256 of 64 hexadecimal digits")
    return Listed(field["size"].whole(0, MAX_SIZE), sha256)


def read_feature_settings(field: Field) -> Features:
    """The settings of a front end."""
    if field["kind"].one_of(LogMelSettings.kind, WaveformSettings.kind) == WaveformSettings.kind:
        field.only("kind", "sample_rate", "hop")
        return WaveformSettings(_rate(field), field.get("hop", WaveformSettings.hop).whole(1, SAMPLE_RATE))
    standard = LogMelSettings()
    field.only(*standard.to_json())
    dft = field.get("dft", standard.dft).whole(1, MAX_DFT)
    low = field.get("low_hz", standard.low_hz).real(0.0, SAMPLE_RATE / 2)
    return LogMelSettings(
        sample_rate=_rate(field),
        window=field.get("window", standard.window).whole(1, dft),
        dft=dft,
        hop=field.get("hop", standard.hop).whole(1, SAMPLE_RATE),
        bands=field.get("bands", standard.bands).whole(1, MAX_BANDS),
        low_hz=low,
        high_hz=field.get("high_hz", standard.high_hz).real(low, SAMPLE_RATE / 2),
        floor_db=field.get("floor_db", standard.floor_db).real(-100.0, 100.0),
    )


def _rate(field: Field) -> int:
    return field.get("sample_rate", SAMPLE_RATE).whole(SAMPLE_RATE, SAMPLE_RATE)


def _chunk(field: Field, features: Features) -> tuple[int, int]:
    least, most = math.ceil(SHORTEST_STEP / features.hop), min(MAX_FRAMES, LONGEST_STEP // features.hop)
    frames = field["frames"].whole(max(least, 1), max(most, 1))
    silent = field["silent_steps"].whole(0, min(MAX_SILENT_STEPS, MAX_SILENT_VALUES // (frames * features.bands)))
    return frames, silent


def _words(field: Field) -> tuple[Word, ...]:
    whole = _word(field, MAX_PHRASES * MAX_WORDS)
    described = field.get("words", []).list(0, MAX_WORDS)
    words = tuple(
        replace(_word(one, MAX_PHRASES), column=one.get("column", place).whole(0, MAX_WORDS - 1)) for place, one in enumerate(described)
    )
    if len({word.name for word in words}) < len(words):
        raise BundleError("words contains two words of the same name.")
    if len({word.column for word in words}) < len(words):
        raise BundleError("words contains two words of the same column.")
    return words or (whole,)


def _word(field: Field, phrases: int) -> Word:
    return Word(
        field["name"].text(MAX_NAME),
        _phrases(field, phrases),
        read_trigger(field["detector"]),
        read_sensitivity(field.get("sensitivity")),
        _timing(field.get("timing")),
    )


def _timing(field: Field) -> Timing | None:
    if field.value is None:
        return None
    field.only("length", "delay")
    return Timing(field["length"].real(0.0, MAX_LENGTH), field["delay"].real(*DELAYS))


def _phrases(field: Field, most: int) -> tuple[str, ...]:
    return tuple(phrase.text(MAX_NAME) for phrase in field["phrases"].list(0, most))


def read_trigger(field: Field) -> TriggerSettings:
    """The settings of a trigger."""
    field.only("threshold", "smoothing", "refractory")
    standard = TriggerSettings()
    threshold = field.get("threshold", standard.threshold)
    if threshold.real(0.0, 1.0) == 0.0:
        raise threshold.wrong("above 0 and at most 1")
    return TriggerSettings(
        threshold.real(0.0, 1.0),
        field.get("smoothing", standard.smoothing).whole(1, MAX_SMOOTHING),
        field.get("refractory", standard.refractory).real(0.0, MAX_REFRACTORY),
    )


def _states(field: Field) -> tuple[State, ...]:
    states = tuple(
        State(
            state["name"].text(MAX_NAME),
            state["output"].text(MAX_NAME),
            tuple(side.whole(1, MAX_SIDE) for side in state["shape"].list(0, 8)),
        )
        for state in field.list(0, MAX_STATES)
    )
    if sum(math.prod(state.shape) for state in states) > MAX_STATE_VALUES:
        raise BundleError(f"states have more than {MAX_STATE_VALUES} values together.")
    for names in ([state.name for state in states], [state.output for state in states]):
        if len(set(names)) < len(names):
            raise BundleError("states contains two states of the same name.")
    return states


def _graphs(field: Field) -> dict[str, Graph]:
    measured = [
        (one["graph"].text(MAX_NAME), one["engine"].text(MAX_NAME)) for one in field.get("parity", []).list(0, 1000) if one["ok"].flag()
    ]
    return {
        name: _graph(name, graph, tuple(engine for made, engine in measured if made == name))
        for name, graph in field["graphs"].items(MAX_GRAPHS)
    }


def _graph(name: str, field: Field, measured: tuple[str, ...]) -> Graph:
    return Graph(
        Field("a name in graphs", name).text(MAX_NAME),
        field["runtime"].text(MAX_NAME),
        field.get("precision", "fp32").text(MAX_NAME),
        field.get("layout", "NCHW").one_of("NCHW", "NHWC"),
        field.get("default", True).flag(),
        read_tolerance(field),
        measured,
    )


def read_tolerance(field: Field) -> float | None:
    """The score difference that a graph's verification allows."""
    tolerance = field.get("tolerance")
    return None if tolerance.value is None else tolerance.real(0.0, MAX_TOLERANCE)


def check_provenance(field: Field) -> None:
    """Check the types of the provenance that reports and pages show."""
    data = field.get("data", {})
    if not isinstance(data.get("recordings", "").value, str):
        raise data.get("recordings").wrong("a text")
    encoder = field.get("encoder", {})
    for key in ("name", "source", "licence"):
        if not isinstance(encoder.get(key, "").value, str):
            raise encoder.get(key).wrong("a text")
    field.get("versions", {}).table()
