import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from speechtl.audio.encoders import AudioEncoder, audio_input
from speechtl.audio.network.heads import MEMBERS
from speechtl.audio.network.loss import WakeWordLoss
from speechtl.audio.network.model import scorer_of
from speechtl.audio.recipe import Recipe
from speechtl.audio.run import load_run
from speechtl.audio.spelling import material
from speechtl.audio.spelling.confusables import Confusable
from speechtl.audio.training import train as module
from speechtl.audio.training import validation
from speechtl.audio.training.train import Training, train
from speechtl.errors import InputMismatchError, ManifestError, RunError
from speechtl.export.bundle import export_runs
from speechtl.runtime.bundle.document import Field
from speechtl.runtime.bundle.sensitivity import read_sensitivity
from speechtl.runtime.features import LogMelSettings

pytestmark = pytest.mark.usefixtures("known_tiny", "few_rooms")


def test_training_leaves_a_run_that_says_what_it_is(recipe, corpus, capsys):
    about = train(recipe, corpus / "run")
    run = load_run(corpus / "run")
    assert json.loads(json.dumps(about))["name"] == run.name == "burst"
    assert run.about["data"]["positives"] == {"clips": 8, "minutes": 0.16, "speakers": 8}
    assert run.about["licence"]["commercial"] == "yes"
    assert run.about["data"]["licences"] == ["CC0-1.0"]
    assert [record["epoch"] for record in run.about["history"]] == [1, 2, 3]
    wanted = [point for point in run.about["operating_points"] if point["false_accepts_per_hour"] == 0.3]
    assert wanted[0]["threshold"] == run.trigger.threshold
    told = read_sensitivity(Field("sensitivity", run.about["sensitivity"]))
    assert told.at_rate(0.3 * 24).threshold == pytest.approx(run.trigger.threshold)
    assert told.at_rate(0.3 * 24).recall == pytest.approx(wanted[0]["recall"], abs=0.2)  # between thresholds that were tried
    assert run.about["timing"]["length"] == pytest.approx(0.4)
    assert run.trigger.threshold == pytest.approx(0.5, abs=0.1)  # scores are shifted so that 0.5 is near the wanted rate
    assert sorted(path.name for path in (corpus / "run").iterdir()) == ["network.safetensors", "run.json"]
    assert not (corpus / "run.partial").exists()
    assert capsys.readouterr().out == ""


def test_what_is_mined_is_told_in_the_run_and_a_search_that_was_interrupted_begins_again(recipe, corpus, monkeypatch, capsys):
    recipe = uncalibrated(recipe.model_copy(update={"data": recipe.data.model_copy(update={"mine": [corpus / "noise.jsonl"]})}))
    with monkeypatch.context() as patch:
        patch.setattr(module, "search", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, corpus / "run")
    about = train(recipe, corpus / "run", resume=True)
    assert about["data"]["mined"]["manifests"]["noise"]["recordings"] == about["data"]["mined"]["recordings"] == 3
    assert "Heard 0.00 hours in 3 recordings to mine; the hardest 0.1 minutes join the negatives: 0.1 of noise." in capsys.readouterr().err
    noise = {json.loads(line)["sha256"][:12] for line in (corpus / "noise.jsonl").read_text().splitlines()}
    assert noise <= set(about["data"]["recordings"].split())


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["head", "last:1"])
@pytest.mark.parametrize("marked", [False, True])
def test_without_calibration_only_what_is_shipped_learns_and_there_is_no_operating_point(recipe, corpus, monkeypatch, policy, marked):
    recipe = recipe.model_copy(update={"transfer": recipe.transfer.model_copy(update={"policy": policy})})
    if not marked:
        unmarked(corpus)
    held_out = []
    monkeypatch.setattr(module, "WakeWordLoss", lambda times, folds: held_out.append(folds) or WakeWordLoss(times, folds))
    monkeypatch.setattr(module, "validate", lambda *_: pytest.fail("the threshold was calibrated"))
    about = train(uncalibrated(recipe), corpus / "run")
    assert held_out == [[validation.HELD_OUT if marked else validation.NO_FOLD] * MEMBERS]  # nobody, unless the manifest says who
    assert about["operating_points"] == []
    assert about["sensitivity"] is None
    run = load_run(corpus / "run")
    assert run.network.head.ensemble.members == MEMBERS
    assert run.trigger.threshold == 0.5


@pytest.mark.slow
def test_a_synthesised_word_is_learned_beside_real_takes_which_the_recall_is_of(recipe, corpus, monkeypatch):
    pytest.importorskip("espeakng_loader")
    monkeypatch.setattr(material, "TAKES", 6)
    monkeypatch.setattr(material, "TAKES_EACH", 1)
    monkeypatch.setattr(material, "CONFUSABLES", 2)
    monkeypatch.setattr(material, "nearest", lambda phrases, count: [Confusable("first", 0.2), Confusable("bust", 0.2)])
    unmarked(corpus)
    about = train(recipe.model_copy(update={"data": recipe.data.model_copy(update={"synthesise": True})}), corpus / "run")
    assert about["data"]["synthesised"] == 6
    assert about["data"]["positives"]["clips"] == 8 + 6
    assert {point["clips"] for point in about["operating_points"]} == {3 * 8}
    assert about["data"]["negatives"]["clips"] > 8


def unmarked(corpus) -> None:
    """Take the validation marks out: every fold is then held out from some members."""
    for path in (corpus / "positives.jsonl", corpus / "negatives.jsonl"):
        path.write_text(path.read_text().replace('"split": "validation"', '"split": "train"'))


def uncalibrated(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"calibrate": recipe.calibrate.model_copy(update={"enabled": False})})


@pytest.mark.slow
@pytest.mark.parametrize(("random_init", "rate_decay"), [((), 0.85), (("tiny",), 1.0)])
def test_an_encoder_with_nothing_to_keep_learns_as_fast_in_front(recipe, corpus, monkeypatch, random_init, rate_decay):
    monkeypatch.setattr(module, "RANDOM_INIT", random_init)
    recipe = recipe.model_copy(update={"transfer": recipe.transfer.model_copy(update={"policy": "all"})})
    about = train(uncalibrated(recipe), corpus / "run")
    assert about["policy"] == f"AllLayers(rate_decay={rate_decay})"


@pytest.mark.parametrize("policy", ["all", "last:1"])
def test_embeddings_are_measured_as_they_are_while_the_groups_before_them_learn(recipe, corpus, monkeypatch, policy):
    monkeypatch.setattr(AudioEncoder, "small_inside", False)  # so that a frozen front, too, runs with every batch
    transfer = recipe.transfer.model_copy(update={"encoder": "scratch:conv-ctc", "policy": policy})
    seen = []

    def look(network, batches, *_, **__):
        groups = network.groups()
        with torch.no_grad():
            embeddings = network.run_first(next(iter(batches.epoch(0)))[0].float(), len(groups) - 1)
        seen.append(float(network.head.standardize(embeddings).std()))
        seen.extend(float(group[1].running_mean.abs().sum()) for _, group in groups[:2])
        return []

    monkeypatch.setattr(module, "fit", look)
    train(uncalibrated(recipe.model_copy(update={"transfer": transfer})), corpus / "run")
    deviation, *measured = seen
    assert 0.7 < deviation < 1.4
    assert [mean > 0.0 for mean in measured] == [policy == "all"] * 2


@pytest.mark.slow
def test_recordings_of_the_test_split_are_not_in_the_run(recipe, corpus):
    about = train(recipe, corpus / "run")
    lines = [json.loads(line) for name in ("positives", "negatives") for line in (corpus / f"{name}.jsonl").read_text().splitlines()]
    used = set(about["data"]["recordings"].split())
    assert used == {line["sha256"][:12] for line in lines if line["split"] != "test"}


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["head", "last:1", "all", "gradual"])
def test_the_encoder_learns_as_much_as_the_policy_says(recipe, corpus, tiny, policy):
    recipe = recipe.model_copy(update={"transfer": recipe.transfer.model_copy(update={"policy": policy})})
    train(recipe, corpus / "run")
    before, after = tiny().encoder.state_dict(), load_run(corpus / "run").network.encoder.state_dict()
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head": set(), "last:1": {"second"}, "all": {"first", "second"}, "gradual": {"first", "second"}}[policy]


def weights(folder) -> dict[str, torch.Tensor]:
    return load_run(folder).network.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [0, 1])
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(recipe, corpus, monkeypatch, epoch):
    train(recipe, corpus / "whole")

    def stop_in(number: int):
        def loss(*arguments):
            if len(seen) == 4 * number + 2:
                raise KeyboardInterrupt
            seen.append(None)
            return real(*arguments)

        seen: list[None] = []
        real = module.WakeWordLoss.__call__
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(module.WakeWordLoss, "__call__", stop_in(epoch))
        with pytest.raises(KeyboardInterrupt):
            train(recipe, corpus / "broken")
    assert not (corpus / "broken").exists()
    with pytest.raises(RunError, match=r"not finished.*--resume"):
        load_run(corpus / "broken")
    train(recipe, corpus / "broken", resume=True)
    one, other = weights(corpus / "whole"), weights(corpus / "broken")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert load_run(corpus / "whole").trigger == load_run(corpus / "broken").trigger


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_weights(recipe, corpus):
    train(recipe, corpus / "one")
    train(recipe, corpus / "other")
    one, other = weights(corpus / "one"), weights(corpus / "other")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_resuming_with_a_changed_recipe_is_refused(recipe, corpus, monkeypatch):
    monkeypatch.setattr(Training, "calibrate", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(recipe, corpus / "run")
    changed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"negative_minutes": 2.0})})
    with pytest.raises(RunError):
        train(changed, corpus / "run", resume=True)


def test_resuming_on_an_encoder_of_other_weights_is_refused(recipe, corpus, tiny, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Training, "calibrate", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(recipe, corpus / "run")
    other = tiny().encoder
    other.info = dataclasses.replace(other.info, source="mine.safetensors, sha256 00")
    monkeypatch.setattr(module, "load_encoder", lambda name: other)
    with pytest.raises(RunError, match="started with another recipe or other data"):
        train(recipe, corpus / "run", resume=True)


def test_a_call_that_cannot_begin_leaves_interrupted_work_alone(recipe, corpus, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Training, "calibrate", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(recipe, corpus / "run")
    (corpus / "empty").mkdir()
    wrong = recipe.model_copy(update={"data": recipe.data.model_copy(update={"positives": [corpus / "empty"]})})
    with pytest.raises(ManifestError):
        train(wrong, corpus / "run")
    train(recipe, corpus / "run", resume=True)
    assert load_run(corpus / "run").name == recipe.name


@pytest.mark.slow
def test_the_time_that_was_spent_before_an_interruption_counts(recipe, corpus, monkeypatch):
    clock = iter(range(0, 10_000, 60))  # a minute goes by between two looks at it
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    whole = train(recipe, corpus / "whole")["seconds"]
    with monkeypatch.context() as patch:
        patch.setattr(Training, "calibrate", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(recipe, corpus / "run")
    assert train(recipe, corpus / "run", resume=True)["seconds"] == whole
    assert whole["fit"] == 60 * recipe.train.epochs


def test_a_folder_that_is_no_run_is_not_replaced(recipe, corpus):
    (corpus / "run").mkdir()
    (corpus / "run" / "precious.txt").write_text("mine")
    with pytest.raises(RunError, match="is not a run"):
        train(recipe, corpus / "run")
    assert (corpus / "run" / "precious.txt").read_text() == "mine"


def test_there_must_be_something_to_resume(recipe, corpus):
    with pytest.raises(RunError, match="nothing to resume"):
        train(recipe, corpus / "run", resume=True)


def test_an_encoder_of_other_features_is_refused(recipe, corpus, monkeypatch, tiny):
    encoder = tiny().encoder
    encoder.info = dataclasses.replace(encoder.info, input=audio_input(LogMelSettings(bands=40)))
    monkeypatch.setattr(module, "load_encoder", lambda name: encoder)
    with pytest.raises(InputMismatchError, match="bands is 40 there and 32 here"):
        train(recipe, corpus / "run")


@pytest.mark.slow
@pytest.mark.parametrize("head", ["gru", "attention"])
def test_a_trained_head_over_a_window_streams_exactly_and_fits_int8(recipe, corpus, bursts, head):
    longer = {"steps": 20, "learning_rate": 3e-3}
    recipe = recipe.model_copy(
        update={"transfer": recipe.transfer.model_copy(update={"head": head}), "train": recipe.train.model_copy(update=longer)}
    )
    about = train(recipe, corpus / "run")
    assert about["history"][-1]["loss"] < about["history"][0]["loss"]
    run = load_run(corpus / "run")
    assert run.network.head.kind == head
    sound = bursts((0.4, 1.3), 3.0)
    offline, streamed = (scorer_of(run.network, streaming=streaming).feed(sound) for streaming in (False, True))
    np.testing.assert_allclose(streamed, offline, atol=1e-5)
    made = export_runs([run], corpus / "a.wake", ["model.int8.onnx", "model.onnx"])
    assert all(result["ok"] for result in made["parity"])
