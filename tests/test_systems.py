"""What users have that developers have not: no home folder, `~` in paths, a recipe saved by Notepad, Windows."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechtl.audio.data.manifest import read_manifest
from speechtl.audio.pretraining.recipe import read_pretraining_recipe
from speechtl.audio.recipe import read_recipe
from speechtl.cli.app import _at_home, main
from speechtl.errors import SpeechtlError
from speechtl.files import at_home, cache_folder, cache_if_any
from speechtl.image.backbones import is_known
from speechtl.image.manifest import read_pictures
from speechtl.image.recipe import read_image_recipe

# A Python on Linux from which everything is removed that there is not on Windows, once what is not ours has been loaded.
WINDOWS = """
import asyncio, asyncio.unix_events, multiprocessing, os, signal, subprocess, sys

def refuse(*_):
    raise NotImplementedError

asyncio.unix_events._UnixSelectorEventLoop.add_signal_handler = refuse
for module in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[module] = None
for owner, names in (
    (os, ("killpg", "getpgid", "sched_getaffinity", "getloadavg", "getuid", "geteuid", "statvfs")),
    (signal, ("SIGHUP", "SIGKILL", "SIGUSR1", "pause")),
):
    for name in names:
        if hasattr(owner, name):
            delattr(owner, name)
"""
COMMAND = f"{WINDOWS}\nfrom speechtl.cli.app import main\nmain()\n"
PATIENCE = 30.0


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """A container with `--user`: no HOME, and a user who is in no list."""

    def nobody(_uid):
        raise KeyError

    for name in ("HOME", "USERPROFILE", "SPEECHTL_CACHE", "XDG_CACHE_HOME", "SPEECHTL_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(RuntimeError):
        Path.home()


@pytest.fixture
def manifest(tmp_path):
    """A manifest of one recording that is there."""
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    line = {"audio_filepath": "a.wav", "duration": 1.0, "license": "CC0-1.0", "url": "https://example.org/a.wav"}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    return tmp_path / "a.jsonl"


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["speechtl", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code or 0, capsys.readouterr()


@pytest.mark.parametrize("command", ["verify", "pull", "stats", "align"])
def test_without_a_home_folder_commands_work_on_what_is_there(command, homeless, manifest, monkeypatch, capsys):
    code, said = call(monkeypatch, capsys, "data", command, manifest)
    assert code == 0, said.err


def test_without_a_home_folder_a_download_asks_for_a_place(homeless, manifest, monkeypatch, capsys):
    (manifest.parent / "a.wav").unlink()
    code, said = call(monkeypatch, capsys, "data", "pull", manifest)
    assert (code, said.err.count("\n")) == (2, 1)
    assert "There is no home folder for the cache" in said.err
    assert "set SPEECHTL_CACHE" in said.err
    code, said = call(monkeypatch, capsys, "data", "verify", manifest)
    assert code == 1
    assert "not in the cache (no home folder; set SPEECHTL_CACHE)" in said.out


def test_without_a_home_folder_a_cache_that_was_named_is_taken(homeless, monkeypatch, tmp_path):
    assert cache_if_any() is None
    assert not is_known("nothing")
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path))
    assert cache_folder() == cache_if_any() == tmp_path


def test_a_path_from_a_home_folder_is_an_error_where_there_is_none(homeless):
    with pytest.raises(SpeechtlError, match=r"~/a\.jsonl cannot be found, because there is no home folder"):
        at_home("~/a.jsonl")
    assert at_home("~nobody-of-that-name/a", Path("/base")) == Path("/base/~nobody-of-that-name/a")
    assert _at_home("--out=~/a") == "--out=~/a"


WORD = """
name = "word"
[data]
positives = ["~/words"]
negatives = ["~/others.jsonl", "beside.jsonl"]
rooms = ["~/rooms"]
"""


def test_a_recipe_may_name_paths_from_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "a.toml").write_text(WORD)
    data = read_recipe(tmp_path / "a.toml").data
    assert [*data.positives, *data.negatives, *data.rooms] == [
        tmp_path / "home/words",
        tmp_path / "home/others.jsonl",
        tmp_path / "beside.jsonl",
        tmp_path / "home/rooms",
    ]
    (tmp_path / "b.toml").write_text('name = "b"\nencoder = "conv-ctc"\n[data]\ntranscribed = ["~/t.jsonl"]\n')
    assert read_pretraining_recipe(tmp_path / "b.toml").data.transcribed == [tmp_path / "home/t.jsonl"]
    (tmp_path / "c.toml").write_text('name = "c"\n[data]\ntrain = ["~/pictures"]\n')
    assert read_image_recipe(tmp_path / "c.toml").data.train == [tmp_path / "home/pictures"]


def test_a_manifest_may_name_files_from_the_home_folder(manifest, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "deep").mkdir()
    here = tmp_path / "deep" / "b.jsonl"
    here.write_text(manifest.read_text().replace("a.wav", "~/a.wav", 1))
    assert read_manifest(here)[0].path == tmp_path / "a.wav"
    here.write_text('{"image_filepath": "~/a.png", "label": "a"}\n')
    assert read_pictures([here])[0].path == tmp_path / "a.png"


@pytest.mark.parametrize("given", ["--out=~/runs/a", "~/runs/a"])
def test_an_option_may_name_a_path_from_the_home_folder(given, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _at_home(given) == given.replace("~", str(tmp_path))
    assert _at_home("--word=a~/b") == "--word=a~/b"


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.toml").write_text(WORD, encoding="utf-8-sig")
    assert read_recipe(tmp_path / "a.toml").name == "word"


@pytest.mark.slow
def test_every_module_loads_on_a_system_without_what_only_unix_has():
    code = f"""
import importlib, pkgutil
import distributed, lightning_fabric, matplotlib.pyplot, onnx, onnxruntime, pyroomacoustics, scipy, sounddevice, soundfile, torch, wyoming
{WINDOWS}
import speechtl
for module in pkgutil.walk_packages(speechtl.__path__, "speechtl."):
    if module.name != "speechtl.__main__":
        importlib.import_module(module.name)
from speechtl.audio.pretraining.shards import cores
assert cores() >= 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_listen_works_on_a_system_without_what_only_unix_has(tiny_bundle, bursts, tmp_path):
    soundfile.write(tmp_path / "a.wav", bursts((0.5,), 1.2), 16_000)
    words = ["listen", str(tiny_bundle), "--dry-run", str(tmp_path / "a.wav"), "--on-detect", "sleep 60", "--json"]
    done = subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "burst"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_serve_works_on_a_system_without_what_only_unix_has(tiny_bundle, ending):
    words = ["serve", str(tiny_bundle), "--uri", "tcp://127.0.0.1:0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", COMMAND, *words], stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert "Serving burst at tcp://127.0.0.1:" in process.stderr.readline()
            process.send_signal(ending)
            assert process.wait(PATIENCE) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
