import numpy as np
import pytest
import torch

from speechtl.errors import SpeechtlError
from speechtl.export.bundle import export_runs
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector, Scorer
from speechtl.runtime.parity import verify

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(recorded_run, once):
    """A bundle of two words with thresholds of their own."""
    runs = [recorded_run("burst"), recorded_run("bang", "conv", detector={"threshold": 0.9, "smoothing": 1, "refractory": 0.5})]
    made = once("home", lambda folder: export_runs(runs, folder / "home.wake", ["model.int8.onnx", "model.onnx"]))
    return made / "home.wake", runs


def test_the_bundle_lists_its_words_each_with_its_own_settings(home):
    bundle = open_bundle(home[0])
    assert bundle.name == "home"
    assert [(word.name, word.phrases, word.trigger.threshold) for word in bundle.words] == [
        ("burst", ("burst",), 0.5),
        ("bang", ("bang",), 0.9),
    ]
    assert set(bundle.about["calibration"]) == {"burst", "bang"}
    assert len(bundle.about["graphs"]["model.int8.onnx"]["accuracy"]) == 2


def test_hashes_of_recordings_are_listed_once_for_all_words(home):
    about = open_bundle(home[0]).about
    learned = {one for run in home[1] for one in run.about["data"]["recordings"].split()}
    assert learned == set(about["data"]["recordings"].split())
    assert learned
    assert not any("recordings" in word["data"] for word in about["words"])


def test_each_word_scores_as_it_does_alone(home, tmp_path, bursts):
    path, runs = home
    sound = bursts((0.6, 2.0), 3.0)
    both = Scorer.of(open_bundle(path), "model.onnx").feed(sound)
    for column, run in enumerate(runs):
        export_runs([run], tmp_path / "one.wake", ["model.onnx"])
        np.testing.assert_allclose(Scorer.of(open_bundle(tmp_path / "one.wake")).feed(sound)[:, 0], both[:, column], atol=1e-5)


def test_events_carry_the_name_of_their_word(home, bursts):
    names = [event.name for event in Detector.open(home[0], graph="model.onnx").feed(bursts((0.6, 2.0), 3.2))]
    assert sorted(names) == ["bang", "bang", "burst", "burst"]


def test_a_threshold_given_holds_for_all_words(home, bursts):
    assert Detector.open(home[0], threshold=1.0).feed(bursts((0.6,), 2.0)) == []


def test_every_word_is_verified(home):
    assert all(result.ok for result in verify(open_bundle(home[0])))
    assert open_bundle(home[0]).golden()["scores"].shape[1] == 2


def test_one_word_of_several_is_evaluated(home):
    from speechtl.audio.evaluation.model import open_model
    from speechtl.errors import BundleError

    model = open_model(home[0], word="bang")
    assert (model.name, model.column, model.trigger.threshold) == ("bang", 1, 0.9)
    with pytest.raises(BundleError, match="--word: burst, bang"):
        open_model(home[0])
    with pytest.raises(BundleError, match=r"no word 'bong' \(did you mean 'bang'\?\)"):
        open_model(home[0], word="bong")


def test_runs_of_one_name_are_refused(recorded_run, tmp_path):
    with pytest.raises(SpeechtlError, match="called 'burst'"):
        export_runs([recorded_run(), recorded_run()], tmp_path / "a.wake", ["model.onnx"])


def test_runs_with_encoders_that_differ_are_refused_with_their_encoders_and_policies(recorded_run, tmp_path):
    tuned = recorded_run("bang", policy="LastLayers(count=2)")
    with torch.no_grad():
        next(tuned.network.encoder.parameters())[0] += 0.1
    with pytest.raises(SpeechtlError, match=r"do not share an encoder.*bang on tiny with LastLayers\(count=2\)"):
        export_runs([recorded_run(), tuned], tmp_path / "a.wake", ["model.onnx"])
    assert list(tmp_path.iterdir()) == []


def test_the_gravest_licence_counts_for_all(recorded_run, tmp_path):
    bought = recorded_run("bang", licence={"commercial": "no", "reasons": ["clips under CC-BY-NC-4.0"]})
    about = export_runs([recorded_run(), bought], tmp_path / "a.wake", ["model.onnx"])
    assert about["licence"] == {"commercial": "no", "reasons": ["bang: clips under CC-BY-NC-4.0"]}
