import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from speechtl.errors import BundleError, SpeechtlError
from speechtl.runtime.bundle.choice import Choice, PerWord
from speechtl.runtime.bundle.open_bundles import OpenBundles
from speechtl.runtime.bundle.wake_word import open_bundle


class Words:
    """A bundle that was really opened, and its words."""

    def __init__(self, path: Path) -> None:
        self.names = [word.name for word in open_bundle(path).words]


class Watched:
    """A folder, what is open of it, and what was said."""

    def __init__(self, *places: Path) -> None:
        self.said: list[str] = []
        self.bundles = OpenBundles(places, Words, self.said.append)

    @property
    def names(self) -> list[str]:
        return sorted(self.bundles.names)

    def look(self, times: int = 2) -> list[str]:
        """Look so often; return what was said meanwhile."""
        before = len(self.said)
        self.changed = [self.bundles.look() for _ in range(times)]
        return self.said[before:]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "words").mkdir()
    return tmp_path / "words"


@pytest.fixture
def make(remake):
    """Return the function that makes a bundle of one word, beside the folder."""
    return lambda word: remake({"name": word}, name=f"made of {word}")


def test_the_bundles_of_a_folder_are_open_and_other_files_are_not(folder, make):
    for name in ("a.wake", ".hidden.wake", "a.wake.new", "a.txt"):
        shutil.copy(make("one"), folder / name)
    (folder / "folder.wake").mkdir()
    (folder / "nothing.wake").symlink_to(folder / "none")
    (folder / "link.wake").symlink_to(make("two"))
    watched = Watched(folder)
    assert watched.names == ["one", "two"]
    assert watched.said == watched.look() == []
    assert watched.changed == [False, False]


def test_a_bundle_that_comes_is_taken_up_when_two_looks_found_it_the_same(folder, make):
    watched = Watched(folder)
    assert watched.bundles.described == f"no word yet (waiting for *.wake files in {folder})"
    shutil.copy(make("one"), folder / "a.wake")
    assert watched.look(1) == []
    assert watched.look(1) == [f"{folder}/a.wake was opened: one."]
    assert (watched.names, watched.changed) == (["one"], [True])
    assert watched.look(3) == []


@pytest.mark.parametrize("how", ["written over", "renamed"])
def test_a_bundle_that_is_replaced_is_opened_again(folder, make, how):
    shutil.copy(make("one"), folder / "a.wake")
    watched = Watched(folder)
    if how == "renamed":
        make("two").replace(folder / "a.wake")
    else:
        shutil.copy(make("two"), folder / "a.wake")
    assert watched.look() == [f"{folder}/a.wake was reloaded: two."]
    assert watched.names == ["two"]


def test_a_bundle_that_is_replaced_by_one_of_its_size_and_age_is_opened_again(folder, make):
    first, second = make("one"), make("two")
    longer = max(first.stat().st_size, second.stat().st_size)
    for path in (first, second):
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = bytes(longer - path.stat().st_size)
    shutil.copy2(first, folder / "a.wake")
    watched = Watched(folder)
    second.chmod(stat.S_IMODE(first.stat().st_mode))
    os.utime(second, ns=(first.stat().st_atime_ns, first.stat().st_mtime_ns))
    assert first.stat().st_size == second.stat().st_size
    second.replace(folder / "a.wake")
    watched.look()
    assert watched.names == ["two"]


def test_a_bundle_that_goes_takes_its_word_with_it(folder, make):
    for word in ("one", "two"):
        shutil.copy(make(word), folder / f"{word}.wake")
    watched = Watched(folder)
    (folder / "one.wake").unlink()
    assert watched.look(1) == []
    assert watched.look(1) == [f"{folder}/one.wake was removed, and with it: one."]
    assert watched.names == ["two"]


def test_a_bundle_that_is_away_for_one_look_changes_nothing(folder, make):
    shutil.copy(make("one"), folder / "a.wake")
    watched = Watched(folder)
    (folder / "a.wake").rename(folder / "a")
    watched.look(1)
    (folder / "a").rename(folder / "a.wake")
    watched.look(1)
    assert watched.names == ["one"]


def test_a_bundle_that_is_renamed_goes_on_under_its_new_name(folder, make):
    shutil.copy(make("one"), folder / "a.wake")
    watched = Watched(folder)
    (folder / "a.wake").rename(folder / "b.wake")
    watched.look()
    assert watched.names == ["one"]


@pytest.mark.parametrize("there", [False, True])
def test_a_bundle_that_grows_is_left_alone_until_it_is_whole(folder, make, there):
    if there:
        shutil.copy(make("old"), folder / "a.wake")
    watched = Watched(folder)
    content = make("one").read_bytes()
    with (folder / "a.wake").open("wb") as file:
        for start in range(0, len(content), 512):
            file.write(content[start : start + 512])
            file.flush()
            assert watched.look(1) == []
            assert watched.names == ["old"] * there
    watched.look()
    assert watched.names == ["one"]


@pytest.mark.parametrize("there", [False, True])
def test_a_damaged_bundle_is_said_once_and_the_one_before_goes_on(folder, make, there):
    if there:
        shutil.copy(make("old"), folder / "a.wake")
    watched = Watched(folder)
    (folder / "a.wake").write_bytes(make("one").read_bytes()[:-50])
    (said,) = watched.look()
    assert said.startswith(
        f"{folder}/a.wake was not reloaded, and its old version stays in use: "
        if there
        else f"{folder}/a.wake was not opened, and is tried again when it changes: "
    )
    assert watched.look(4) == []
    assert watched.names == ["old"] * there
    shutil.copy(make("one"), folder / "a.wake")
    watched.look()
    assert watched.names == ["one"]


def test_a_damaged_bundle_keeps_the_others_from_nothing_at_the_start(folder, make):
    (folder / "a.wake").write_bytes(b"broken")
    shutil.copy(make("one"), folder / "b.wake")
    watched = Watched(folder)
    assert watched.names == ["one"]
    assert len(watched.said) == 1
    assert watched.look(3) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_bundle_that_may_not_be_read_is_taken_up_when_it_may(folder, make):
    watched = Watched(folder)
    bundle = Path(shutil.copy(make("one"), folder / "a.wake"))
    bundle.chmod(0)
    assert watched.look(3) == [f"{bundle} was not opened, and is tried again when it changes: Permission denied ({bundle})."]
    bundle.chmod(0o644)
    watched.look()
    assert watched.names == ["one"]


def test_a_word_that_another_bundle_has_waits_for_it_to_go(folder, make):
    shutil.copy(make("one"), folder / "a.wake")
    watched = Watched(folder)
    shutil.copy(make("one"), folder / "b.wake")
    (said,) = watched.look(4)
    assert f"Two bundles have the word 'one', {folder}/a.wake and {folder}/b.wake" in said
    assert watched.names == ["one"]
    (folder / "a.wake").unlink()
    assert watched.look(3)[-1] == f"{folder}/b.wake was opened: one."
    assert watched.names == ["one"]


def test_a_word_that_another_bundle_has_waits_for_it_to_be_replaced(folder, make):
    shutil.copy(make("one"), folder / "a.wake")
    shutil.copy(make("one"), folder / "b.wake")
    watched = Watched(folder)
    shutil.copy(make("two"), folder / "a.wake")
    watched.look(4)
    assert watched.names == ["one", "two"]


def test_one_bundle_is_opened_a_look(folder, make):
    watched = Watched(folder)
    for word in ("one", "two", "three"):
        shutil.copy(make(word), folder / f"{word}.wake")
    counts = []
    for _ in range(5):
        watched.look(1)
        counts.append(len(watched.names))
    assert counts == [0, 1, 2, 3, 3]


def test_a_folder_that_goes_leaves_what_is_open(folder, make):
    shutil.copy(make("one"), folder / "a.wake")
    watched = Watched(folder)
    folder.rename(folder.with_name("away"))
    assert len(watched.look(4)) == 1
    assert watched.names == ["one"]
    folder.with_name("away").rename(folder)
    assert watched.look(4) == []
    assert watched.names == ["one"]


def test_files_and_folders_go_together_and_a_file_that_is_in_both_counts_once(folder, make, tmp_path):
    named = Path(shutil.copy(make("one"), folder / "a.wake"))
    shutil.copy(make("two"), folder / "b.wake")
    watched = Watched(named, folder)
    assert watched.names == ["one", "two"]
    named.write_bytes(b"broken")
    assert watched.look() == []  # a file that was named is opened again only when that is asked for
    with pytest.raises(BundleError):
        watched.bundles.reload()
    assert watched.names == ["one", "two"]


def test_a_reload_opens_files_and_folders_again(folder, make, tmp_path):
    named = Path(shutil.copy(make("one"), tmp_path / "named.wake"))
    shutil.copy(make("two"), folder / "b.wake")
    shutil.copy(make("three"), folder / "c.wake")
    watched = Watched(named, folder)
    shutil.copy(make("four"), named)
    shutil.copy(make("five"), folder / "b.wake")
    (folder / "c.wake").write_bytes(b"broken")
    watched.bundles.reload()
    assert watched.names == ["five", "four", "three"]
    assert [line.split(",")[0] for line in watched.said] == [f"{folder}/c.wake was not reloaded"]
    assert watched.look(3) == []


def test_a_reload_never_leaves_one_word_in_two_bundles(folder, make, tmp_path):
    named = Path(shutil.copy(make("one"), tmp_path / "named.wake"))
    shutil.copy(make("two"), folder / "b.wake")
    watched = Watched(named, folder)
    shutil.copy(make("two"), named)
    watched.bundles.reload()
    assert watched.names == ["two"]


@pytest.mark.parametrize("what", ["a run", "a file that is not there"])
def test_what_nothing_can_come_of_is_refused(tmp_path, what):
    place = tmp_path / "place"
    if what == "a run":
        place.mkdir()
        (place / "run.json").touch()
    with pytest.raises(BundleError, match=f"{place}"):
        Watched(place)


def test_a_choice_of_words_that_are_not_there_is_refused_for_files_and_noted_for_folders(folder, make):
    choice = Choice(PerWord(own={"tow": 0.5}))
    named = make("two")
    with pytest.raises(SpeechtlError, match="did you mean 'two'"):
        Watched(named).bundles.expect(choice)
    watched = Watched(named, folder)
    watched.bundles.expect(choice)
    assert len(watched.said) == 1
    assert "did you mean 'two'" in watched.said[0]
