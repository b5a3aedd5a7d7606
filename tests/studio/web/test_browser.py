"""The whole way in a real Chromium: record, train, see the result, try, label and download, with a fake microphone."""

import json
import shutil
import socket
import sys
import threading

import pytest
import soundfile

from tests.fixtures.browser import SPACE, record_ten_takes

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-enough-characters"
# Stands for training and export: writes what they would write.
TRAINING = """
import pathlib, shutil, sys, time
run, about, bundle, target = map(pathlib.Path, sys.argv[1:])
print("training, step: 12 of 114, about 4 min left", flush=True)
while not run.with_name("go").exists():
    time.sleep(0.05)
run.mkdir()
shutil.copy(about, run / "run.json")
shutil.copy(bundle, target)
"""
TAIL = {"start": -2.5, "scale": 1.0, "rate": 10.0}
RECALLS = [{"logit": 0.5 * step - 2.5, "recall": 0.98 - 0.03 * step, "low": 0.8 - 0.03 * step, "high": 1.0} for step in range(20)]


@pytest.fixture
def about(tmp_path):
    """The description of a run."""
    material = {"clips": 10, "minutes": 0.3, "speakers": 1}
    made = {
        "sensitivity": {"tail": TAIL, "high": {**TAIL, "rate": 20.0}, "hours": 2.0, "recalls": RECALLS},
        "recipe": {"calibrate": {"false_accepts_per_hour": 0.5}},
        "data": {"positives": material, "negatives": material, "speakers_apart": False},
        "licence": {"commercial": "yes", "reasons": []},
        "seconds": {"all": 120.0},
    }
    path = tmp_path / "about.json"
    path.write_text(json.dumps(made))
    return path


@pytest.fixture
def bundle(remake):
    """A bundle that knows what a threshold costs."""
    return remake({"sensitivity": {"tail": TAIL, "high": {**TAIL, "rate": 20.0}, "hours": 2.0, "recalls": RECALLS}})


@pytest.fixture
def address(app, bundle, about, monkeypatch):
    """The address of a studio on loopback, whose trainings take no time."""
    uvicorn = pytest.importorskip("uvicorn", reason="the extra studio is not installed")

    def short(word, run, *, resume, trained=False):
        given = [str(word.runs / run), str(about), str(bundle), str(word.bundle)]
        return [{"title": "Training", "command": [sys.executable, "-S", "-c", TRAINING, *given]}]

    monkeypatch.setattr("speechtl.studio.training.steps", short)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def sound(bursts, tmp_path):
    """What the fake microphone plays over and over: a burst, which is the word of the tiny network, and quiet."""
    soundfile.write(tmp_path / "microphone.wav", bursts((0.8,), 2.6, 48_000), 48_000)
    return tmp_path / "microphone.wav"


def test_a_word_is_recorded_trained_tried_sorted_and_taken_along(browser, address, sound, project, take, bundle):
    shutil.rmtree(project.folder / "burst")
    window = browser(sound, "--use-fake-ui-for-media-stream")
    window.look(390, 844, phone=True)
    record_ten_takes(window, f"{address}/?token={TOKEN}", "burst")
    takes = sorted((project.folder / "burst" / "recordings" / "Anna").glob("[!.]*.wav"))
    assert len(takes) == 10
    assert all(0.8 <= soundfile.info(path).duration <= 4.2 for path in takes)
    assert {soundfile.info(path).subtype for path in takes} == {"PCM_16"}
    lines = (project.folder / "burst" / "recordings" / "manifest.jsonl").read_text().splitlines()
    assert {json.loads(line)["consent"] for line in lines} == {"training and testing of wake-word detectors"}

    window.look(1280, 860, dark=True)
    window.press("2")
    window.await_text("10 recordings")
    window.press("3")
    window.click("Train", "button.primary")
    window.await_text("epoch 1 of 8")
    assert "data.synthesise = true" in (project.word("burst").runs / "1.job" / "recipe.toml").read_text()  # of one person alone
    other = window.new_window()
    window.open(f"{address}/#/burst/train")
    window.await_text("epoch 1 of 8")
    window.switch(other)
    (project.word("burst").runs / "go").touch()
    window.click("Result", "#page a")
    window.await_text("How sensitive")
    window.run("const slider = document.querySelector('input[type=range]'); slider.focus();")
    before = window.run("return document.querySelector('.figure strong').innerText")
    window.press("\ue014")  # the arrow to the right
    window.await_true(f"document.querySelector('.figure strong').innerText !== {json.dumps(before)}")
    window.await_text("use this threshold now")
    assert project.word("burst").about["false_accepts_per_day"] > 12.0

    window.press("5")
    window.await_text("Press, and talk")
    window.press(SPACE)
    window.await_true("document.querySelectorAll('.heard li').length > 1", 60.0)

    clips = project.word("burst").clips
    clips.mkdir()
    for second in range(3):
        (clips / f"20261130T10000{second}.000Z_burst_0.91.wav").write_bytes(take)
    window.press("6")
    window.await_text("3 clips to hear")
    window.press("w")
    window.await_text("2 clips to hear")
    window.press("n")
    window.await_text("1 clip to hear")
    window.press("z")
    window.await_text("2 clips to hear")
    window.press("u")
    window.await_text("1 unsure")
    assert (len(list((clips / "word").iterdir())), len(list((clips / "unsure").iterdir()))) == (1, 1)

    window.press("7")
    window.await_text("Same scores as in training")
    download = "fetch(document.querySelector('a[download]').href)"
    size = window.run(f"return {download}.then((answer) => answer.blob()).then((blob) => blob.size)")
    assert size == bundle.stat().st_size
    assert window.log() == []


def test_without_permission_the_page_says_what_to_do(browser, address, sound):
    window = browser(sound)
    window.open(f"{address}/?token={TOKEN}")
    window.allow_microphone(address, allowed=False)
    window.click("Who speaks?")
    window.type("dialog input", "Anna")
    window.click("Add")
    window.click("Record", "#page button")
    window.await_text("The browser may not use the microphone. Allow it for this page")


def test_takes_survive_a_studio_that_does_not_answer_or_wants_its_token_and_a_window_that_is_closed(browser, address, sound, word):
    window = browser(sound, "--use-fake-ui-for-media-stream")
    window.open(f"{address}/?token={TOKEN}")
    window.click("Who speaks?")
    window.type("dialog input", "Anna")
    window.click("Add")
    window.await_text("0 takes of Anna")
    window.run("window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError('no network'))")
    window.click("Record", "#page button")
    window.await_text("The recording waits in this browser")
    window.run("window.fetch = () => Promise.resolve(new Response('This address lacks the token.', { status: 403 }))")
    window.click("Record", "#page button")
    window.await_text("lacks the token. The recording waits in this browser")
    assert list(word.folder.rglob("*.wav")) == []
    window.run("location.reload()")
    window.await_text("2 takes of Anna")
    assert len(list(word.folder.rglob("*.wav"))) == 2


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "'\"><script>alert(2)</script>", "\u202egnp.exe", "a" * 60])
def test_hostile_names_are_text_on_every_page(browser, address, word, take, name):
    folder = word.folder / "recordings" / name.replace("/", "∕")
    folder.mkdir()
    (folder / f"{name.replace('/', '∕')}.wav").write_bytes(take)
    word.update(phrases=[name])
    window = browser()
    window.look(390, 844, phone=True)
    window.open(f"{address}/?token={TOKEN}")
    for page in ("record", "data", "train", "result", "try", "inbox", "ship"):
        window.open(f"{address}/#/burst/{page}")
        window.await_true("document.querySelector('#page h1')")
        assert window.run("return document.documentElement.scrollWidth <= innerWidth"), page
        assert window.run("return document.querySelectorAll('#page img, #page script').length") == 0
    assert [line for line in window.log() if "alert" in line] == []
