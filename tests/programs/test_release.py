"""The checklist of a release says what is wrong; what builds and installs is for the checklist itself."""

import shutil
import subprocess
import tarfile
import zipfile

import pytest

from speechtl.errors import CheckFailedError


@pytest.fixture
def program(load_program):
    return load_program(".ci/release")


@pytest.fixture
def checkout(tmp_path):
    """A repository with what names the version."""
    device = tmp_path / "device" / "home-assistant"
    device.mkdir(parents=True)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0 (2026-12-01)\n\n- New\n\n## 1.1.0 (2026-01-01)\n")
    (device / "config.yaml").write_text("version: 1.2.0\n")
    (device / "Dockerfile").write_text("ARG SPEECHTL_VERSION=1.2.0\n")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def git(folder, *words):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words], cwd=folder, check=True)


def commit(folder):
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "All", "--allow-empty")


def test_one_version_everywhere_and_a_clean_tree_are_ticked(program, checkout):
    git(checkout, "tag", "v1.2.0")
    assert program.one_version(checkout, "1.2.0") == "1.2.0"
    assert program.clean_tree(checkout).startswith("commit ")


def test_what_names_another_version_or_is_not_committed_is_told(program, checkout):
    git(checkout, "tag", "v1.3.0")
    (checkout / "CHANGELOG.md").write_text("# Changelog\n\n## 1.3.0 (unreleased)\n")
    commit(checkout)
    with pytest.raises(CheckFailedError) as stopped:
        program.one_version(checkout, "1.3.0")
    for part in ("'1.3.0 (unreleased)'", "config.yaml has version 1.2.0", "Dockerfile has version 1.2.0", "v1.3.0 is at another commit"):
        assert part in str(stopped.value)
    (checkout / "notes.txt").touch()
    with pytest.raises(CheckFailedError, match=r"\?\? notes\.txt"):
        program.clean_tree(checkout)


def wheel_of(program, folder, names, metadata="Metadata-Version: 2.4\nLicense-Expression: Apache-2.0\n\n"):
    wheel = folder / program.archives()[1]
    about = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"):
            archive.writestr(f"{about}/{name}", metadata)
        for name, text in names.items():
            archive.writestr(name, text)
    return wheel


def test_archives_have_what_git_knows_and_nothing_else(program, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "tracked", lambda: {"speechtl/a.py", "tests/b.py"})
    manifests = [f"speechtl/manifests/{name}.jsonl" for name in ("speechocean762", "librispeech", "speech_commands")]
    manifests += [f"speechtl/manifests/{name}.jsonl" for name in ("noise_esc10", "noise_gsc", "music_librosa")]
    whole = dict.fromkeys(["speechtl/a.py", *manifests], "")
    assert program.wheel_contents(wheel_of(program, tmp_path, whole)) == "12 files"
    with pytest.raises(CheckFailedError, match=r"a\.py is missing\n.*tests/b\.py does not belong there"):
        program.wheel_contents(wheel_of(program, tmp_path, dict.fromkeys(["tests/b.py", *manifests], "")))
    sdist = tmp_path / "a.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("speechtl-1/speechtl/a.py"))
    with pytest.raises(CheckFailedError, match=r"PKG-INFO is missing\n.*tests/b\.py is missing"):
        program.sdist_contents(sdist)


def test_weights_need_cards_and_recordings_licences(program, tmp_path):
    right = {
        "speechtl/w/net.safetensors": "",
        "speechtl/w/net.md": "Commercial use: **yes**.",
        "speechtl/r/ready.wake": "",
        "speechtl/r/a.md": "Commercial use: yes (...).",
        "speechtl/m.jsonl": '{"license": "CC0-1.0"}\n{"license": "CC-BY-NC-4.0", "split": "test"}\n',
    }
    assert program.licences(wheel_of(program, tmp_path, right)).startswith("Apache-2.0; 2 files of weights")
    wrong = {
        **right,
        "speechtl/w/other.safetensors": "",
        "speechtl/r/b.md": "Commercial use: unclear.",
        "speechtl/m.jsonl": '{"license": "CC-BY-NC-4.0"}\n{}\n',
    }
    with pytest.raises(CheckFailedError) as stopped:
        program.licences(wheel_of(program, tmp_path, wrong, "Metadata-Version: 2.4\n\n"))
    for part in ("METADATA does not", "other.safetensors has no card", "b.md does not allow", "m.jsonl has 2 recordings without"):
        assert part in str(stopped.value)


def test_the_list_goes_on_after_a_failure_and_names_it_at_the_end(program, capsys):
    def fails():
        raise CheckFailedError("It is wrong.")

    checklist = program.Checklist()
    checklist.tick("first", fails)
    checklist.tick("second", lambda: "seen")
    assert capsys.readouterr().out.splitlines() == ["[ ] first: It is wrong.", "[x] second: seen"]
    with pytest.raises(CheckFailedError, match="Not ready to be released: first"):
        checklist.finish()


def test_a_command_that_fails_is_quoted(program):
    with pytest.raises(CheckFailedError, match="git no-such-command failed: git: 'no-such-command' is not a git command"):
        program.run("git", "no-such-command")
