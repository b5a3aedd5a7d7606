"""Adapt a run or a bundle to labelled clips, and write the result only if it is not worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechtl.adapt.clips import Inbox, Labelled, Wanted, read_inbox
from speechtl.adapt.compare import LEVEL
from speechtl.adapt.detector import Adaptable, open_adaptable, write_adapted
from speechtl.adapt.keep import keep
from speechtl.adapt.study import Outcome, study
from speechtl.errors import SpeechtlError
from speechtl.files import check_place, writing
from speechtl.progress import Log, progress, say
from speechtl.runtime.bundle.archive import field_of
from speechtl.runtime.bundle.document import Field
from speechtl.runtime.bundle.sensitivity import MOST_POINTS, read_sensitivity, sigmoid
from speechtl.runtime.trigger import TriggerSettings, log_odds_of

NOTHING = "nothing got better: the clips that are right and those that are wrong are the same as before"


@progress("adapting")
def adapt(
    model: Path,
    out: Path,
    *,
    clips: Path | None = None,
    manifest: Path | None = None,
    word: str | None = None,
    sure: bool = False,
    keep_previous: bool = False,
    log: Log = say,
) -> dict[str, Any]:
    """Adapt and compare; write the result to `out` unless something got worse, or nothing better. Return the report.

    `word` is needed for a bundle of several words, of which the others stay as they are. With `sure` no label is
    in doubt, whatever a clip sounds like.

    `report["written"]` tells whether it was written, `report["reasons"]` why not, and `report["table"]` has what was compared.
    """
    if clips is None and manifest is None:
        raise SpeechtlError("Give labelled clips with --clips, or a manifest with labels with --manifest.")
    check_place(out)
    old = open_adaptable(model, word)
    inbox = read_inbox(clips, manifest, Wanted(old.phrases, old.other_words), log)
    job = study(old, inbox, log, sure=sure)
    if not job.examples:
        raise SpeechtlError("No clip is left to learn from.")
    outcome = job.run()
    reasons = outcome.reasons or ([] if outcome.improved else [NOTHING])
    report = _report(model, out, job.clips, inbox, outcome, reasons)
    if not reasons:
        trigger = replace(old.trigger, threshold=sigmoid(outcome.threshold))
        with field_of(model):
            about = _about(old, trigger, outcome.rise, job.clips, report)
        with writing(out) as beside:
            write_adapted(old, beside, outcome.layer, outcome.memory, about)
            if keep_previous:
                keep(out)
    return report


def _report(model: Path, out: Path, clips: Sequence[Labelled], inbox: Inbox, outcome: Outcome, reasons: Sequence[str]) -> dict[str, Any]:
    words = sum(clip.is_word for clip in clips)
    return {
        "model": str(model),
        "out": str(out),
        "written": not reasons,
        "reasons": list(reasons),
        "words": words,
        "others": len(clips) - words,
        "left_out": {
            "unsure": inbox.unsure,
            "unlabelled": inbox.unlabelled,
            "of_other_words": inbox.of_other_words,
            "contradicting": inbox.contradicting,
            "repeated": inbox.repeated,
            "unusable": len(inbox.problems),
            "doubtful": len(inbox.clips) - len(clips),
        },
        "held_back": outcome.held_back,
        "threshold": sigmoid(outcome.threshold),
        "level": LEVEL,
        "weight": outcome.weight,
        "lost": outcome.lost / outcome.lines[0].of,
        "table": [line.to_json() for line in outcome.lines],
    }


def _about(old: Adaptable, trigger: TriggerSettings, rise: float, clips: Sequence[Labelled], report: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of the description: threshold and what is known of others, and the recordings that were learned."""
    about = old.about
    points = Field("operating_points", about.get("operating_points") or []).list(0, MOST_POINTS)
    data = old.source.about.get("data", {})  # of all words of a bundle
    learned = {*data.get("recordings", "").split(), *(clip.recording.clip.short_hash or "" for clip in clips)} - {""}
    kept = ("words", "others", "held_back", "lost", "table")
    told = read_sensitivity(Field("sensitivity", about.get("sensitivity")))
    return {
        "detector": trigger.to_json(),
        "operating_points": [_moved(point, rise) for point in points],
        "sensitivity": told and told.moved(rise).to_json(),
        "data": {**data, "recordings": " ".join(sorted(learned))},
        "adapted": [*about.get("adapted", []), {key: report[key] for key in kept}],
    }


def _moved(point: Field, rise: float) -> dict[str, Any]:
    """An operating point whose threshold has risen."""
    return {**point.table(), "threshold": sigmoid(log_odds_of(point["threshold"].real(0.0, 1.0)) + rise)}
