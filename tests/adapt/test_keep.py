import pytest

from speechtl.adapt.keep import keep, previous, undo
from speechtl.errors import BundleError


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "a.wake"
    path.write_text("old")
    keep(path)
    path.write_text("new")
    return path


def test_undo_brings_the_old_bundle_back_and_undo_again_the_new_one(bundle):
    undo(bundle)
    assert (bundle.read_text(), previous(bundle).read_text()) == ("old", "new")
    undo(bundle)
    assert (bundle.read_text(), previous(bundle).read_text()) == ("new", "old")


def test_what_is_kept_has_no_name_of_a_bundle_that_services_open(bundle):
    assert [path.name for path in bundle.parent.glob("*.wake")] == ["a.wake"]


def test_a_bundle_that_was_removed_comes_back_too(bundle):
    bundle.unlink()
    undo(bundle)
    assert bundle.read_text() == "old"


def test_without_a_previous_bundle_undo_says_so_and_changes_nothing(tmp_path):
    path = tmp_path / "a.wake"
    path.write_text("only")
    with pytest.raises(BundleError, match="nothing was kept to go back to"):
        undo(path)
    assert path.read_text() == "only"


def test_nothing_is_kept_where_nothing_is_replaced(tmp_path):
    keep(tmp_path / "a.wake")
    assert list(tmp_path.iterdir()) == []
