"""What a network takes of a stream, whichever kind: log-mel frames, or the samples themselves."""

from __future__ import annotations

from typing import Any

from speechtl.errors import BundleError
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.waveform import Waveform, WaveformSettings

Features = LogMelSettings | WaveformSettings
FrontEnd = LogMel | Waveform


def front_end(features: Features) -> FrontEnd:
    """Return what computes these features of a stream."""
    return LogMel(features) if isinstance(features, LogMelSettings) else Waveform(features)


def read_features(values: dict[str, Any]) -> Features:
    """Read settings back from JSON; raise `BundleError` for features of a kind that is not known."""
    kinds: dict[Any, type[LogMelSettings] | type[WaveformSettings]] = {kind.kind: kind for kind in (LogMelSettings, WaveformSettings)}
    if values.get("kind") not in kinds:
        known = " and ".join(map(repr, kinds))
        raise BundleError(f"The features are of kind {values.get('kind')!r}; this version of speechtl knows {known}.")
    return kinds[values["kind"]].from_json(values)
