import errno
import hashlib
import json

import pytest

from speechtl.errors import SpeechtlError
from speechtl.files import append_row, check_place, read_rows, replace_folder, sha256_of, write_json, write_rows, write_text, writing


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(UnicodeEncodeError), writing(target) as beside, beside.open("w", encoding="ascii") as file:
        print("half of the n", "é", file=file, sep="")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    with writing(tmp_path / "new" / "a.txt") as beside:
        beside.write_text("whole")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_json_survives(tmp_path):
    write_json(tmp_path / "a.json", {"ä": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ä": [1, 2.5, None]}


def test_a_folder_takes_the_place_of_an_older_one(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["new"]


def test_a_folder_is_no_target_for_a_file(tmp_path):
    with pytest.raises(SpeechtlError, match="is a folder"), writing(tmp_path):
        pass


def test_rows_are_added_below_one_line_of_names(tmp_path):
    table = tmp_path / "new" / "log.csv"
    append_row(table, {"epoch": 1, "note": "a, b"})
    append_row(table, {"epoch": 2, "note": "c"})
    assert table.read_text().splitlines() == ["epoch,note", '1,"a, b"', "2,c"]


def test_a_table_that_a_full_disk_left_empty_gets_its_names(tmp_path):
    (tmp_path / "log.csv").touch()
    append_row(tmp_path / "log.csv", {"epoch": 1})
    assert (tmp_path / "log.csv").read_text().splitlines() == ["epoch", "1"]


def test_a_place_that_cannot_be_written_to_is_refused_and_one_that_can_is_left_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    check_place(tmp_path / "new" / "deep" / "a.txt")
    check_place(tmp_path / "file")
    with pytest.raises(SpeechtlError, match="is a folder"):
        check_place(tmp_path)
    with pytest.raises(SpeechtlError, match=r"cannot be written: .*file is no folder"):
        check_place(tmp_path / "file" / "a.txt")

    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("os.open", refuse)  # as for a user who is not root
    with pytest.raises(SpeechtlError, match="not yours to write to"):
        check_place(tmp_path / "a.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_table_is_written_whole_and_read_back(tmp_path):
    table = tmp_path / "log.csv"
    assert read_rows(table) == []
    write_rows(table, [{"epoch": 1, "note": "a, b"}, {"epoch": 2, "note": None}])
    assert read_rows(table) == [{"epoch": "1", "note": "a, b"}, {"epoch": "2", "note": ""}]


def test_files_and_bytes_have_the_same_hash(tmp_path):
    content = bytes(range(256)) * 5000  # more than is read at a time
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == sha256_of(content) == hashlib.sha256(content).hexdigest()
