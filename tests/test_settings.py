"""Names: one rule wherever they are given."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechtl.runtime.bundle.description import MAX_NAME as LONGEST_IN_BUNDLE
from speechtl.runtime.listen.clips import in_file_name
from speechtl.settings import MAX_NAME, MAX_NAME_BYTES, known_name, name_from


def test_settings_are_read_without_torch() -> None:
    subprocess.run([sys.executable, "-c", "import sys, speechtl.settings; sys.exit('torch' in sys.modules)"], check=True)


def allowed(name: str) -> bool:
    try:
        return bool(known_name(name))
    except ValueError:
        return False


@given(st.text(max_size=80) | st.text(st.characters(categories=("L", "M", "Nd")), max_size=80))
def test_an_allowed_name_is_one_that_files_bundles_and_events_can_carry(text: str) -> None:
    if allowed(text):
        name = known_name(text)
        assert name == unicodedata.normalize("NFC", name) == known_name(name)
        assert name.isprintable()
        assert len(name) <= min(MAX_NAME, LONGEST_IN_BUNDLE)
        assert len(name.encode()) <= MAX_NAME_BYTES
        assert Path("runs", name).name == name
        assert len(name.split()) == 1
        assert not name.startswith((".", "-"))


@given(st.text(max_size=200) | st.text(st.characters(categories=("L", "M", "Nd")), min_size=60, max_size=200))
def test_a_name_made_of_a_text_is_allowed_or_empty(text: str) -> None:
    name = name_from(text)
    assert name == "" or allowed(name)


@pytest.mark.parametrize("name", ["computer", "你好小智", "コンピューター", "컴퓨터", "नमस्ते", "مرحبا", "สวัสดี", "café", "größe_2.v1"])
def test_letters_of_every_script_are_allowed_and_stay_in_the_names_of_clips(name: str) -> None:
    assert known_name(name) == name
    assert known_name(unicodedata.normalize("NFD", name)) == name
    assert in_file_name(name) == name.replace(".", "_")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\\b", "..", ".a", "-a", "a\n", "a\u202eb", "a\u200bb", "x" * 65, "𐌰" * 51, "a:b"])
def test_what_no_file_should_be_called_is_refused(name: str) -> None:
    assert not allowed(name)


@given(st.text(max_size=100))
def test_a_word_of_any_name_fits_into_the_name_of_a_clip(word: str) -> None:
    name = in_file_name(word)
    assert len(name.encode()) <= 150
    assert "/" not in name
    assert name.isprintable()
    assert "." not in name
