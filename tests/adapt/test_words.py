"""Adapting one word of a bundle with several."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from speechtl.adapt.adapt import adapt
from speechtl.adapt.graph import features_of_bundle
from speechtl.adapt.memory import unpack
from speechtl.errors import BundleError, SpeechtlError
from speechtl.export.bundle import export_runs
from speechtl.runtime.bundle.archive import write_bundle
from speechtl.runtime.bundle.wake_word import only, open_bundle
from speechtl.runtime.detector import Detector, Scorer
from speechtl.runtime.trigger import log_odds

pytestmark = pytest.mark.slow
GRAPH = "model.int8.onnx"


@pytest.fixture
def home(recorded_run, known_tiny, once, tmp_path):
    """A function that gives a bundle of the words burst and bang, with heads of one kind or of two."""

    def make(*heads: str):
        def export(folder):
            runs = [recorded_run(name, head) for name, head in zip(("burst", "bang"), heads, strict=True)]
            graphs = [GRAPH, "model.onnx"] if len(set(heads)) == 1 else ["model.onnx"]
            export_runs(runs, folder / "home.wake", graphs, golden=False)

        return shutil.copy(once("-".join(("home", *heads)), export) / "home.wake", tmp_path / "home.wake")

    return make


def without(path, graph: str, **about):
    """The bundle without one of its graphs."""
    bundle = open_bundle(path)
    kept = {key: value for key, value in bundle.about.items() if key not in ("schema", "files")}
    graphs = {name: entry for name, entry in bundle.about["graphs"].items() if name != graph}
    files = {name: content for name, content in bundle.files.items() if name != graph}
    write_bundle(path, {**kept, "graphs": graphs, **about}, files)
    return path


@pytest.mark.parametrize(
    ("heads", "graph"), [(("linear", "linear"), GRAPH), (("linear", "linear"), "model.onnx"), (("linear", "conv"), "model.onnx")]
)
def test_every_word_has_its_layer_and_what_that_sees(home, bursts, heads, graph):
    bundle = open_bundle(without(home(*heads), "model.onnx" if graph == GRAPH else GRAPH))
    scores = Scorer.of(bundle, graph).feed(bursts())
    for word in bundle.words:
        output, scorer = features_of_bundle(only(bundle, [word.name]))
        assert output.graph == graph
        assert unpack(only(bundle, [word.name])).words[0].shape == (1, len(output.own))
        assert output.layer.logits(scorer.feed(bursts())) == pytest.approx(log_odds(scores[:, word.column]), abs=2e-2)


def test_the_other_words_stay_as_they_are(home, save, bursts):
    path = without(home("linear", "linear"), "model.onnx")
    before, sound = open_bundle(path), bursts((1.0,), 2.0) * 0.03
    old, remembered = Scorer.of(before, GRAPH).feed(sound), unpack(only(before, ["bang"]))
    for scale in (0.02, 0.025, 0.03, 0.035, 0.04):
        clips = save("not-word", bursts((1.0,), 2.0) * scale)
    assert adapt(path, path, clips=clips, word="bang")["written"]
    after = open_bundle(path)
    assert [word.name for word in after.words] == ["burst", "bang"]
    assert [len(word.get("adapted", [])) for word in after.about["words"]] == [0, 1]
    np.testing.assert_array_equal(old[:, 0], Scorer.of(after, GRAPH).feed(sound)[:, 0])
    assert {event.name for event in Detector.open(path).feed(sound)} == {"burst"}
    assert {event.name for event in Detector.open(path).feed(bursts((1.0,), 2.0))} == {"burst", "bang"}
    assert len(unpack(only(after, ["bang"])).others) > len(remembered.others)


def test_of_ready_words_only_those_that_were_asked_for_are_written(home, save, bursts, tmp_path, monkeypatch):
    monkeypatch.setattr("speechtl.runtime.ready.BUNDLE", home("linear", "linear"))
    monkeypatch.setattr("speechtl.runtime.ready.names", lambda: ["bang", "burst"])
    for scale in (0.02, 0.025, 0.03, 0.035, 0.04):
        clips = save("not-word", bursts((1.0,), 2.0) * scale)
    out = tmp_path / "bang.wake"
    assert adapt(Path("bang"), out, clips=clips)["written"]
    made = open_bundle(out)
    assert (made.name, [(word.name, word.column) for word in made.words], made.columns) == ("bang", [("bang", 1)], 2)
    assert [name for name in made.files if "memory" in name] == ["memory.bang.npz"]
    assert [event.name for event in Detector.open(out).feed(bursts((1.0,), 2.0))] == ["bang"]
    again = save("not-word", bursts((0.5,), 2.0) * 0.06, "louder")
    assert adapt(out, out, clips=again)["table"][0]["of"] == len(unpack(made).words)


def test_the_word_must_be_named_and_be_there(home, save, bursts, tmp_path):
    path, clips = home("linear", "linear"), save("not-word", bursts() * 0.02)
    with pytest.raises(BundleError, match=r"2 words; say which to adapt: --word burst\. There are: burst, bang"):
        adapt(path, tmp_path / "a.wake", clips=clips)
    with pytest.raises(BundleError, match=r"no word 'bong' \(did you mean 'bang'\?\)"):
        adapt(path, tmp_path / "a.wake", clips=clips, word="bong")


def test_labels_of_clips_that_another_word_saved_teach_nothing(home, save, bursts, tmp_path):
    clips = save("word", bursts(), "20261121T093012.345Z_burst_0.91")
    with pytest.raises(SpeechtlError, match="no labelled clip to learn from"):
        adapt(home("linear", "linear"), tmp_path / "a.wake", clips=clips, word="bang")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"columns": 1}, "columns"), ({"columns": "x"}, "columns"), ({"words": "column"}, "two words of the same column")],
)
def test_columns_that_do_not_fit_the_words_are_refused(home, changes, sentence):
    path = home("linear", "linear")
    if "words" in changes:
        changes = {"words": [{**word, "column": 0} for word in open_bundle(path).about["words"]]}
    with pytest.raises(BundleError, match=sentence):
        open_bundle(without(path, GRAPH, **changes))
