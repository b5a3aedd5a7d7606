import numpy as np
import pytest

from speechtl.errors import AudioError, SpeechtlError
from speechtl.places import porcupine
from speechtl.places.porcupine import create, threshold_at
from speechtl.runtime import Detector


@pytest.fixture(scope="module")
def pcm(bursts):
    """Int16 samples with two words."""
    return np.round(bursts((1.0, 3.0)) * 32768).clip(-32768, 32767).astype(np.int16)


def indices(engine, pcm, kind=np.asarray) -> list[tuple[int, int]]:
    """The number of each frame with a word, and the word's index."""
    frames = [pcm[at : at + engine.frame_length] for at in range(0, len(pcm) - engine.frame_length + 1, engine.frame_length)]
    found = [(number, engine.process(kind(frame))) for number, frame in enumerate(frames)]
    return [(number, index) for number, index in found if index != -1]


@pytest.mark.parametrize("kind", [np.asarray, list, tuple, bytes])
def test_a_word_has_its_index_in_the_frame_that_completes_it(tiny_bundle, pcm, kind):
    with create(keyword_paths=[tiny_bundle]) as engine:
        assert (engine.frame_length, engine.sample_rate, engine.keywords) == (512, 16_000, ["burst"])
        expected = [(int(np.ceil(event.time * 16_000 / 512)) - 1, 0) for event in Detector.open(tiny_bundle).feed(pcm)]
        assert indices(engine, pcm, kind) == expected


def test_words_in_the_same_frame_come_one_after_the_other(tiny_bundle, pcm):
    engine = create("key", keyword_paths=[str(tiny_bundle), str(tiny_bundle)])
    found = indices(engine, pcm)
    assert [index for _, index in found] == [0, 1, 0, 1]
    assert found[1][0] == found[0][0] + 1


def test_a_reset_forgets_what_waits(tiny_bundle, pcm):
    engine = create(keyword_paths=[tiny_bundle])
    assert indices(engine, pcm) == (engine.reset() or indices(engine, pcm))


@pytest.mark.parametrize(("sensitivity", "odds"), [(0.0, 10.0), (0.25, 10**0.5), (0.5, 1.0), (0.75, 10**-0.5), (1.0, 0.1)])
def test_a_sensitivity_changes_the_odds_of_the_calibrated_threshold(sensitivity, odds):
    threshold = threshold_at(sensitivity, 0.8)
    assert threshold / (1.0 - threshold) == pytest.approx(4.0 * odds)


def test_each_bundle_has_its_sensitivity(tiny_bundle):
    engine = create(keyword_paths=[tiny_bundle, tiny_bundle], sensitivities=[0.5, 1.0])
    thresholds = [detector.words[0].trigger.threshold for detector in engine._detectors]
    assert thresholds == pytest.approx([0.5, 1.0 / 11.0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "Either keyword_paths or keywords must be given"),
        ({"keyword_paths": "a.wake"}, r"A list of bundles is needed; got the text 'a.wake'. Write \['a.wake'\]"),
        ({"keyword_paths": ["BUNDLE"], "sensitivities": [0.5, 0.5]}, "got 2 for 1 bundles"),
        ({"keyword_paths": ["BUNDLE"], "sensitivities": [1.5]}, "must be a number from 0 to 1; got 1.5"),
        ({"keyword_paths": ["BUNDLE"], "sensitivities": [float("nan")]}, "got nan"),
    ],
)
def test_wrong_arguments_are_one_sentence(tiny_bundle, arguments, sentence):
    arguments = {key: [str(tiny_bundle)] if value == ["BUNDLE"] else value for key, value in arguments.items()}
    with pytest.raises(SpeechtlError, match=sentence):
        create(**arguments)


def test_a_word_that_is_not_there_is_an_error():
    with pytest.raises(SpeechtlError, match="no such word"):
        create(keywords=["no such word"])


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (np.zeros(511, np.int16), "must have 512 samples; got 511"),
        (np.zeros((512, 2), np.int16), "got 512x2"),
        (5, "got a single number"),
        (np.zeros(512, np.float32), "must be whole numbers of 16 bits"),
        ([40_000] * 512, "must be whole numbers of 16 bits"),
    ],
)
def test_what_is_no_frame_is_one_sentence(tiny_bundle, frame, sentence):
    with pytest.raises(AudioError, match=sentence):
        create(keyword_paths=[tiny_bundle]).process(frame)


def test_what_was_deleted_says_so(tiny_bundle):
    engine = create(keyword_paths=[tiny_bundle])
    engine.delete()
    with pytest.raises(SpeechtlError, match="was deleted"):
        engine.process([0] * 512)


def test_the_arguments_are_those_of_porcupine():
    pvporcupine = pytest.importorskip("pvporcupine", reason="pvporcupine is not installed")
    import inspect

    assert list(inspect.signature(create).parameters) == list(inspect.signature(pvporcupine.create).parameters)
    theirs = {name for name in dir(pvporcupine.Porcupine) if not name.startswith("_") and name[0].islower()}
    assert theirs <= {name for name in dir(porcupine.Porcupine) if not name.startswith("_")}
