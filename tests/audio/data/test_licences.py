import pytest

from speechtl.audio.data.licences import all_of, judge, verdict


@pytest.mark.parametrize(
    "licence",
    [
        "Apache-2.0",
        "MIT",
        "BSD-3-Clause",
        "CC0-1.0",
        "CC-BY-3.0",
        "cc-by-4.0",
        "CC-BY-SA-4.0",
        "LicenseRef-PublicDomain",
        "LicenseRef-PublicDomain-or-CC-BY",
        "LicenseRef-own-recordings",
    ],
)
def test_permissive_licences_allow_commercial_use(licence):
    assert verdict([licence], {"the encoder is": "Apache-2.0"}).commercial == "yes"


@pytest.mark.parametrize(
    "licence", ["CC-BY-NC-4.0", "CC-BY-NC-SA-3.0", "cc-by-nc-nd-4.0", "LicenseRef-NonCommercial", "Apache-2.0 AND CC-BY-NC-4.0"]
)
def test_one_non_commercial_clip_forbids_commercial_use(licence):
    found = verdict(["Apache-2.0"] * 99 + [licence], {"the encoder is": "Apache-2.0"})
    assert found.commercial == "no"
    assert found.reasons[0].startswith(f"1 clip is under {licence}: ")


@pytest.mark.parametrize("licence", ["LicenseRef-see-source", "Something-1.0", "", None, "CC-BY-ND-4.0", "(MIT OR NCSA) AND X", "MITX"])
def test_what_is_unknown_or_missing_is_unclear(licence):
    found = verdict(["MIT", licence, licence], {"the encoder is": "MIT"})
    assert found.commercial == "unclear"
    assert found.reasons[0].startswith("2 clips are ")


def test_an_unknown_licence_does_not_hide_a_prohibition():
    assert verdict(["CC-BY-NC-4.0", None], {"the encoder is": "MIT"}).commercial == "no"


def test_the_encoder_counts_too():
    assert verdict(["MIT"], {"the encoder is": "CC-BY-NC-4.0"}).commercial == "no"
    assert verdict(["MIT"], {"the encoder is": None}).commercial == "unclear"


def test_the_better_of_two_alternatives_counts():
    assert verdict(["CC-BY-NC-4.0 OR MIT"], {"the encoder is": "MIT"}).commercial == "yes"


def test_conditions_are_named_with_the_number_of_clips():
    reasons = verdict(["CC-BY-4.0"] * 3 + ["CC-BY-SA-4.0"], {"the encoder is": "Apache-2.0"}).reasons
    assert "3 clips are under CC-BY-4.0: name the authors" in reasons
    assert any("1 clip is under CC-BY-SA-4.0" in reason and "same licence" in reason for reason in reasons)


def test_what_is_under_several_licences_is_under_all_of_them_whatever_alternatives_one_has():
    assert all_of(["MIT", "Apache-2.0", "MIT"]) == "MIT AND Apache-2.0"
    assert all_of(["MIT", "Apache-2.0 AND MIT AND X"]) == "MIT AND Apache-2.0 AND X"
    assert all_of(["CC-BY-NC-4.0 OR MIT", "CC-BY-NC-4.0"]) == "MIT AND CC-BY-NC-4.0"
    assert judge(all_of(["CC-BY-NC-4.0", "CC-BY-NC-4.0 OR MIT"]))[0] == "no"
