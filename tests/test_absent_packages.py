"""What works, and what is said, where one package of those that a device may lack is not installed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parents[1] / "speechtl"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for folder in ("runtime", "bench")
    for path in (PACKAGE / folder).rglob("*.py")
    if path.stem != "__init__"
)
COMMANDS = ["speechtl.cli.app", "speechtl.cli.bench", "speechtl.progress"]
PICTURES = {f"speechtl.{name}" for name in ("runtime.engine.pictures", "bench.prediction")}
# What is nothing without a package: its users import it where they can say so.
NEEDS = {
    "wyoming": {f"speechtl.runtime.server.{name}" for name in ("server", "client", "models", "wire", "stream", "address")},
    "onnxruntime": {"speechtl.runtime.engine.onnx", *PICTURES},
    "rich": {"speechtl.bench.show"},
    "PIL": {"speechtl.runtime.pictures", "speechtl.runtime.bundle.pictures", *PICTURES},
}
PACKAGES = [
    "soxr",
    "soundfile",
    "sounddevice",
    "wyoming",
    "zeroconf",
    "webrtcvad",
    "onnxruntime",
    "ai_edge_litert",
    "tflite_runtime",
    "rich",
    "PIL",
    "resource",  # not on Windows
]
# A process that forks for each package: numpy is loaded once, everything else anew.
RUNNER = """
import contextlib, importlib, json, os, sys, traceback, numpy

def imported(modules):
    failed = {}
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            failed[module] = getattr(error, "name", None) or str(error)
    return failed

def run(arguments, stdin, place):
    for number, file in enumerate((stdin, place + ".out", place + ".err")):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), number)
    if "stdio://" in arguments:  # serves pipes only: one that has ended, and one that nobody reads
        for number, end in enumerate((os.pipe(), os.pipe())):
            os.dup2(end[number], number)
            os.close(end[1]) if number == 0 else None
    sys.argv = ["speechtl", *arguments]
    from speechtl.cli.app import main
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return [code, open(place + ".out").read(), open(place + ".err").read()]

jobs, folder = json.load(open(sys.argv[1])), sys.argv[2]
children = []
for number, (package, modules, arguments, stdin) in enumerate(jobs):
    place = os.path.join(folder, f"job{number}")
    child = os.fork()
    if child:
        children.append(child)
        continue
    sys.modules[package] = None
    failed = imported(modules)
    json.dump([failed, *run(arguments, stdin, place)], open(place + ".json", "w"))
    os._exit(0)
for child in children:
    os.waitpid(child, 0)
"""


def job(package: str, *arguments, modules=(), stdin="/dev/null") -> tuple:
    return package, tuple(modules), tuple(map(str, arguments)), str(stdin)


@pytest.fixture(scope="module")
def place(tmp_path_factory, bursts) -> Path:
    place = tmp_path_factory.mktemp("absent")
    sound = bursts((0.2,), 0.7)
    soundfile.write(place / "a.wav", sound, 16_000)
    soundfile.write(place / "b.wav", np.repeat(sound, 3), 48_000)
    (place / "a.raw").write_bytes(np.round(sound * 32767).astype("<i2").tobytes())
    return place


@pytest.fixture(scope="module")
def jobs(tiny_bundle, place) -> dict[str, tuple]:
    word, here = tiny_bundle, "there is no such report.json"
    listen = ("listen", word, "--dry-run", place / "a.wav", "--json")
    return {
        **{package: job(package, "detect", word, place / "a.wav", "--json", modules=[*MODULES, *COMMANDS]) for package in PACKAGES},
        "raw without soundfile": job("soundfile", "detect", word, "-", "--json", stdin=place / "a.raw"),
        "raw without soxr": job("soxr", "detect", word, "-", "--json", stdin=place / "a.raw"),
        "48 kHz without soxr": job("soxr", "detect", word, place / "b.wav"),
        "listen without soxr": job("soxr", *listen),
        "listen without soundfile": job("soundfile", *listen),
        "clips without soundfile": job("soundfile", *listen, "--save-clips", place / "clips"),
        "gate without webrtcvad": job("webrtcvad", *listen, "--gate"),
        "listen without sounddevice": job("sounddevice", "listen", word),
        "serve without wyoming": job("wyoming", "serve", word),
        "serve without soundfile": job("soundfile", "serve", word, "--uri", "stdio://"),
        "serve without soxr": job("soxr", "serve", word, "--uri", "stdio://"),
        "announce without zeroconf": job("zeroconf", "serve", word, "--uri", "tcp://0.0.0.0:0", "--zeroconf", "kitchen"),
        "compare without rich": job("rich", "bench", "compare", here, here),
        "help without rich": job("rich", "--help"),
        "verify without soundfile": job("soundfile", "verify", word),
    }


@pytest.fixture(scope="module")
def done(jobs, place) -> dict[str, list]:
    """What every job gave, from one process."""
    (place / "jobs.json").write_text(json.dumps(list(jobs.values())))
    subprocess.run([sys.executable, "-c", RUNNER, str(place / "jobs.json"), str(place)], check=True, timeout=300)
    return {name: json.loads((place / f"job{number}.json").read_text()) for number, name in enumerate(jobs)}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_of_a_device_is_imported_without_it(done, package):
    failed = done[package][0]
    assert set(failed) == NEEDS.get(package, set())


SAID = {"soundfile": "pip install soundfile", "onnxruntime": "pip install onnxruntime"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_recording_is_searched_without_it_or_the_pip_command_is_printed(done, package):
    _, code, out, said = done[package]
    if package in SAID:
        assert (code, out, said.count("\n")) == (2, "", 1), said
        assert SAID[package] in said
    else:
        assert code == 0, said
        assert json.loads(out)["name"] == "burst"


@pytest.mark.parametrize(
    "name", ["raw without soundfile", "raw without soxr", "listen without soxr", "serve without soundfile", "serve without soxr"]
)
def test_what_does_not_need_it_works(done, name):
    _, code, out, said = done[name]
    assert code == 0, said
    assert name.startswith("serve") or json.loads(out)["name"] == "burst"


def test_a_bundle_is_verified_without_soundfile(done):
    _, code, out, said = done["verify without soundfile"]
    assert (code, said) == (0, "")
    assert "ok" in out


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("48 kHz without soxr", "pip install soxr"),
        ("listen without soundfile", "pip install soundfile"),
        ("clips without soundfile", "pip install soundfile"),
        ("gate without webrtcvad", "pip install 'speechtl[vad]'"),
        ("listen without sounddevice", "pip install 'speechtl[mic]'"),
        ("serve without wyoming", "pip install 'speechtl[serve]'"),
        ("announce without zeroconf", "pip install 'speechtl[zeroconf]'"),
        ("compare without rich", "pip install rich"),
        ("help without rich", "pip install rich"),
    ],
)
def test_what_needs_it_says_in_one_sentence_how_to_get_it(done, name, command):
    _, code, out, said = done[name]
    assert (code, out, said.count("\n")) == (2, "", 1), said
    assert said.startswith("speechtl: ")
    assert command in said


def test_sound_files_without_libsndfile_name_the_debian_package(monkeypatch):
    from speechtl.errors import AudioError
    from speechtl.runtime.sound.files import load_soundfile

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "soundfile":
                raise OSError("sndfile library not found")

    monkeypatch.delitem(sys.modules, "soundfile")
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(AudioError, match="sudo apt-get install libsndfile1"):
        load_soundfile()
