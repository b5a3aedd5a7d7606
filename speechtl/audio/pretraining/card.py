"""The model card that goes with pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechtl.audio.data.licences import verdict
from speechtl.audio.encoders import AudioEncoder
from speechtl.audio.pretraining.utterances import Utterance
from speechtl.audio.synthesis.base import SYNTHESISED
from speechtl.files import write_text

BEGUN = ", from weights that were pretrained before: what those learned from stands in their own card and comes on top"


def write_card(path: Path, about: Mapping[str, Any], utterances: Sequence[Utterance], multiply_adds: int, encoder: AudioEncoder) -> None:
    """Write what the weights are, what they learned from, what they may be used for and how well they recognise."""
    weights = sum(weights.numel() for weights in encoder.parameters())
    tasks = about["recipe"]["tasks"]
    others = {"the teacher is": about["teacher_licence"], "what the weights learned before is": about["start_licence"]}
    judged = verdict([one.clip.license for one in utterances], {who: licence for who, licence in others.items() if licence})
    taught = "phones (CTC)" if tasks["ctc"] else ""
    distilled = f"the embeddings of `{tasks['teacher']}`" if tasks["teacher_weight"] else ""
    told = f"{about['words']['classes']} words said alone" if about["words"] else ""
    lines = [
        f"# {about['name']}",
        "",
        "A streaming encoder of speech: log-mel frames in, "
        f"{encoder.info.embedding_size} numbers every {1000 * encoder.step_seconds:.0f} ms out. "
        f"{weights:,} weights, {multiply_adds / 1e6:.1f} million multiply-adds a second of audio, "
        f"{encoder.receptive_field * encoder.features.hop / encoder.features.sample_rate:.2f} s of context.",
        "",
        f"Taught: {', '.join(filter(None, (taught, distilled, told)))}, for {about['recipe']['train']['epochs']} epochs"
        f"{BEGUN if about['recipe']['start'] else ''}.",
        "",
        "## Data",
        "",
        "| | recordings | hours | with transcript | speakers or voices |",
        "|---|---|---|---|---|",
        *(_row(name, about["data"][name]) for name in ("recorded", "synthesised", "validation")),
        "",
        "Sources: " + ", ".join(_sources(utterances)) + ".",
        "",
        "## Licence",
        "",
        f"Commercial use: **{judged.commercial}**.",
        "",
        *(f"- {reason}" for reason in judged.reasons),
        "",
        "## Phone error rate on speakers never heard in training",
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


def _words(words: Mapping[str, Any] | None) -> list[str]:
    if not words or not words["validation"]:
        return []
    right = f"{100 * words['accuracy']:.1f} % of {words['validation']}"
    return ["", f"Single words of such speakers taken for the right one of {words['classes']}: {right}."]


def _row(name: str, amounts: Mapping[str, Any]) -> str:
    return f"| {name} | {amounts['recordings']} | {amounts['hours']} | {amounts['transcribed_hours']} | {amounts['speakers']} |"


def _sources(utterances: Sequence[Utterance]) -> list[str]:
    return sorted({_source(one) for one in utterances})


def _source(utterance: Utterance) -> str:
    if utterance.clip.source == SYNTHESISED:
        return f"{SYNTHESISED} by {(utterance.clip.speaker or '').partition(':')[0]}"
    return (utterance.clip.source or "own recordings").split("@")[0]
