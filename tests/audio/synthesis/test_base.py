"""Voices, and the running of programs that speak."""

from __future__ import annotations

import sys

import pytest

from speechtl.audio.synthesis.base import Voice, run, run_partly
from speechtl.errors import AudioError


def test_voices_of_one_recorded_person_are_one_person_whatever_the_program() -> None:
    people = {Voice("flite", "en-us", "slt").person, Voice("festival", "en-us", "slt").person}
    assert people == {"recorded:slt"}
    assert Voice("flite", "en-us", "kal16").person == Voice("festival", "en-us", "kal").person


def test_names_tell_program_accent_and_timbre() -> None:
    assert Voice("espeak", "en-us", "plain").name == "espeak:en-us"
    assert Voice("espeak", "en-gb", "f3").name == "espeak:en-gb+f3"
    assert Voice("festival", "en-us", "ked").name == "festival:ked"


def test_two_people_are_heard_in_a_blend_and_the_first_one_counts() -> None:
    blend = Voice("kokoro", "en-us", "af_heart+bm_lewis:35")
    assert blend.name == "kokoro:af_heart+bm_lewis:35"
    assert blend.people == ("kokoro:af_heart", "kokoro:bm_lewis")
    assert blend.person == Voice("kokoro", "en-us", "af_heart").person == "kokoro:af_heart"
    assert Voice("espeak", "en-us", "f3").people == ("espeak:f3",)


def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(AudioError, match="failed: no such tongue"):
        run([sys.executable, "-c", "import sys; sys.exit('no such tongue')"], "")
    with pytest.raises(AudioError, match="exit code 3"):
        run([sys.executable, "-c", "raise SystemExit(3)"], "")
    with pytest.raises(AudioError, match="could not be run"):
        run(["/nowhere/speak"], "")


@pytest.mark.slow
def test_a_program_that_does_not_end_is_stopped_and_what_it_wrote_is_kept() -> None:
    code = "import time; print('first', flush=True); time.sleep(60)"
    output, failure = run_partly([sys.executable, "-c", code], "", seconds=2.0)
    assert output == b"first\n"
    assert "did not end within 2 s" in str(failure)
