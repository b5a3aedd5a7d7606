import io
import json
import sys

import numpy as np
import pytest

from speechtl.console import PlainTable, plain_console
from speechtl.errors import AudioError, ManifestError, sentence_of
from speechtl.files import write_json
from speechtl.progress import say
from speechtl.study.tiles import draw_filters, draw_patches
from speechtl.text import are, counted, dumps, echo, echo_json, first_few, none_can_be_used, one_line, picture_text, plain, were


@pytest.mark.parametrize(("number", "text"), [(0, "0 clips are were"), (1, "1 clip is was"), (2000, "2,000 clips are were")])
def test_nouns_and_verbs_go_with_their_number(number, text):
    assert f"{counted(number, 'clip')} {are(number)} {were(number)}" == text


def test_a_noun_has_a_plural_of_its_own():
    assert counted(2, "person", "people") == "2 people"


def test_of_long_lists_the_first_are_shown_and_the_rest_counted():
    assert list(first_few(map(str, range(5000)), 2)) == ["0", "1", "and 4,998 more"]
    assert list(first_few(["a", "b", "c"], 2)) == ["a", "b", "c"]  # one more line is no longer than its count


def test_none_of_one_is_the_only_one():
    assert none_can_be_used(1, "clip") == "The only clip cannot be used"
    assert none_can_be_used(3, "clip") == "None of the 3 clips can be used"


HOSTILE = "a\x1b[2Jb\nc\x9b0m\u2028d\u202ee\x07"


def test_nothing_leaves_its_line_or_steers_the_terminal():
    said = one_line(HOSTILE)
    assert said == "a\\x1b[2Jb\\x0ac\\x9b0m\\u2028d\\u202ee\\x07"
    assert said.isprintable()


def test_letters_of_all_scripts_stay_as_they_are():
    assert one_line("你好 café नमस्ते ü 🙂") == "你好 café नमस्ते ü 🙂"


def test_lines_stay_lines():
    assert plain("a\nb\x1b") == "a\nb\\x1b"


def test_json_with_hostile_names_is_one_printable_line_and_reads_back_the_same():
    document = {"name": HOSTILE + "你好\udce9"}
    text = dumps(document)
    assert text.isprintable()
    assert "你好" in text
    assert json.loads(text) == document


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_file_name_that_is_no_utf8_is_printed_by_its_bytes(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    echo("caf\udce9 é.wav")
    echo_json({"file": "caf\udce9 é.wav"})
    stream.flush()
    first, second = stream.buffer.getvalue().decode(encoding).splitlines()
    assert first.startswith("caf\\xe9 ")
    assert json.loads(second) == {"file": "caf\udce9 é.wav"}


def test_a_name_with_a_newline_makes_no_second_line_of_progress(capsys):
    say(f"Skipped: {HOSTILE}")
    assert capsys.readouterr().err.count("\n") == 1


def test_an_error_is_one_line_whatever_it_names():
    assert "\n" not in sentence_of(AudioError(f"{HOSTILE} does not exist."))


def test_each_problem_of_a_manifest_is_one_line():
    assert sentence_of(ManifestError("2 problems:", [HOSTILE, "b"])).split("\n") == ["2 problems:", one_line(HOSTILE), "b"]


def test_a_report_on_a_file_whose_name_is_no_utf8_can_be_written(tmp_path):
    write_json(tmp_path / "report.json", {"file": "caf\udce9.wav"})
    assert json.loads((tmp_path / "report.json").read_text()) == {"file": "caf\udce9.wav"}


MARKUP = "[red]x[/] [/] [link=http://a]b :smile: $\\foo$"
FORMULA = r"$\foo$"


def test_cells_and_headings_of_tables_are_text_and_no_markup(capsys):
    table = PlainTable(MARKUP, box=None)
    table.add_column(HOSTILE)
    table.add_row(MARKUP, HOSTILE)
    plain_console(200).print(table)
    heading, row = capsys.readouterr().out.splitlines()
    for line in (heading, row):
        assert MARKUP in line
        assert one_line(HOSTILE) in line


def test_a_picture_shows_a_name_with_dollars_as_it_is():
    from matplotlib.text import Text

    shown, formula = Text()._preprocess_math(picture_text(MARKUP + HOSTILE))
    assert shown == MARKUP + one_line(HOSTILE)
    assert not formula


def test_filters_and_patches_are_drawn_under_any_name(tmp_path):
    draw_filters(tmp_path / "filters.png", np.ones((1, 1, 3, 3)), FORMULA)
    draw_patches(tmp_path / "patches.png", {FORMULA: {FORMULA: [np.ones((3, 3))]}}, FORMULA)
    assert (tmp_path / "patches.png").read_bytes().startswith(b"\x89PNG")
