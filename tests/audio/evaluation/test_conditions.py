import numpy as np
import pytest

from speechtl.audio.evaluation import conditions as module
from speechtl.audio.evaluation.conditions import Surroundings, at, conditions, kind_and_snr, talk_backgrounds

RATE = 16_000


@pytest.fixture
def few_rooms(monkeypatch):
    monkeypatch.setattr(module, "ROOMS", 4)
    monkeypatch.setattr(module, "FAR_ROOMS", 1)


def sound() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)


def test_each_background_is_played_at_each_ratio_and_nothing_else_is():
    made = list(conditions(Surroundings({"noise": [sound()], "babble": [sound()]}), (10.0, -5.0), world=False))
    assert [one.name for one in made] == ["noise at 10 dB", "noise at -5 dB", "babble at 10 dB", "babble at -5 dB"]
    assert [one.snr_db for one in made] == [10.0, -5.0, 10.0, -5.0]
    assert not any(one.rooms or one.channel or one.level_dbfs for one in made)


def test_the_world_has_what_the_recordings_allow(few_rooms):
    bare = [one.name for one in conditions(Surroundings(), (10.0,), world=True)]
    levels = [f"level {level} dBFS" for level in (-50, -40, -30, -20, -12, -6)]
    assert bare == ["simulated rooms", "far field", "telephone", "codec", *levels]
    room = np.eye(1, 800, dtype=np.float32)[0]
    made = {one.name: one for one in conditions(Surroundings({"noise": [sound()], "babble": [sound()]}, [room]), (10.0,), world=True)}
    assert {"measured rooms", "room and noise at 5 dB", "room and babble at 5 dB"} <= set(made)
    assert made["room and babble at 5 dB"].rooms == [room]
    assert len(made["simulated rooms"].rooms) == 3


def test_far_rooms_are_those_with_the_weakest_direct_sound(few_rooms):
    made = {one.name: one for one in conditions(Surroundings(), (), world=True)}
    shares = {name: [float(np.sum(room[:56] ** 2)) for room in made[name].rooms] for name in ("far field", "simulated rooms")}
    assert max(shares["far field"]) < min(shares["simulated rooms"])
    assert made["far field"].level_dbfs == -40.0


def test_talk_is_the_same_every_time_and_needs_two_people_for_babble(recording_of, monkeypatch):
    monkeypatch.setattr(module, "MIXTURES", 2)
    people = [[recording_of(np.sin(np.arange(RATE) * pitch).astype(np.float32))] for pitch in (0.05, 0.1)]
    first, again = talk_backgrounds(people), talk_backgrounds(people)
    assert list(first) == ["babble", "one talker"]
    for kind in first:
        assert all(np.array_equal(one[:], other[:]) for one, other in zip(first[kind], again[kind], strict=True))
    assert list(talk_backgrounds(people[:1])) == ["one talker"]


@pytest.mark.parametrize(
    ("name", "parts"), [("clean", ("clean", "")), (at("babble", 2.5), ("babble", "2.5 dB")), ("look at me", ("look at me", ""))]
)
def test_names_have_the_kind_and_the_ratio(name, parts):
    assert kind_and_snr(name) == parts
