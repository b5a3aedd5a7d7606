import pytest

from speechtl.errors import BundleError
from speechtl.runtime.features import LogMel, LogMelSettings
from speechtl.runtime.front_end import front_end, read_features
from speechtl.runtime.waveform import Waveform, WaveformSettings


@pytest.mark.parametrize(("features", "kind"), [(LogMelSettings(bands=20), LogMel), (WaveformSettings(hop=160), Waveform)])
def test_features_are_read_back_and_computed_by_their_front_end(features, kind):
    assert read_features(features.to_json()) == features
    made = front_end(features)
    assert isinstance(made, kind)
    assert made.settings == features


def test_features_of_an_unknown_kind_are_refused():
    with pytest.raises(BundleError, match="kind 'mfcc'; this version of speechtl knows 'log_mel' and 'waveform'"):
        read_features({"kind": "mfcc"})
