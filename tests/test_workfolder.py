"""A training's folders: what stands where until it is done."""

from speechtl.workfolder import ABOUT, bind, finish, working_folder


def test_a_finished_run_stays_until_the_next_one_is_done_and_that_is_said(tmp_path, capsys):
    out = tmp_path / "run"
    work = working_folder(out)
    bind(work, {})
    finish(work, out, lambda folder: (folder / ABOUT).write_text("first"))
    assert capsys.readouterr().err == ""
    work = working_folder(out)
    assert "run holds a finished run, which stays until" in capsys.readouterr().err
    bind(work, {})
    assert (out / ABOUT).read_text() == "first"
    finish(work, out, lambda folder: (folder / ABOUT).write_text("second"))
    assert (out / ABOUT).read_text() == "second"
    assert not work.exists()
