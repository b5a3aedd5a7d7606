import pytest

from speechtl.adapt import compare, study
from speechtl.adapt.adapt import adapt
from speechtl.adapt.detector import open_adaptable
from speechtl.adapt.keep import previous, undo
from speechtl.adapt.memory import MEMORY, unpack
from speechtl.errors import BundleError, CheckFailedError, SpeechtlError
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.detector import Detector

SOFT = (0.02, 0.025, 0.03, 0.035, 0.04)  # of a burst: a false alarm


@pytest.fixture
def alarms(save, bursts):
    for scale in SOFT:
        folder = save("not-word", bursts((1.0,), 2.0) * scale)
    return folder


def fires(bundle, samples) -> bool:
    return bool(Detector.open(bundle).feed(samples))


def test_false_alarms_are_silenced_the_word_is_still_found_and_one_call_goes_back(remembering, alarms, bursts):
    old = remembering.read_bytes()
    report = adapt(remembering, remembering, clips=alarms, keep_previous=True)
    assert (report["written"], report["reasons"], report["held_back"]) == (True, [], True)
    assert report["table"][-1]["old"] == len(SOFT) > report["table"][-1]["new"]
    assert fires(remembering, bursts())
    assert not fires(remembering, bursts() * 0.025)
    assert previous(remembering).read_bytes() == old
    undo(remembering)
    assert fires(remembering, bursts() * 0.025)


def test_the_new_bundle_says_what_it_learned_and_remembers_it(remembering, alarms, tmp_path):
    adapt(remembering, tmp_path / "new.wake", clips=alarms)
    before, after = open_bundle(remembering), open_bundle(tmp_path / "new.wake")
    assert after.about["adapted"][0]["others"] == len(SOFT)
    assert len(after.about["data"]["recordings"].split()) == len(SOFT)
    assert all(result["ok"] for result in after.about["parity"])
    assert len(unpack(after).others) == len(unpack(before).others) + len(SOFT)


@pytest.mark.parametrize("points", ["x", ["x"], [{}], [{"threshold": 2.0}]])
def test_operating_points_that_are_none_are_one_sentence_and_nothing_is_written(remembering, remake, alarms, tmp_path, points):
    memory = {MEMORY: open_bundle(remembering).files[MEMORY]}
    with pytest.raises(BundleError, match=r"odd\.wake cannot be used: in its bundle\.json, operating_points"):
        adapt(remake({"operating_points": points}, files=memory, name="odd.wake"), tmp_path / "new.wake", clips=alarms)
    assert not (tmp_path / "new.wake").exists()


def test_what_is_worse_is_not_written_and_the_old_bundle_stays(remembering, alarms, monkeypatch):
    monkeypatch.setattr(compare, "MOST_LOST", -1.0)  # nothing is good enough
    monkeypatch.setattr(study, "PRICE", 0.0)
    old = remembering.read_bytes()
    report = adapt(remembering, remembering, clips=alarms, keep_previous=True)
    assert (report["written"], report["reasons"][0].split(":")[0]) == (False, "training")
    assert remembering.read_bytes() == old
    assert not previous(remembering).exists()


def test_clips_that_are_right_already_change_nothing_and_nothing_is_written(remembering, save, bursts, tmp_path):
    folder = save("word", bursts((1.0,), 2.0))
    report = adapt(remembering, tmp_path / "new.wake", clips=folder)
    assert [reason.split(":")[0] for reason in report["reasons"]] == ["nothing got better"]
    assert not (tmp_path / "new.wake").exists()


def test_one_false_alarm_is_enough(remembering, save, bursts, tmp_path):
    folder = save("not-word", bursts((1.0,), 2.0) * 0.03)
    report = adapt(remembering, tmp_path / "new.wake", clips=folder)
    assert (report["written"], report["held_back"]) == (True, False)
    assert "learned from" in report["table"][-1]["what"]
    assert not fires(tmp_path / "new.wake", bursts() * 0.03)


def test_a_clip_of_the_word_that_resembles_it_nowhere_is_left_out(remembering, alarms, save, bursts, tmp_path, monkeypatch):
    save("word", bursts((), 2.0), "nothing")
    said = []
    monkeypatch.setattr(study, "UNLIKE", 2.0)
    report = adapt(remembering, tmp_path / "new.wake", clips=alarms, log=said.append)
    assert report["left_out"]["doubtful"] == 1
    assert any("nothing resembles it" in line for line in said)


def test_words_among_many_false_alarms_are_left_out_and_named(remembering, alarms, save, bursts, tmp_path):
    save("not-word", bursts((1.0,), 2.0), "the-word")
    said = []
    report = adapt(remembering, tmp_path / "new.wake", clips=alarms, log=said.append)
    assert (report["left_out"]["doubtful"], report["written"]) == (1, True)
    assert any("sounds like the word itself; listen again to: the-word.wav" in line for line in said)
    assert fires(tmp_path / "new.wake", bursts())


def test_more_words_than_that_with_the_label_of_anything_else_are_refused(remembering, alarms, save, bursts, tmp_path):
    for scale in (0.8, 1.0):
        save("not-word", bursts((1.0,), 2.0) * scale)
    with pytest.raises(CheckFailedError, match="2 of 7 clips labelled not-word sound like the word itself"):
        adapt(remembering, tmp_path / "new.wake", clips=alarms)
    assert not (tmp_path / "new.wake").exists()


def test_what_sounds_like_the_word_is_learned_where_the_labels_are_sure(remembering, alarms, save, bursts, tmp_path):
    for scale in (0.8, 1.0):
        save("not-word", bursts((1.0,), 2.0) * scale)
    report = adapt(remembering, tmp_path / "new.wake", clips=alarms, sure=True)
    assert (report["others"], report["left_out"]["doubtful"]) == (7, 0)


def test_what_an_adaptation_costs_in_words_is_remembered(remembering, alarms, tmp_path):
    report = adapt(remembering, tmp_path / "new.wake", clips=alarms)
    told = open_adaptable(tmp_path / "new.wake")
    assert report["lost"] == told.about["adapted"][0]["lost"]
    told.about["adapted"][0]["lost"] = 0.03
    told.about["adapted"].append({"lost": -0.01})
    assert told.spent == pytest.approx(0.02)
    told.about["adapted"].append({"lost": "all"})
    with pytest.raises(BundleError, match=r"adapted\[2\]\.lost must be a number"):
        _ = told.spent


def test_it_needs_clips(remembering, tmp_path):
    with pytest.raises(SpeechtlError, match="Give labelled clips with --clips"):
        adapt(remembering, tmp_path / "new.wake")
