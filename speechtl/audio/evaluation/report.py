"""Summaries of training and evaluation as text, and the report files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechtl.files import write_json, write_text


def training_summary(about: Mapping[str, Any], out: Path) -> str:
    """Recall and false accepts of a run on its validation recordings, as lines of text."""
    minutes = about["seconds"]["all"] / 60.0
    calibrated = bool(about["operating_points"])
    return "\n".join(
        [
            f"{about['name']}: trained {'and calibrated' if calibrated else 'without calibration'} in {minutes:.1f} minutes.",
            *(_validation(about) if calibrated else ()),
            f"Commercial use: {about['licence']['commercial']} ({'; '.join(about['licence']['reasons'])})",
            f"The run is in {out}. Next: speechtl export {out} -o {about['name']}.wake",
        ]
    )


def _validation(about: Mapping[str, Any]) -> list[str]:
    aim = about["recipe"]["calibrate"]["false_accepts_per_hour"]
    point = next(point for point in about["operating_points"] if point["false_accepts_per_hour"] == aim)
    return [
        f"On the validation recordings ({'speakers' if about['data']['speakers_apart'] else 'recordings'} not trained on), "
        f"at a threshold of {point['threshold']:.4g}:",
        f"  recall         {_percent(point)}",
        f"  false accepts  {point['events']} in {point['hours']:.2f} h = {point['per_hour']:.2f} per hour "
        f"(at most {point['per_hour_high']:.1f} with 95 % confidence), aimed at {aim:g} per hour",
        "  (Words were played clean and in noise, everything else also in rooms; the limits count each recording once.)",
        *_of_synthesised(about["data"]),
    ]


def _of_synthesised(data: Mapping[str, Any]) -> list[str]:
    """Whose words the recall is of, where some are synthesised."""
    spoken = data.get("synthesised", 0)
    if not spoken:
        return []
    clips = data["positives"]["clips"]
    if spoken == clips:
        return ["  (All words are synthesised, and fewer are found of real people: add takes of your own with --positives.)"]
    return [f"  (The recall is of the {clips - spoken} real takes; {spoken} synthesised ones were only learned from.)"]


def evaluation_summary(report: Mapping[str, Any]) -> str:
    """A report as lines of text."""
    negatives, delay = report["negatives"], report["delay_ms"]
    conditions = [part for part in report["slices"][1:] if part["kind"] == "condition"]
    kinds = [part for part in report["slices"] if part["kind"] == "negatives"]
    lines = [
        ("recall", _percent(report["positives"])),
        *((f"recall, {part['name']}", _percent(part)) for part in conditions),
        ("false accepts", _rate(negatives)),
        *((f"false accepts, {part['name']}", _rate(part)) for part in kinds if len(kinds) > 1),
    ]
    if delay["p50"] is not None:
        lines.append(("delay", f"{delay['p50']:.0f} ms from the end of the word to the event (95 %: {delay['p95']:.0f} ms)"))
    if "confusables" in report:
        lines.append(("taken for it", _confusables(report["confusables"])))
    width = max(len(label) for label, _ in lines) + 2
    return "\n".join(
        [f"{report['name']} at a threshold of {report['threshold']:.4g}:", *(f"  {label:<{width}}{text}" for label, text in lines)]
    )


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write `report.json` and `report.html` into a folder."""
    from speechtl.audio.evaluation.page import page

    write_json(folder / "report.json", report)
    write_text(folder / "report.html", page(report))


def _rate(counts: Mapping[str, Any]) -> str:
    return (
        f"{counts['events']} in {counts['hours']:.2f} h = {counts['per_hour']:.2f} per hour "
        f"(at most {counts['per_hour_high']:.2f} with 95 % confidence)"
    )


def _confusables(found: Sequence[Mapping[str, Any]]) -> str:
    """The texts that were taken for the word, with the number of takes that were."""
    fired = [f"{one['text']} ({one['events']} of {one['takes']})" for one in found if one["events"]]
    takes = sum(one["takes"] for one in found)
    return f"{', '.join(fired) or 'none'}, of {len(found)} words that sound like it, spoken {takes} times"


def _percent(counts: Mapping[str, Any]) -> str:
    return (
        f"{counts['detected']} of {counts['clips']} = {100 * counts['recall']:.1f} % "
        f"({100 * counts['recall_low']:.1f} to {100 * counts['recall_high']:.1f} % with 95 % confidence)"
    )
