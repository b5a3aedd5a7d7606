"""The whole way of a newcomer with a real voice in a real Chromium: ten takes, training, report, trying, labelling, adapting, download.

SPEECHTL_PICTURES names a folder for pictures of all pages, in the size of a phone and of a desk, and for the seconds that it took.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.fixtures.browser import SPACE, record_ten_takes

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.real]

ROOT = Path(__file__).parents[3]
RATE = 16_000
MINUTES = 30.0  # for a training on a busy machine
PHONE, DESK = (390, 844), (1280, 860)


@pytest.fixture(scope="module")
def speakers(real_clips):
    """The takes of the word by the speakers of the test, whom no training of the project has heard."""
    pytest.importorskip("torch", reason="torch is not installed")
    from speechtl.audio.data.manifest import read_manifest

    real_clips("wake_computer", 100)
    found: dict[str, list] = {}
    for clip in read_manifest(ROOT / "data_manifests" / "wake_computer.jsonl"):
        if clip.split == "test" and clip.path:
            found.setdefault(clip.speaker, []).append(clip)
    return [clips for _, clips in sorted(found.items()) if len(clips) >= 10]


@pytest.fixture
def sound(speakers, tmp_path):
    """What the microphone hears over and over: ten takes of one speaker, with pauses."""
    return spoken(speakers[0][:10], tmp_path / "microphone.wav")


def test_ten_takes_become_a_detector_that_is_tried_adapted_and_taken_along(browser, start, sound, speakers, real_clips, tmp_path):
    shown = Path(os.environ.get("SPEECHTL_PICTURES") or tmp_path / "pictures")
    shown.mkdir(parents=True, exist_ok=True)
    _, address = start()
    word = tmp_path / "words" / "computer"
    window = browser(sound, "--use-fake-ui-for-media-stream")

    def look(name: str) -> None:
        for kind, size in (("phone", PHONE), ("desk", DESK)):
            window.look(*size, phone=kind == "phone")
            time.sleep(1.0)
            window.picture(shown / f"{name}-{kind}.png")

    window.look(*PHONE, phone=True)
    began = time.monotonic()
    record_ten_takes(window, address, "computer")
    took = {"recording": time.monotonic() - began}
    look("record")
    keep_others(word, speakers[1:3], real_clips("speechocean762", 40))
    window.open(f"{address.split('?')[0]}#/computer/data")
    window.await_text("for the test")
    look("data")

    window.press("3")
    window.click("Train", "button.primary")
    window.await_text("epoch 1 of 8", 600.0)
    look("train")
    until = time.monotonic() + MINUTES * 60.0
    while not (word / "computer.wake").exists():
        assert time.monotonic() < until, window.text()
        time.sleep(0.5)
    took["opening to detector"] = time.monotonic() - began
    window.await_true("document.querySelector('#page .badge.good')?.innerText === 'done'", MINUTES * 60.0)
    took["opening to report and small bundle"] = time.monotonic() - began

    window.click("Result", "#page a")
    window.await_text("How sensitive")
    window.await_text("On what was kept for the test")
    report = json.loads((word / "runs" / "1.report" / "report.json").read_text())
    look("result")
    result = window.run("return location.href")
    window.open(window.run("return document.querySelector('iframe').src"))
    assert window.run("return document.querySelectorAll('audio').length") >= 1
    look("report")
    window.open(result)
    window.await_text("How sensitive")
    window.run("document.querySelector('input[type=range]').focus()")
    window.press("\ue014")  # the arrow to the right
    window.await_text("use this threshold now")

    window.press("5")
    window.await_text("Press, and talk")
    window.press(SPACE)
    window.await_true("document.querySelectorAll('.heard li').length > 3", 120.0)
    look("try")

    heard = listen(word, speakers[3], tmp_path)
    assert heard, "the detector heard nothing of a stranger"
    missed, others = speakers[2][:5], speakers[2][5:]
    before = len(detect(word / "computer.wake", spoken(others, tmp_path / "others.wav")))
    for second, clip in enumerate(missed):
        spoken([clip], word / "clips" / f"20261130T20000{second}.000Z_computer_near_0.30.wav")
    window.press("6")
    window.await_text(f"{heard + len(missed)} clips")
    look("inbox")
    until = time.monotonic() + 60.0
    while f"{heard + len(missed)} the word" not in window.text():
        assert time.monotonic() < until, window.text()
        window.press("w")  # the page takes one at a time
        time.sleep(0.5)
    window.click("Adapt", "button.primary")
    window.await_text("The adapted bundle is in use", MINUTES * 60.0)
    after = len(detect(word / "computer.wake", tmp_path / "others.wav"))
    assert after > before
    look("adapted")

    window.press("7")
    window.await_text("Same scores as in training")
    look("ship")
    with urllib.request.urlopen(_with_cookie(window, f"{address.split('?')[0]}api/words/computer/bundle"), timeout=60) as answer:
        (tmp_path / "computer.wake").write_bytes(answer.read())
    events = detect(tmp_path / "computer.wake", sound)
    assert len(events) >= 8, "the downloaded bundle hears its own speaker"
    found = {"seconds": took, "own takes, of 10": len(events), "clips": heard + len(missed)}
    found |= {"others of the missed speaker, of 5": [before, after], "report": report["positives"]}
    (shown / "whole_way.json").write_text(json.dumps(found, indent=1) + "\n")
    assert [line for line in window.log() if "favicon" not in line] == []  # the report's page may load nothing


def keep_others(word: Path, people, others) -> None:
    """Copy recordings of other people into the folder of what is kept for the test, as somebody would."""
    from speechtl.runtime.sound.files import read_audio

    groups = {f"recordings/{clips[0].speaker}": clips for clips in people} | {"negatives/readers": others}
    for place, clips in groups.items():
        folder = word / "kept" / place
        folder.mkdir(parents=True)
        for clip in clips:
            soundfile.write(folder / f"{Path(clip.audio_filepath).stem}.wav", read_audio(clip.path), RATE, subtype="PCM_16")


def spoken(clips, path: Path) -> Path:
    """Takes in one file, with pauses."""
    from speechtl.runtime.sound.files import read_audio

    pause = np.zeros(RATE, np.float32)
    soundfile.write(path, np.concatenate([part for clip in clips for part in (read_audio(clip.path), pause)]), RATE, subtype="PCM_16")
    return path


def listen(word: Path, clips, folder: Path) -> int:
    """Let the detector hear a stranger and save clips; their number."""
    stranger = spoken(clips, folder / "stranger.wav")
    _speechtl("listen", str(word / "computer.wake"), "--dry-run", str(stranger), "--save-clips", str(word / "clips"))
    return len(list((word / "clips").glob("*.wav")))


def detect(bundle: Path, sound: Path) -> list[dict]:
    lines = _speechtl("detect", str(bundle), str(sound), "--json").splitlines()
    return [json.loads(line) for line in lines if line]


def _speechtl(*arguments: str) -> str:
    command = [sys.executable, "-m", "speechtl", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment, timeout=600).stdout


def _with_cookie(window, address: str) -> urllib.request.Request:
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in window.cookies())
    return urllib.request.Request(address, headers={"Cookie": cookies})
