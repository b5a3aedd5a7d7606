import json

import numpy as np
import pytest
import soundfile

from speechtl.audio.evaluation import material
from speechtl.audio.evaluation.material import Plan, choose, gather
from speechtl.audio.evaluation.model import open_model
from speechtl.errors import ManifestError, SpeechtlError

RATE = 16_000


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def talkers(corpus):
    """Two recordings of each of four people, with splits by person."""

    def speech(file: str, pitch: int, **line) -> str:
        samples = 0.1 * np.sin(2 * np.pi * pitch * np.arange(RATE) / RATE)
        soundfile.write(corpus / file, samples, RATE)
        return json.dumps({"audio_filepath": file, "duration": 1.0, **line}) + "\n"

    text = ""
    for index, person in enumerate(["Ann", "Bob", "Cid", "Dee"]):
        split = "train" if person == "Dee" else "test"
        text += "".join(speech(f"{person}{take}.wav", 200 * (index + 1) + take, speaker=person, split=split) for take in (0, 1))
    (corpus / "talk.jsonl").write_text(text)
    return corpus / "talk.jsonl"


@pytest.fixture
def model(remake, talkers):
    """A model that was trained on one of Ann's recordings."""
    from speechtl.files import sha256_of

    return open_model(remake({"data": {"recordings": sha256_of(talkers.parent / "Ann0.wav")[:12]}}))


def names(recordings):
    return [recording.clip.audio_filepath for recording in recordings]


def test_talkers_are_strangers_of_the_split(model, talkers):
    notes: list[str] = []
    assert names(choose([talkers], "test", model, notes.append)) == ["Ann1.wav", "Bob0.wav", "Bob1.wav", "Cid0.wav", "Cid1.wav"]
    assert names(choose([talkers], "test", model, notes.append, strangers=True)) == ["Bob0.wav", "Bob1.wav", "Cid0.wav", "Cid1.wav"]
    assert notes[-1] == "Left out 1 recording of people whom burst was trained on."


def test_nobody_in_the_talk_speaks_in_training_or_says_the_word(model, talkers, corpus, monkeypatch):
    heard = []
    monkeypatch.setattr(material, "talk_backgrounds", lambda people: heard.append([names(takes) for takes in people]) or {})
    lines = lines_of(talkers)
    lines[2]["text"] = "my burst"
    talkers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    gather(Plan([corpus / "positives.jsonl"], [corpus / "negatives.jsonl"], talk=[talkers]), model, lambda note: None)
    assert heard == [[["Bob1.wav"], ["Cid0.wav", "Cid1.wav"]]]


def test_talk_of_one_person_is_no_babble(model, talkers, corpus, monkeypatch):
    monkeypatch.setattr("speechtl.audio.evaluation.conditions.MIXTURES", 1)
    notes: list[str] = []
    plan = Plan([corpus / "positives.jsonl"], [corpus / "negatives.jsonl"], talk=[talkers], split="train")
    assert [one.name for one in gather(plan, model, notes.append).conditions] == ["clean", "one talker at 10 dB"]
    assert "The talk has one talker, so there is no babble." in notes


@pytest.mark.parametrize("kind", ["noise", "talk", "music", "rooms"])
def test_silent_backgrounds_are_one_sentence(model, corpus, kind):
    (corpus / "mute").mkdir()
    soundfile.write(corpus / "mute" / "a.wav", np.zeros(RATE), RATE)
    plan = Plan([corpus / "positives.jsonl"], [corpus / "negatives.jsonl"], **{kind: [corpus / "mute"]})
    with pytest.raises(ManifestError, match="mute: every recording is silent; leave it out, or give others"):
        gather(plan, model, lambda note: None)


def test_negatives_of_strangers_alone_may_be_asked_for(model, talkers, corpus):
    made = gather(Plan([corpus / "positives.jsonl"], [talkers], strangers=True), model, lambda note: None)
    assert names(made.silent) == ["Bob0.wav", "Bob1.wav", "Cid0.wav", "Cid1.wav"]


def test_negatives_and_backgrounds_may_be_of_another_split(model, talkers, corpus):
    plan = Plan([corpus / "positives.jsonl"], [talkers], noise=[corpus / "negatives.jsonl"], split="train", others="test")
    made = gather(plan, model, lambda note: None)
    assert len(made.spoken) == 6
    assert names(made.silent) == ["Ann1.wav", "Bob0.wav", "Bob1.wav", "Cid0.wav", "Cid1.wav"]
    assert len(made.conditions[1].noises) == 3


def test_every_kind_of_background_is_played(model, talkers, corpus, monkeypatch):
    monkeypatch.setattr("speechtl.audio.evaluation.conditions.MIXTURES", 1)
    kinds = {"noise": [corpus / "noise.jsonl"], "talk": [talkers], "music": [corpus / "noise.jsonl"], "rooms": [corpus / "noise.jsonl"]}
    plan = Plan([corpus / "positives.jsonl"], [corpus / "negatives.jsonl"], **kinds, snr_db=(5.0, 5.0))
    made = gather(plan, model, lambda note: None)
    kinds = ["noise at 5 dB", "babble at 5 dB", "one talker at 5 dB", "music at 5 dB", "measured rooms"]
    assert [one.name for one in made.conditions] == ["clean", *kinds]


def test_negatives_that_are_also_positives_are_left_out(model, corpus):
    notes: list[str] = []
    both = [corpus / "negatives.jsonl", corpus / "positives.jsonl"]
    made = gather(Plan([corpus / "positives.jsonl"], both), model, notes.append)
    assert len(made.silent) == 3
    assert "Left out 3 recordings that are also given as positives." in notes


def test_the_same_recordings_as_positives_and_negatives_are_one_sentence(model, corpus):
    same = [corpus / "positives.jsonl"]
    with pytest.raises(ManifestError, match=r"positives.jsonl is left to evaluate on.*3 recordings that are also given as positives\.$"):
        gather(Plan(same, same), model, lambda note: None)


def test_parts_of_one_file_may_be_positives_and_negatives(model, corpus, bursts):
    soundfile.write(corpus / "long.wav", bursts((0.5,), 20.0), RATE)
    for name, offset, duration in (("word", 0.0, 2.0), ("rest", 2.0, 18.0)):
        line = {"audio_filepath": "long.wav", "offset": offset, "duration": duration}
        (corpus / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    made = gather(Plan([corpus / "word.jsonl"], [corpus / "rest.jsonl"]), model, lambda note: None)
    assert [round(one.seconds) for one in made.silent] == [18]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"preset": "wold"}, r"Conditions must be given or world; got 'wold'.*world"),
        ({"snr_db": (5.0,)}, "needs recordings to play behind the word: noise, talk or music"),
        ({"snr_db": (float("nan"),), "noise": ["n"]}, "must be a number of dB; got nan"),
    ],
)
def test_a_wrong_plan_is_one_sentence(options, sentence):
    with pytest.raises(SpeechtlError, match=sentence):
        Plan(["p"], ["n"], **options)


def test_ratios_are_10_db_or_those_of_the_world():
    assert Plan(["p"], ["n"]).ratios == [10.0]
    assert Plan(["p"], ["n"], preset="world").ratios == [20.0, 10.0, 5.0, 0.0, -5.0]
