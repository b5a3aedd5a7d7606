"""Listed negatives, and what a process needs to hear them."""

import dataclasses
import json

import pytest
import soundfile

from speechtl.audio.evaluation.hours import parts
from speechtl.audio.evaluation.hours.listing import list_negatives
from speechtl.audio.evaluation.hours.negatives import ears_of
from speechtl.audio.evaluation.material import Plan
from speechtl.audio.evaluation.model import open_model


@pytest.fixture
def model(tiny_bundle):
    return open_model(tiny_bundle)


@pytest.fixture
def ears(model):
    return ears_of(model, 0.01, "")


@pytest.fixture
def plan(corpus):
    return Plan([corpus / "positives.jsonl"], [corpus / "negatives.jsonl"], split="train")


@pytest.fixture
def listed(plan, model, tmp_path):
    """Six recordings of 20 seconds."""
    return list_negatives(tmp_path / "list.jsonl", plan, model, [], print)


@pytest.fixture
def loud(corpus, bursts, plan, monkeypatch):
    """A plan with bursts in the negatives, also at both ends, and a part for each recording."""
    starts = {"a": (0.0, 4.5), "b": (0.0, 0.6, 2.0), "c": (), "d": (3.0, 3.3, 4.58)}
    for name, own in starts.items():
        soundfile.write(corpus / f"{name}.wav", bursts(own, 5.0), 16_000)
    lines = [{"audio_filepath": f"{name}.wav", "duration": 5.0} for name in starts]
    (corpus / "loud.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(parts, "PART_SECONDS", 5.0)
    return dataclasses.replace(plan, negatives=[corpus / "loud.jsonl"])
