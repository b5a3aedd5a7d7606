import json
import sys
import time
from pathlib import Path

import pytest

from speechtl.progress import Stage
from speechtl.studio.project import Project
from speechtl.studio.training import Trainings, TrainingSettings, last_sentence, progress_of, recipe, steps

BASE = "/api/words/burst/trainings"
# Stands for `speechtl train`: begins, waits until it is told to end or is interrupted, and then is a finished run.
TRAINING = """
import os, pathlib, sys, time
print("idle threads are", os.environ["OMP_WAIT_POLICY"], flush=True)
run = pathlib.Path(sys.argv[1])
partial = run.with_name(run.name + ".partial")
partial.mkdir(exist_ok=True)
print("training, step: 12 of 114, about 4 min left", flush=True)
try:
    while not run.with_name("go").exists():
        time.sleep(0.02)
except KeyboardInterrupt:
    print("speechtl: Stopped. The same command with --resume continues from here.", flush=True)
    sys.exit(130)
run.mkdir()
(run / "run.json").write_text("{}")
partial.rmdir()
"""

TABLE = """\
                        of   old  new  better  worse  p     verdict
training: words found   320  317  306  0       11     0.01  WORSE
old, new: words in all conditions, false accepts, clips; better, worse, p: recordings, moments, clips."""


@pytest.fixture
def quick(monkeypatch):
    """Trainings that take no time."""

    def short(word, run, *, resume, trained=False):
        return [{"title": "Training", "command": [sys.executable, "-S", "-c", TRAINING, str(word.runs / run)]}]

    monkeypatch.setattr("speechtl.studio.training.steps", short)


def state(client) -> dict:
    return client.get(BASE).json()["trainings"][0]


def wait(client, wanted) -> dict:
    """Wait until the newest training is in a state, and say what it is then."""
    until = time.monotonic() + 30.0
    while not wanted(about := state(client)):
        assert time.monotonic() < until, about
        time.sleep(0.05)
    return about


def begun(about: dict) -> bool:
    return about["state"] == "running" and about["progress"]["total"] == 114


def test_a_training_runs_beside_the_pages_and_is_done(client, word, quick):
    assert client.post(BASE, json={"effort": "quick"}).json() == {"run": "1"}
    about = wait(client, begun)
    assert about["progress"] == {"stage": "training, step", "done": 12, "total": 114, "left": "4 min", "epoch": 1, "epochs": 8}
    assert client.get("/api/project").json()["training"]["word"] == "burst"
    log = client.get(f"{BASE}/1/log").json()["log"]
    assert "idle threads are PASSIVE" in log
    assert "step: 12 of 114" in log
    second = client.post(BASE, json={})
    assert (second.status_code, second.json()["error"]) == (409, "A training of burst is running; stop it, or wait for its end.")
    (word.runs / "go").touch()
    assert wait(client, lambda one: one["state"] != "running")["state"] == "done"
    assert client.get(BASE).json()["running"] is None


def test_a_stopped_training_is_resumed(client, word, quick):
    client.post(BASE, json={})
    wait(client, begun)
    for _ in range(2):  # from two windows
        assert client.post(f"{BASE}/1/stop").status_code == 200
    about = wait(client, lambda one: one["state"] != "running")
    assert (about["state"], about["reason"]) == ("stopped", "Stopped. The same command with --resume continues from here.")
    assert client.post(f"{BASE}/1/resume").status_code == 200
    (word.runs / "go").touch()
    assert wait(client, lambda one: one["state"] == "done")
    assert client.post(f"{BASE}/7/resume").status_code == 404


def test_a_training_survives_the_studio_and_is_found_by_the_next_one(client, project, word, quick):
    client.post(BASE, json={})
    wait(client, begun)
    next_one = Trainings(Project(project.folder))
    assert next_one.running()["run"] == "1"
    next_one.stop(word, "1", now=True)
    about = wait(client, lambda one: one["state"] != "running")
    assert about["state"] == "stopped"
    assert next_one.running() is None


def test_a_training_that_fails_says_why(client, word, monkeypatch):
    def failing(*_, **__):
        code = "import sys; print('speechtl: There are no negatives.'); sys.exit(2)"
        return [{"title": "Training", "command": [sys.executable, "-S", "-c", code]}, {"title": "Never", "command": ["/nowhere"]}]

    monkeypatch.setattr("speechtl.studio.training.steps", failing)
    client.post(BASE, json={})
    about = wait(client, lambda one: one["state"] != "running")
    assert (about["state"], about["reason"]) == ("failed", "There are no negatives.")


@pytest.mark.parametrize(
    "settings",
    [
        {"effort": "huge"},
        {"false_accepts_per_day": 0},
        {"false_accepts_per_day": "x"},
        {"seed": -1},
        {"other": 1},
        {"effort": []},
        {"seed": 1e999},
        {"false_accepts_per_day": None},
    ],
)
def test_settings_that_cannot_be_used_are_refused_before_anything_starts(client, word, settings):
    answer = client.post(BASE, content=json.dumps(settings))
    assert (answer.status_code, answer.json()["error"].endswith(".")) == (422, True)
    assert not word.runs.exists()


def test_progress_is_read_from_the_lines_that_a_training_prints():
    stage = Stage("training, step", 0.0)
    stage.advance(0, 570, 0.0)
    stage.advance(35, 570, 60.0)
    about = progress_of(f"loading: at work, 10 s so far\n{stage.line(60.0)}\nA note.\n", 19)
    assert (about["done"], about["total"], about["epoch"], about["epochs"], about["left"]) == (35, 570, 2, 19, "15 min")
    assert progress_of(Stage("loading", 0.0).line(10.0), 19)["stage"] == "loading"
    assert progress_of("", 19)["stage"] == "starting"
    assert last_sentence("speechtl: It is wrong.\ntraining: at work, 9 s so far\n") == "It is wrong."


@pytest.mark.parametrize("phrase", ["hey marvin", 'a "b" \\ c', "día 日本", "x]\u2028y"])
def test_the_recipe_is_one_that_speechtl_train_takes(project, phrase):
    pytest.importorskip("torch", reason="torch is not installed")
    from speechtl.audio.recipe import read_recipe

    word = project.add("spoken")
    word.update(phrases=[phrase])
    for kind in ("word", "other"):
        word.kind(kind).mkdir(parents=True, exist_ok=True)
        (word.kind(kind) / "a.wav").touch()
    path = word.runs / "1.job" / "recipe.toml"
    path.parent.mkdir(parents=True)
    path.write_text(recipe(project, word, TrainingSettings("quick", 2.4, 3)), encoding="utf-8")
    read = read_recipe(path)
    assert (read.name, read.phrases, read.train.epochs, read.train.seed) == ("spoken", [phrase], 8, 3)
    assert read.calibrate.false_accepts_per_hour == pytest.approx(0.1)
    assert [Path(one).resolve() for one in read.data.positives] == [word.kind("word").resolve()]


def test_a_folder_whose_last_recording_was_removed_is_no_data(client, project, take):
    for kind in ("word", "other", "kept-word", "kept-other"):
        assert client.put(f"/api/words/burst/data/{kind}/anna/a.wav?rate=16000", content=take).status_code == 201
        assert client.delete(f"/api/words/burst/data/{kind}/anna/a.wav").status_code == 200
    word = project.word("burst")
    assert (word.kind("other") / "manifest.jsonl").is_file()
    assert "data." not in recipe(project, word, TrainingSettings("normal"))
    assert [step["title"] for step in steps(word, "1", resume=False)] == ["Training", "Making the bundle", "Making the bundle small"]


def test_what_is_kept_for_the_test_is_measured_at_the_end(word):
    titles = [step["title"] for step in steps(word, "1", resume=False)]
    assert titles == ["Training", "Making the bundle", "Making the bundle small"]
    for kind in ("kept-word", "kept-other"):
        (word.kind(kind) / "anna").mkdir(parents=True)
        (word.kind(kind) / "anna" / "a.wav").touch()
    assert [step["title"] for step in steps(word, "1", resume=True, trained=True)] == [
        "Making the bundle",
        "Testing",
        "Making the bundle small",
    ]


def test_an_adaptation_is_refused_where_it_is_no_better(client, word, monkeypatch):
    def refusing(_word):
        code = f"import sys; print({TABLE!r}); print('speechtl: Nothing was written: recall is lower.'); sys.exit(1)"
        return {"title": "Adapting", "command": [sys.executable, "-S", "-c", code]}

    assert client.post("/api/words/burst/adapt").status_code == 404
    word.bundle.write_bytes(b"a bundle")
    monkeypatch.setattr("speechtl.studio.training.adapting", refusing)
    assert client.post("/api/words/burst/adapt").json() == {"run": "adapt-1"}
    about = wait(client, lambda one: one["state"] != "running")
    assert (about["run"], about["state"], about["reason"]) == ("adapt-1", "refused", "Nothing was written: recall is lower.")
    assert about["table"].splitlines() == TABLE.splitlines()[:2]
    assert word.bundle.read_bytes() == b"a bundle"


def test_a_new_training_keeps_a_bundle_that_may_have_learned_from_clips_and_one_can_go_back(client, word, quick):
    back = "/api/words/burst/go-back"
    assert client.post(back).status_code == 404
    word.bundle.write_bytes(b"adapted")
    client.post(BASE, json={})
    wait(client, begun)
    assert client.post(back).status_code == 409  # its bundle may be written at any moment
    (word.runs / "go").touch()
    wait(client, lambda one: one["state"] == "done")
    word.bundle.write_bytes(b"trained again")
    for expected in (b"adapted", b"trained again"):
        assert client.post(back).status_code == 200
        assert word.bundle.read_bytes() == expected


@pytest.mark.parametrize("kind", ["training", "export", "evaluate"])
def test_the_commands_have_only_options_that_exist(word, kind):
    import typer

    from speechtl.cli.app import app

    for kept in ("kept-word", "kept-other"):
        (word.kind(kept) / "anna").mkdir(parents=True)
        (word.kind(kept) / "anna" / "a.wav").touch()
    commands = {step["command"][3]: step["command"][4:] for step in steps(word, "1", resume=True)}
    name = "train" if kind == "training" else kind
    with typer.main.get_command(app).commands[name].make_context(name, commands[name]):
        pass


def test_a_result_has_its_thresholds_by_false_accepts_a_day(client, word):
    recalls = [{"logit": 0.0, "recall": 0.9, "low": 0.6, "high": 0.99}, {"logit": 8.0, "recall": 0.0, "low": 0.0, "high": 0.1}]
    tail = {"start": 0.0, "scale": 1.0, "rate": 10.0}
    about = {
        "sensitivity": {"tail": tail, "high": {**tail, "rate": 20.0}, "hours": 2.0, "recalls": recalls},
        "recipe": {"calibrate": {"false_accepts_per_hour": 0.3}},
        "data": {"positives": {"clips": 10}, "negatives": {"clips": 4}, "speakers_apart": True},
        "licence": {"commercial": "yes", "reasons": []},
        "seconds": {"all": 120.0},
    }
    (word.runs / "1").mkdir(parents=True)
    (word.runs / "1" / "run.json").write_text(json.dumps(about))
    result = client.get("/api/words/burst/results/1").json()
    assert (result["aimed_per_day"], result["minutes"], result["report"]) == (pytest.approx(7.2), 2.0, None)
    by_rate = {round(point["per_day"], 3): point for point in result["points"]}
    assert list(by_rate) == sorted(by_rate)
    assert by_rate[7.2]["threshold"] == pytest.approx(1.0 / (1.0 + 0.3 / 10.0))  # the logit is log(10 an hour / 0.3 an hour)
    assert by_rate[7.2]["per_day_high"] == pytest.approx(14.4)
    assert max(by_rate) == 240.0
    assert all(point["recall"] > 0.0 for point in result["points"])
    (word.runs / "1.report").mkdir()
    (word.runs / "1.report" / "report.html").write_text("<script>alert(1)</script>")
    address = client.get("/api/words/burst/results/1").json()["report"]
    policy = client.get(address).headers["content-security-policy"]
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert client.post("/api/words/burst/threshold", json={"per_day": -1}).status_code == 422
    assert client.get("/api/words/burst/results/9").status_code == 404
