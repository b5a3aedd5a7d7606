"""The card of a student: what it was made from, what it finds beside its teacher, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from speechtl import __version__
from speechtl.audio.evidence.slices import CONDITION
from speechtl.audio.run import Run

YAML = """```yaml
micro_wake_word:
  models:
    - model: {name}.json
```"""


def card(run: Run, made: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    settings = made["manifest"]["micro"]
    parts = [
        f"# {run.name}, for microWakeWord's listeners",
        f"A network of {made['bytes'] / 1000:.0f} kB that the run {run.name!r} has taught, by speechtl {__version__}. Home Assistant's "
        f"voice satellites on ESP32 (ESPHome) and pymicro-wakeword run it; {run.name}.json describes it to them.",
        f"`probability_cutoff` {settings['probability_cutoff']} and `sliding_window_size` {settings['sliding_window_size']} were chosen "
        f"on people whom the student has not heard: {_chosen(made['validation'])}.",
        _table(made["test"]),
        f"In the configuration of ESPHome, with {run.name}.json and {run.name}.tflite beside it:",
        YAML.format(name=run.name),
        f"Commercial use: {run.about['licence']['commercial']}. {'; '.join(run.about['licence']['reasons'])}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _chosen(point: Mapping[str, Any]) -> str:
    return (
        f"{_recall(point)} of their words, clean, in noise and in babble, and {_accepts(point)}, "
        f"where at most {point['false_accepts_per_hour']:g} an hour are wanted of kinds of sound that are not at hand"
    )


def _table(test: Mapping[str, Any] | None) -> str:
    if test is None:
        return ""
    reports = test["student"], test["teacher"]
    rows: list[tuple[str, ...]] = [("new people", "student", "teacher"), ("---", "---", "---")]
    for index, part in enumerate(_conditions(reports[0])):
        rows.append((f"recall, {part['name']}", *(_recall(_conditions(one)[index]) for one in reports)))
    rows.append(("false accepts", *(_accepts(one["negatives"]) for one in reports)))
    rows.append(("delay, median", *(_delay(one["delay_ms"]) for one in reports)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _conditions(report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [part for part in report["slices"] if part["kind"] == CONDITION]


def _recall(counts: Mapping[str, Any]) -> str:
    low, high = 100 * counts["recall_low"], 100 * counts["recall_high"]
    return f"{counts['detected']} of {counts['clips']} ({100 * counts['recall']:.1f} %; {low:.1f} to {high:.1f} %)"


def _accepts(counts: Mapping[str, Any]) -> str:
    return f"{counts['events']} false accepts in {counts['hours']:.2f} h (at most {counts['per_hour_high']:.2f} an hour)"


def _delay(delay: Mapping[str, Any]) -> str:
    return "–" if delay["p50"] is None else f"{delay['p50']:.0f} ms"
