import json
import shutil

import pytest
import torch

from speechtl.audio.run import load_run, save_run
from speechtl.errors import BundleError, RecipeError, RunError

pytestmark = pytest.mark.usefixtures("known_tiny")


@pytest.fixture
def folder(tmp_path, tiny_run):
    (tmp_path / "run").mkdir()
    save_run(tmp_path / "run", tiny_run.network, tiny_run.about)
    return tmp_path / "run"


def change(folder, **values) -> None:
    about = json.loads((folder / "run.json").read_text()) | values
    (folder / "run.json").write_text(json.dumps({key: value for key, value in about.items() if value is not None}))


def test_a_run_read_back_gives_the_same_scores(folder, tiny_run):
    run = load_run(folder)
    frames = torch.rand(1, 1, 60, 32) * 6 + 4
    torch.testing.assert_close(run.network(frames), tiny_run.network(frames), rtol=0, atol=0)
    assert run.name == "burst"
    assert run.trigger == tiny_run.trigger
    assert not run.network.training
    assert run.about["versions"]["torch"] == torch.__version__


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        load_run(tmp_path)
    with pytest.raises(RunError, match="does not exist"):
        load_run(tmp_path / "run")


def test_the_working_directory_without_a_run_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="is not a run"):
        load_run(".")


def test_an_unfinished_training_is_pointed_out(tmp_path):
    (tmp_path / "run.partial").mkdir()
    with pytest.raises(RunError, match=r"not finished.*--resume"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"schema": "new"}'])
def test_a_damaged_description_is_an_error(folder, damage):
    (folder / "run.json").write_bytes(damage)
    with pytest.raises(RunError, match="damaged"):
        load_run(folder)


def test_a_newer_run_is_refused(folder):
    change(folder, schema=7)
    with pytest.raises(RunError, match="newer speechtl"):
        load_run(folder)


def test_damaged_or_missing_weights_are_an_error(folder):
    weights = folder / "network.safetensors"
    shutil.copy(weights, folder / "kept")
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(RunError, match="damaged"):
        load_run(folder)
    weights.unlink()
    with pytest.raises(RunError, match="does not exist"):
        load_run(folder)


def test_weights_of_another_architecture_are_an_error(folder):
    change(folder, head={"kind": "conv", "words": 1, "members": 1})
    with pytest.raises(RunError, match="another architecture"):
        load_run(folder)


def test_unknown_names_and_settings_are_errors_in_words(folder):
    change(folder, recipe={"transfer": {"encoder": "whisper"}})
    with pytest.raises(RecipeError, match="whisper"):
        load_run(folder)
    change(folder, recipe={"transfer": {"encoder": "tiny"}}, detector={"threshold": 7.0})
    with pytest.raises(BundleError, match="threshold"):
        load_run(folder)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"schema": 1' + "0" * 400 + "}", "[]", "\udcff", '{"schema": 1, "recipe": {"transfer": {"encoder": 5}}}']
)
def test_a_description_that_no_run_has_is_damaged(folder, text):
    (folder / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunError, match="damaged"):
        load_run(folder)


@pytest.mark.parametrize("size", [0, -4, True, 1.5, "1", 10**9])
def test_a_head_of_no_possible_size_is_damaged(folder, size):
    change(folder, head={"kind": "conv", "words": size, "members": 1})
    with pytest.raises(RunError, match="damaged"):
        load_run(folder)
