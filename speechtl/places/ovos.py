"""The wake-word plugin for Open Voice OS, which its plugin manager finds as `ovos-ww-plugin-speechtl`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechtl.errors import SpeechtlError, no_word
from speechtl.places.packages import require
from speechtl.runtime.detector import Detector
from speechtl.runtime.listen.incoming import Incoming
from speechtl.runtime.samples import SAMPLE_RATE

try:
    from ovos_plugin_manager.templates.hotwords import HotWordEngine
except ModuleNotFoundError:  # __init__ says so
    HotWordEngine = object

LEAST = "2.1.0"


class SpeechtlHotWord(HotWordEngine):
    """A wake word of Open Voice OS; its block in mycroft.conf has `model`, and may have `threshold`, `word` and `rate`.

    `model` is a bundle, `word` one of its words where only that one counts, and `rate` the microphone's, 16000 Hz by default.
    """

    def __init__(self, key_phrase: str, config: Mapping[str, Any] | None = None, *_: Any) -> None:
        require("The plugin for Open Voice OS", "ovos", "ovos-plugin-manager", LEAST)
        super().__init__(key_phrase, config)
        self._rate = round(_number(key_phrase, "rate", self.config.get("rate", SAMPLE_RATE)))
        detector = _open(key_phrase, self.config)
        self._words = _words(detector, self.config.get("word"))
        self._incoming = Incoming(detector)
        self._found = False

    def update(self, chunk: bytes) -> None:
        """Take the next samples, 16-bit mono."""
        if any(event.name in self._words for event in self._incoming.feed(chunk, self._rate)):
            self._found = True

    def found_wake_word(self, frame_data: Any = None) -> bool:
        """True once after each detection; `frame_data` is what older listeners pass."""
        found, self._found = self._found, False
        return found

    def reset(self) -> None:
        """Forget what was heard."""
        self._found = False
        self._incoming.reset()


def _open(key_phrase: str, config: Mapping[str, Any]) -> Detector:
    model = config.get("model")
    if not isinstance(model, str) or not model:
        raise SpeechtlError(
            f"The hotword {key_phrase!r} has no model; give a bundle in mycroft.conf: "
            '{"module": "ovos-ww-plugin-speechtl", "model": "/PATH/NAME.wake"}.'
        )
    threshold = config.get("threshold")
    return Detector.open(model, threshold=None if threshold is None else _number(key_phrase, "threshold", threshold))


def _number(key_phrase: str, name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SpeechtlError(f"The {name} of the hotword {key_phrase!r} must be a number; got {value!r}.") from error


def _words(detector: Detector, word: str | None) -> set[str]:
    """The words that count: the given one, or all of the bundle."""
    if word is None:
        return set(detector.names)
    if word not in detector.names:
        raise SpeechtlError(no_word("The bundle", word, detector.names))
    return {word}
