import sys

import pytest

from speechtl.errors import MissingExtraError, RecipeError
from speechtl.toml_files import read_toml


def test_a_document_is_read_with_or_without_a_byte_order_mark(tmp_path):
    for start in ("", "\ufeff"):
        (tmp_path / "a.toml").write_text(start + "a = 1\n[b]\nc = 'ü'\n", encoding="utf-8")
        assert read_toml(tmp_path / "a.toml", "a recipe file") == {"a": 1, "b": {"c": "ü"}}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is a folder; give a file of budgets"),
        ("none.toml", "does not exist; give a file of budgets"),
        ("a.jsonl", "is a manifest; give a file of budgets"),
        ("wrong.toml", "is not valid TOML: "),
        ("bytes.toml", "is not a text file; give "),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(tmp_path, name, message):
    (tmp_path / "a.jsonl").write_text("{}")
    (tmp_path / "wrong.toml").write_text("a = ")
    (tmp_path / "bytes.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(RecipeError, match=message):
        read_toml(tmp_path / name, "a file of budgets", RecipeError)


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the standard library reads TOML")
def test_without_a_package_that_reads_toml_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tomli", None)
    (tmp_path / "a.toml").write_text("a = 1")
    with pytest.raises(MissingExtraError, match=r"speechtl\[train\]"):
        read_toml(tmp_path / "a.toml", "a recipe file")
