"""Evaluation of a pretrained network on phones and single words, and its model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechtl.audio.augment import at_level
from speechtl.audio.data.align import find_word
from speechtl.audio.data.licences import verdict
from speechtl.audio.data.manifest import Clip
from speechtl.audio.encoders import AudioEncoder
from speechtl.audio.pretraining.data import Utterance
from speechtl.audio.pretraining.network import AFTER, Answers, PretrainingNetwork
from speechtl.audio.pretraining.phones import BLANK, edits
from speechtl.audio.synthesis.base import SYNTHESISED
from speechtl.files import write_text
from speechtl.runtime.features import front_end
from speechtl.runtime.samples import SAMPLE_RATE, Samples

LEVEL_DBFS = -26.0
SILENCE_AFTER = 0.6  # seconds after an utterance: the network outputs a phone some time after it was said


GROWN_UP = 18  # years
FROM = ", from pretrained weights, whose own card lists the data that they learned from in addition"


@dataclass(frozen=True)
class Recognition:
    """Insertions, deletions and replacements against the transcript."""

    utterances: int
    phones: int
    edits: int

    def __add__(self, other: Recognition) -> Recognition:
        return Recognition(self.utterances + other.utterances, self.phones + other.phones, self.edits + other.edits)

    @property
    def error_rate(self) -> float:
        """Edits per phone of the transcript."""
        return self.edits / max(self.phones, 1)


@dataclass(frozen=True)
class WordAccuracy:
    """The single words that were the most probable class shortly after their end."""

    words: int
    right: int

    @property
    def accuracy(self) -> float:
        """The share of words that were right."""
        return self.right / max(self.words, 1)


def recognise(network: PretrainingNetwork, samples: Samples) -> list[int]:
    """The phones of a recording: the most probable class of every frame, repeats and blanks left out."""
    best = _answers(network, samples).phones[:, 0].argmax(dim=1).tolist()
    return [one for one, before in zip(best, [BLANK, *best[:-1]], strict=True) if one not in (before, BLANK)]


def classify_word(network: PretrainingNetwork, samples: Samples) -> int | None:
    """The most probable class of the word in a recording, None where no word is found."""
    limits = find_word(samples)
    layer = network.head.words
    if limits is None or layer is None:
        return None
    features = network.encoder.features
    end = _lead(network) / features.hop + limits[1] * features.sample_rate / features.hop
    step = int(network.steps_after(torch.tensor(round(end)), AFTER[-1]))
    with torch.no_grad():
        return int(layer(_answers(network, samples).embeddings[0, step]).argmax())


def _lead(network: PretrainingNetwork) -> int:
    """The number of samples of silence before a recording, so that the first output sees its beginning."""
    return network.encoder.features.samples(network.encoder.receptive_field)


@torch.no_grad()
def _answers(network: PretrainingNetwork, samples: Samples) -> Answers:
    """The answers of a network to a recording, with silence before and after it."""
    speech = at_level(samples, LEVEL_DBFS)
    padded = np.concatenate([np.zeros(_lead(network), np.float32), speech, np.zeros(int(SILENCE_AFTER * SAMPLE_RATE), np.float32)])
    frames = front_end(network.encoder.features).compute(padded)
    answers: Answers = network(torch.from_numpy(frames)[None, None].to(network.device))
    return answers


def recognition(network: PretrainingNetwork, utterances: Sequence[Utterance], workers: int = 2) -> Recognition:
    """The edits between the known phones of utterances and those that a network recognises."""
    network.eval()
    with ThreadPoolExecutor(workers) as pool:
        given = list(pool.map(lambda utterance: recognise(network, utterance.pcm()), utterances))
    wrong = sum(edits(utterance.phones or (), said) for utterance, said in zip(utterances, given, strict=True))
    return Recognition(len(utterances), sum(len(utterance.phones or ()) for utterance in utterances), wrong)


def word_accuracy(network: PretrainingNetwork, utterances: Sequence[Utterance], workers: int = 2) -> WordAccuracy:
    """The accuracy of a network on utterances of a single known word."""
    network.eval()
    known = [utterance for utterance in utterances if utterance.word is not None]
    with ThreadPoolExecutor(workers) as pool:
        right = list(pool.map(lambda utterance: classify_word(network, utterance.pcm()) == utterance.word, known))
    return WordAccuracy(len(known), sum(right))


def error_rates(network: PretrainingNetwork, validation: Sequence[Utterance], tested: Sequence[Utterance]) -> dict[str, dict[str, Any]]:
    """The phone error rates by group; of test speakers also by age, where the manifests have it."""
    by_age = {age: [one for one in tested if _age_group(one) == age] for age in ("adults", "children", "age unknown")}
    parts = {f"test, {age}": recognition(network, several) for age, several in by_age.items() if several}
    results = {"validation": recognition(network, validation)} if validation else {}
    if parts:
        results["test"] = sum(parts.values(), Recognition(0, 0, 0))
    return {name: _rates(result) for name, result in (results | (parts if len(parts) > 1 else {})).items()}


def _age_group(utterance: Utterance) -> str:
    age = utterance.clip.extra.get("age")
    return "age unknown" if age is None else "adults" if age >= GROWN_UP else "children"


def _rates(result: Recognition) -> dict[str, Any]:
    return {"utterances": result.utterances, "phones": result.phones, "phone_error_rate": round(result.error_rate, 4)}


def write_card(path: Path, about: Mapping[str, Any], heard: Sequence[Clip], multiply_adds: int, encoder: AudioEncoder) -> None:
    """Write the architecture, the training data, the licence and the error rates of the weights."""
    recipe = about["recipe"]
    lines = [
        f"# {about['name']}",
        "",
        *_architecture(multiply_adds, encoder),
        "",
        f"Trained on: {', '.join(_tasks(about))}, for {recipe['train']['epochs']} epochs{FROM if recipe['start'] else ''}.",
        "",
        "## Data",
        "",
        "| | recordings | hours | with transcript | speakers or voices |",
        "|---|---|---|---|---|",
        *(_row(name, about["data"][name]) for name in ("recorded", "synthesised", "background", "validation")),
        "",
        "Sources: " + ", ".join(_sources(heard)) + ".",
        "",
        "## Licence",
        "",
        *_licence(about, heard),
        "",
        "## Phone error rate on held-out speakers",
        "",
        "| | utterances | phones | error rate |",
        "|---|---|---|---|",
        *(
            f"| {name} | {result['utterances']} | {result['phones']} | {100 * result['phone_error_rate']:.1f} % |"
            for name, result in about["recognition"].items()
        ),
        *_words(about["words"]),
        "",
    ]
    write_text(path, "\n".join(lines))


def _architecture(multiply_adds: int, encoder: AudioEncoder) -> list[str]:
    weights = sum(weights.numel() for weights in encoder.parameters())
    return [
        "A streaming encoder of speech: log-mel frames in, "
        f"{encoder.info.embedding_size} numbers every {1000 * encoder.step_seconds:.0f} ms out. "
        f"{weights:,} weights, {multiply_adds / 1e6:.1f} million multiply-adds a second of audio, "
        f"{encoder.receptive_field * encoder.features.hop / encoder.features.sample_rate:.2f} s of context."
    ]


def _tasks(about: Mapping[str, Any]) -> Iterator[str]:
    tasks = about["recipe"]["tasks"]
    if tasks["ctc"]:
        yield "phones (CTC)"
    if tasks["teacher_weight"]:
        yield f"the embeddings of `{tasks['teacher']}`"
    if about["words"]:
        yield f"{about['words']['classes']} single words"


def _licence(about: Mapping[str, Any], heard: Sequence[Clip]) -> list[str]:
    others = {"the teacher is": about["teacher_licence"], "the data of the initial weights is": about["start_licence"]}
    judged = verdict([clip.license for clip in heard], {who: licence for who, licence in others.items() if licence})
    return [f"Commercial use: **{judged.commercial}**.", "", *(f"- {reason}" for reason in judged.reasons)]


def _words(words: Mapping[str, Any] | None) -> list[str]:
    if not words or not words["validation"]:
        return []
    right = f"{100 * words['accuracy']:.1f} % of {words['validation']}"
    return ["", f"Accuracy on single words of held-out speakers, of {words['classes']} classes: {right}."]


def _row(name: str, amounts: Mapping[str, Any]) -> str:
    return f"| {name} | {amounts['recordings']} | {amounts['hours']} | {amounts['transcribed_hours']} | {amounts['speakers']} |"


def _sources(heard: Sequence[Clip]) -> list[str]:
    return sorted({_source(clip) for clip in heard})


def _source(clip: Clip) -> str:
    if clip.source == SYNTHESISED:
        return f"{SYNTHESISED} by {(clip.speaker or '').partition(':')[0]}"
    return (clip.source or "own recordings").split("@")[0]
