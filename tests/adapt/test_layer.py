import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from speechtl.adapt.graph import features_of_bundle, rewritten
from speechtl.adapt.layer import Layer, features_of_network, hear, layer_of_network, members_of_network, put_into_network
from speechtl.audio.evaluation.streams import Condition, Passage, words_in_background
from speechtl.audio.network.model import scorer_of
from speechtl.errors import BundleError
from speechtl.runtime.bundle.archive import write_bundle
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Scorer
from speechtl.runtime.trigger import log_odds


@pytest.mark.parametrize("head", ["linear", "conv", "attention"])
def test_the_layer_on_its_features_gives_the_scores_of_the_network(tiny, bursts, head):
    network = tiny(head)
    samples = bursts()
    features = features_of_network(network).feed(samples)
    assert layer_of_network(network).logits(features) == pytest.approx(log_odds(scorer_of(network).feed(samples)[:, 0]), abs=1e-2)


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_the_mean_of_the_members_is_the_layer(tiny, head):
    network = tiny(head)
    members, whole = members_of_network(network), layer_of_network(network)
    assert len(members) == 4
    assert np.mean([member.weights for member in members], axis=0) == pytest.approx(whole.weights)
    assert np.mean([member.bias for member in members]) == pytest.approx(whole.bias)


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_a_network_takes_another_layer(tiny, head):
    network = tiny(head)
    old = layer_of_network(network)
    new = Layer(old.weights + np.linspace(-1, 1, len(old.weights)), old.bias)
    put_into_network(new, network)
    assert layer_of_network(network).weights == pytest.approx(new.weights, abs=1e-5)


def test_features_are_averaged_over_the_steps_that_the_detector_averages(tiny_network, bursts, recording_of):
    passage = Passage(recording_of(bursts()), bursts())
    raw, smooth = (next(hear(features_of_network(tiny_network), [passage], steps)).features for steps in (1, 3))
    assert smooth[7] == pytest.approx(raw[5:8].mean(axis=0), abs=1e-5)
    assert smooth[0] == pytest.approx(raw[0])


def test_a_word_has_the_steps_at_which_an_event_counts_as_its_own(tiny_network, bursts, recording_of):
    recording = recording_of(bursts((0.3,), 1.0), (0.3, 0.7))
    (passage,) = words_in_background([recording], Condition(), 0)
    (heard,) = hear(features_of_network(tiny_network), [passage], 1)
    logits = layer_of_network(tiny_network).logits(heard.features)
    assert logits[heard.word].max() == logits.max()
    assert len(heard.of_word) * 0.04 == pytest.approx(0.4 + 1.5, abs=0.05)


def test_a_bundle_has_the_features_and_the_layer_of_its_network(tiny_bundle, tiny_network, bursts):
    output, scorer = features_of_bundle(open_bundle(tiny_bundle))
    logits = layer_of_network(tiny_network).logits(features_of_network(tiny_network).feed(bursts()))
    for _ in range(2):  # a stream begins anew
        assert output.layer.logits(scorer.feed(bursts())) == pytest.approx(logits, abs=1e-3)
        scorer.reset()


def test_a_bundle_with_another_layer_gives_its_scores_in_all_graphs_and_proves_it(full_bundle, bursts, tmp_path):
    bundle = open_bundle(full_bundle)
    old, scorer = features_of_bundle(bundle)
    new = Layer((old.layer.weights * 1.5).astype(np.float32).astype(float), old.layer.bias)
    about, files = rewritten(bundle, old, new, {"note": "changed"})
    write_bundle(tmp_path / "new.wake", about, files)
    made = open_bundle(tmp_path / "new.wake")
    expected = new.logits(scorer.feed(bursts()))
    assert list(made.graphs) == list(bundle.graphs)
    assert made.about["note"] == "changed"
    assert all(result["ok"] for result in made.about["parity"])
    assert Scorer.of(made, "model.onnx").feed(bursts())[:, 0] == pytest.approx(1.0 / (1.0 + np.exp(-expected)), abs=1e-4)


def test_a_bundle_without_the_float_graph_cannot_be_adapted(remake, tiny_bundle):
    about = open_bundle(tiny_bundle).about
    path = remake({"graphs": {"other.onnx": about["graphs"]["model.onnx"]}}, {"other.onnx": open_bundle(tiny_bundle).files["model.onnx"]})
    with pytest.raises(BundleError, match=r"has no model\.onnx, which is needed to adapt it"):
        features_of_bundle(open_bundle(path))
