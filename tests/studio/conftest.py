"""A studio without a network: Starlette's test client, with the cookie and the origin of the studio's own page; and a real one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[2]

TOKEN = "a-token-of-enough-characters"
COOKIE = "speechtl-1"
ORIGIN = "http://localhost"


@pytest.fixture
def project(tmp_path):
    """A project with the word `burst`."""
    from speechtl.studio.project import Project

    made = Project(tmp_path / "words")
    made.folder.mkdir()
    made.add("burst")
    return made


@pytest.fixture
def word(project):
    return project.word("burst")


@pytest.fixture
def app(project):
    """The guarded application."""
    pytest.importorskip("starlette", reason="the extra studio is not installed")
    from speechtl.studio.checks import Checks
    from speechtl.studio.web.routes import Studio, application

    return application(Studio(project, checks=Checks(compare=False)), TOKEN, COOKIE)


@pytest.fixture
def stranger(app):
    """A client that has nothing but the address."""
    pytest.importorskip("httpx", reason="httpx is not installed")
    from starlette.testclient import TestClient

    with TestClient(app, base_url=ORIGIN, follow_redirects=False) as client:
        yield client


@pytest.fixture
def client(stranger):
    """The browser of the person at the studio."""
    stranger.cookies.set(COOKIE, TOKEN)
    stranger.headers["origin"] = ORIGIN
    return stranger


@pytest.fixture(scope="session")
def take(bursts, tmp_path_factory) -> bytes:
    """A WAV file with one burst of noise."""
    path = tmp_path_factory.mktemp("take") / "a.wav"
    soundfile.write(path, bursts((0.5,), 1.2), 16_000)
    return path.read_bytes()


@pytest.fixture
def start(tmp_path):
    """A function that starts `speechtl studio` as people do, and returns its process and the address that it prints."""
    pytest.importorskip("uvicorn", reason="the extra studio is not installed")
    begun = []

    def call(*arguments: str) -> tuple[subprocess.Popen, str]:
        command = [sys.executable, "-m", "speechtl", "studio", str(tmp_path / "words"), "--port", "0", "--no-browser", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen(command, env=environment, **pipes))
        return begun[-1], next((line.strip() for line in begun[-1].stdout if "token=" in line), "")

    yield call
    for process in begun:
        process.kill()
        process.communicate()
