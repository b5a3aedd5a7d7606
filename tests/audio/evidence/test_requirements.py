import pytest

from speechtl.audio.evidence.requirements import check_names, check_verdicts, judge, read_requirements
from speechtl.errors import CheckFailedError, SpeechtlError


@pytest.fixture
def written(tmp_path):
    def write(text: str):
        (tmp_path / "floors.toml").write_text(text)
        return read_requirements(tmp_path / "floors.toml")

    return write


def required(measure: str, limit: str, *lines: str) -> str:
    return "\n".join(["[[require]]", f'measure = "{measure}"', limit, *lines, ""])


def word_part(kind, name, detected, clips, p95=300.0):
    counts = {"detected": detected, "clips": clips, "recall": detected / clips, "recall_low": 0.2, "recall_high": 0.9}
    return {"kind": kind, "name": name, **counts, "delay_ms": {"p50": 200.0 if detected else None, "p95": p95 if detected else None}}


def rate_part(kind, name, events, hours):
    return {"kind": kind, "name": name, "events": events, "hours": hours, "per_hour": events / hours, "per_hour_high": 9.0}


REPORT = {
    "positives": {"clips": 10, "detected": 9, "recall": 0.9, "recall_low": 0.555, "recall_high": 0.997},
    "negatives": {"events": 1, "hours": 2.0, "per_hour": 0.5, "per_hour_high": 2.37},
    "delay_ms": {"p50": 200.0, "p95": 300.0},
    "slices": [
        word_part("speaker", "Ann", 4, 5),
        word_part("speaker", "Bob", 0, 5),
        rate_part("sound", "music", 3, 0.5),
        rate_part("sound", "read", 0, 1.5),
    ],
}


def test_floors_and_ceilings_are_held_against_what_they_name(written):
    made = judge(
        written(
            required("recall", "at_least = 0.9")
            + required("per_hour", "at_most = 0.4")
            + required("delay_ms_p95", "at_most = 300")
            + required("recall", "at_least = 0.5", 'kind = "speaker"')
            + required("per_hour", "at_most = 1", 'kind = "sound"', 'name = "music"')
        ),
        REPORT,
    )
    assert [(verdict.slice, verdict.ok) for verdict in made] == [
        ("overall", True),
        ("overall", False),
        ("overall", True),
        ("speaker Ann", True),
        ("speaker Bob", False),
        ("sound music", False),
    ]


def test_a_failure_says_by_how_much_and_with_which_limits(written):
    notes: list[str] = []
    floors = required("recall", "at_least = 0.95", 'kind = "speaker"', 'name = "Ann"') + required(
        "per_hour", "at_most = 1", 'kind = "sound"'
    )
    with pytest.raises(CheckFailedError, match=r"^2 of 3 requirements are not met\.$"):
        check_verdicts(judge(written(floors), REPORT), notes.append)
    assert notes == [
        "Not met: speaker Ann: recall 80.0 %, 15.0 points too low; required: 95.0 % at least (4 of 5, 95 % limits 20.0 to 90.0 %).",
        "Not met: sound music: false accepts per hour 6, 5 too high; required: 1 at most "
        "(3 in 0.50 h, at most 9.00 per hour with 95 % confidence).",
    ]


def test_what_is_met_is_no_error(written):
    check_verdicts(judge(written(required("recall", "at_least = 0.9")), REPORT), pytest.fail)


def test_a_delay_of_nothing_is_not_met(written):
    (verdict,) = judge(written(required("delay_ms_p50", "at_most = 500", 'kind = "speaker"', 'name = "Bob"')), REPORT)
    assert not verdict.ok
    assert "no word was detected" in str(verdict)
    assert verdict.to_json() == {"kind": "speaker", "name": "Bob", "measure": "delay_ms_p50", "at_most": 500.0, "value": None, "ok": False}


def test_a_slice_of_which_nothing_was_played_is_not_met(written):
    (verdict,) = judge(written(required("hours", "at_least = 1", 'kind = "sound"', 'name = "noise"')), REPORT)
    assert not verdict.ok
    assert "nothing of it was played" in str(verdict)


SLICES = {"condition": ["clean", "babble at 5 dB"], "sound": ["music", "read"]}


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        (
            "condition",
            "babble at 5 db",
            r"no condition 'babble at 5 db' \(did you mean 'babble at 5 dB'\?\); it will have: babble at 5 dB, clean\.",
        ),
        ("age", None, r"no slice of kind 'age'; it has slices of condition, sound\."),
    ],
)
def test_a_requirement_on_no_slice_is_a_sentence(written, kind, name, sentence):
    named = [f'name = "{name}"'] if name else []
    made = written(required("recall", "at_least = 0.5") + required("recall", "at_least = 0.5", f'kind = "{kind}"', *named))
    with pytest.raises(SpeechtlError, match=rf"floors\.toml, requirement 2: this evaluation will have {sentence}"):
        check_names(made, SLICES)


def test_requirements_on_slices_that_there_are_pass(written):
    check_names(written(required("per_hour", "at_most = 1", 'kind = "sound"', 'name = "read"')), SLICES)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must hold one or more"),
        ("x = 1\n[[require]]\n", "must hold one or more"),
        ("require = [1]\n", "must be a table"),
        (required("recal", "at_least = 0.5"), r"got 'recal' \(did you mean 'recall'\?\)"),
        ("[[require]]\nmeasure = [1]\n", r"got \[1\]"),
        (required("recall", "at_leest = 0.5"), r"'at_leest' is not known \(did you mean 'at_least'\?\)"),
        (required("recall", "at_least = 95"), "must be a proportion from 0 to 1; got 95"),
        (required("recall", "at_least = true"), "got True"),
        (required("recall", "at_most = 0.5"), "recall needs 'at_least', not 'at_most'"),
        (required("per_hour", "at_least = 0.5"), "per_hour needs 'at_most', not 'at_least'"),
        (required("per_hour", "at_most = nan"), "must be 0 or more; got nan"),
        (required("delay_ms_p95", 'at_most = "1"'), "must be a number of milliseconds; got '1'"),
        (required("recall", ""), "recall needs 'at_least'"),
        (required("recall", "at_least = 0.5", 'kind = "speakers"'), r"got 'speakers' \(did you mean 'speaker'\?\)"),
        (required("recall", "at_least = 0.5", 'kind = "sound"'), "slices of kind 'sound' have no recall; take one of: per_hour"),
        (required("recall", "at_least = 0.5", 'name = "Ann"'), "'name' must be the text that names a slice of a 'kind'"),
        (required("recall", "at_least = 0.5", 'kind = "age"', "name = 5"), "'name' must be the text"),
    ],
)
def test_a_mistake_in_the_file_is_a_sentence(written, text, sentence):
    with pytest.raises(SpeechtlError, match=sentence):
        written(text)
