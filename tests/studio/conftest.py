"""A studio without a network: Starlette's test client, with the cookie and the origin of the studio's own page."""

import pytest
import soundfile

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
