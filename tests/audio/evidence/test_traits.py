from pathlib import Path

import pytest

from speechtl.audio.data.manifest import Clip
from speechtl.audio.evidence.traits import sound, sound_of_name, trait

MANIFESTS = Path(__file__).parents[3] / "data_manifests"


def clip(**extra) -> Clip:
    return Clip("a.wav", 1.0, extra=extra, manifest=Path("set.jsonl"))


@pytest.mark.parametrize(
    ("kind", "told", "group"),
    [
        ("age", {"age": 12.9}, "under 13"),
        ("age", {"age": 13}, "13 to 19"),
        ("age", {"age": 60}, "60 and over"),
        ("age", {"age_group": "twenties"}, "twenties"),
        ("age", {}, None),
        ("sex", {"sex": "F"}, "female"),
        ("sex", {"gender": "male_masculine"}, "male"),
        ("accent", {"accents": "Irish English"}, "Irish English"),
        ("device", {"device": " Pixel 8 "}, "Pixel 8"),
        ("room", {"room": 3}, "3"),
        ("distance", {"distance": 0.5}, "under 1 m"),
        ("distance", {"distance": 2}, "2 to 4 m"),
        ("distance", {"distance": "across the hall"}, "across the hall"),
        ("device", {"device": ["a", "b"]}, None),
        ("device", {"device": True}, None),
        ("room", {"room": "  "}, None),
    ],
)
def test_a_group_is_what_the_manifest_tells(kind, told, group):
    assert trait(clip(**told), kind) == group


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [
        ("librispeech", "read"),
        ("mini_librispeech", "read"),
        ("common_voice", "read"),
        ("speechocean762", "read"),
        ("alphanumeric", "read"),
        ("speech_commands", "other keywords"),
        ("word_bed", "other keywords"),
        ("wake_alexa", "other keywords"),
        ("precise_not_wake", "other keywords"),
        ("wuw_calls", "other keywords"),
        ("music_librosa", "music"),
        ("noise_kitchen", "noise"),
        ("computer-confusables", "confusables"),
        ("tv-evening", "television-like"),
        ("dinner conversation", "conversation"),
        ("recordings", "other"),
    ],
)
def test_the_name_of_a_manifest_tells_its_kind_of_sound(manifest, kind):
    assert sound_of_name(Path(f"x/{manifest}.jsonl")) == kind
    assert sound_of_name(Path("music") / manifest) == kind  # a folder; those above it do not count


def test_a_line_tells_better_than_the_name_of_its_manifest():
    assert sound(Clip("a.wav", 1.0, extra={"kind": "music"}, manifest=Path("noise_a.jsonl"))) == "music"
    assert sound(Clip("a.wav", 1.0, extra={"kind": 7}, manifest=Path("noise_a.jsonl"))) == "noise"


def test_every_manifest_of_the_project_has_a_kind_of_sound():
    assert [path.stem for path in MANIFESTS.glob("*.jsonl") if not path.stem.startswith("rir") and sound_of_name(path) == "other"] == []
