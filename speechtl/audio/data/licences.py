"""Whether the licences of recordings and encoder allow commercial use of a trained model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from speechtl.text import are, counted

Commercial = Literal["yes", "no", "unclear"]
_ORDER: tuple[Commercial, ...] = ("yes", "unclear", "no")  # from best to worst
FREE = "no conditions"

# Patterns of SPDX identifiers (https://spdx.org/licenses), which ignore case; the first that matches decides.
_RULES: tuple[tuple[str, Commercial, str], ...] = (
    (r".*(^|-)nc(-|$).*|.*non-?commercial.*", "no", "non-commercial use only"),
    (r"cc-by-sa-\d(\.\d)?(-[a-z]{2,3})?", "yes", "name the authors; what is made from it may have to be shared under the same licence"),
    (r"cc-by-\d(\.\d)?(-[a-z]{2,3})?|licenseref-publicdomain-or-cc-by", "yes", "name the authors"),
    (r"cc0-1\.0|licenseref-publicdomain|pddl-1\.0|cc-pddc|unlicense|0bsd|mit-0", "yes", FREE),
    (r"apache-2\.0|mit|isc|zlib|bsd-[1-4]-clause(-[a-z]+)?|cdla-permissive-[12]\.0", "yes", "keep the licence text and the notices"),
    (r"cc-by-nd-.*", "unclear", "no derivatives; whether a trained model is one is not settled"),
    (r"licenseref-own-recordings", "yes", "keep to what the speakers agreed to"),
    (r"licenseref-see-source", "unclear", "the licence stands at the source and has to be read there"),
)


@dataclass(frozen=True)
class Verdict:
    """Whether a model may be used commercially, with a reason for every licence, the most restrictive first."""

    commercial: Commercial
    reasons: list[str]

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON."""
        return asdict(self)


def verdict(licences: Iterable[str | None], others: Mapping[str, str | None]) -> Verdict:
    """The verdict on a model, from the licences of its training clips (one entry per clip, None if unknown) and of its other parts.

    `others` are the licences of other parts by the beginning of a sentence, such as `the encoder is`. This is bookkeeping, not legal
    advice: a licence that is not known to be permissive is `unclear`.
    """
    judged = [(*judge(licence), f"{_clips(count)} {_called(licence)}") for licence, count in _counted(licences)]
    judged += [(*judge(licence), f"{subject} {_called(licence)}") for subject, licence in others.items()]
    judged.sort(key=lambda entry: -_ORDER.index(entry[0]))
    return Verdict(judged[0][0], [f"{subject}: {why}" for _, why, subject in judged])


def judge(licence: str | None) -> tuple[Commercial, str]:
    """Whether one licence (an SPDX identifier, or several joined by AND, OR) allows commercial use, and why."""
    if not licence or licence.strip().upper() in ("", "NOASSERTION", "NONE", "UNKNOWN"):
        return "unclear", "no licence is named"
    if alternatives := _split(licence, "OR"):
        return min(map(judge, alternatives), key=lambda entry: _ORDER.index(entry[0]))
    if conditions := _split(licence, "AND"):
        judged = [judge(condition) for condition in conditions]
        gravest = max((answer for answer, _ in judged), key=_ORDER.index)
        reasons = list(dict.fromkeys(why for answer, why in judged if answer == gravest))
        return gravest, "; ".join([why for why in reasons if why != FREE] or reasons)
    name = licence.strip().lower()
    return next(
        ((answer, why) for pattern, answer, why in _RULES if re.fullmatch(pattern, name)),
        ("unclear", "speechtl does not know this licence"),
    )


def all_of(licences: Iterable[str]) -> str:
    """One expression for all of these licences together; of alternatives the most permissive, as `judge` accepts no brackets."""
    chosen = (min(_split(licence, "OR") or [licence], key=lambda one: _ORDER.index(judge(one)[0])) for licence in licences)
    return " AND ".join(dict.fromkeys(one for licence in chosen for one in _split(licence, "AND") or [licence]))


def _split(licence: str, operator: str) -> list[str]:
    parts = licence.split(f" {operator} ") if "(" not in licence else []
    return parts if len(parts) > 1 else []


def _counted(licences: Iterable[str | None]) -> list[tuple[str | None, int]]:
    return Counter(licence or None for licence in licences).most_common()


def _clips(count: int) -> str:
    return f"{counted(count, 'clip')} {are(count)}"


def _called(licence: str | None) -> str:
    return f"under {licence}" if licence else "without a licence"
