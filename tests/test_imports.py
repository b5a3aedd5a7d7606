import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

PACKAGE = Path(__file__).parents[1] / "speechtl"
TRAINING = (
    "torch",
    "torchaudio",
    "librosa",
    "pydantic",
    "lightning_fabric",
    "scipy",
    "safetensors",
    "pyroomacoustics",
    "onnx",
    "matplotlib",
    "jinja2",
    "num2words",
)


def imports(path: Path, inside: bool) -> set[str]:
    """Return the modules that a file imports; `inside` counts imports within functions, too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        node.depth = getattr(node, "depth", False)
        for child in ast.iter_child_nodes(node):
            child.depth = node.depth or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    names: set[str] = set()
    for node in ast.walk(tree):
        if node.depth and not inside:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


ARROWS = {
    "runtime": ("audio", "transfer", "image", "adapt", "export", "bench", "study", "cli", "places"),
    "places": ("audio", "transfer", "image", "adapt", "export", "bench", "study", "cli"),
    "bench": ("audio", "transfer", "image", "adapt", "export", "study", "cli"),
    "transfer": ("audio", "image", "runtime", "adapt", "export", "bench", "study", "cli"),
    "audio": ("adapt", "export", "image", "bench", "study", "cli"),
    "image": ("adapt", "export", "audio", "bench", "study", "cli"),
    "export": ("bench", "study", "cli"),
    "adapt": ("image", "bench", "study", "cli"),
    "study": ("export", "bench", "cli"),
    "studio": ("transfer", "image", "export", "bench", "study", "cli"),
}


@pytest.mark.parametrize("folder", ARROWS)
def test_imports_point_one_way(folder):
    forbidden = tuple(f"speechtl.{name}" for name in ARROWS[folder])
    if folder in ("runtime", "transfer"):
        forbidden += ("librosa", "torchaudio")
    if folder in ("runtime", "places", "bench"):
        forbidden += tuple(name for name in TRAINING if (folder, name) != ("bench", "matplotlib"))
    wrong = {
        str(path.relative_to(PACKAGE)): found
        for path in sorted((PACKAGE / folder).rglob("*.py"))
        if (found := sorted(name for name in imports(path, inside=True) if within(name, forbidden)))
    }
    assert wrong == {}


def test_the_command_line_imports_nothing_heavy_at_the_top():
    heavy = (*TRAINING, "numpy", "onnxruntime", "speechtl.transfer", "speechtl.export")
    assert not [name for name in imports(PACKAGE / "cli" / "app.py", inside=False) if within(name, heavy)]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    "code", ["import speechtl", "import sys; sys.argv = ['speechtl', '--help']; from speechtl.cli.app import app; app()"]
)
def test_neither_the_package_nor_its_help_imports_what_only_training_needs(code):
    tell = "import atexit, sys; atexit.register(lambda: print('LOADED', *sys.modules, file=sys.stderr)); "
    done = python(tell + code)
    assert done.returncode == 0, done.stderr
    loaded = done.stderr.split("LOADED ")[1].split()
    assert "speechtl" in loaded
    assert not set(loaded) & {*TRAINING, "onnxruntime", "numpy"}


# Recent versions of typer bring pydantic themselves, so only the library is tried without it.
FORBID = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {forbidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Forbid())
"""
COMMAND = FORBID.format(forbidden={*TRAINING} - {"pydantic"}) + "from speechtl.cli.app import main; sys.argv[0] = 'speechtl'; main()"
LIBRARY = (
    FORBID.format(forbidden={*TRAINING, "typer", "rich"})
    + """
from speechtl.runtime import Detector
from speechtl.runtime.detect_files import detect_file
for event in detect_file(Detector.open(sys.argv[1]), sys.argv[2], print):
    print(event.name)
"""
)


@pytest.fixture
def recording(bursts, tmp_path):
    soundfile.write(tmp_path / "a.wav", bursts((1.0,), 2.0), 16_000)
    return tmp_path / "a.wav"


def test_the_runtime_as_a_library_needs_numpy_onnxruntime_soxr_and_soundfile(tiny_bundle, recording):
    done = python(LIBRARY, str(tiny_bundle), str(recording))
    assert done.stdout == "burst\n", done.stderr


def test_detection_runs_where_nothing_of_training_is_installed(tiny_bundle, recording):
    done = python(COMMAND, "detect", str(tiny_bundle), str(recording), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "burst"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wake word", "image"])
def test_the_harness_runs_where_nothing_of_training_is_installed(tiny_bundle, halves, tmp_path, kind):
    bundle = tiny_bundle if kind == "wake word" else halves / "halves.wake"
    done = python(COMMAND, "bench", str(bundle), "--repetitions", "1", "--json", str(tmp_path / "a.json"))
    assert done.returncode == 0, done.stderr
    done = python(COMMAND, "bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "a.json"))
    assert done.returncode == 0, done.stderr
    assert "bit for bit" in done.stdout


def test_verification_runs_where_nothing_of_training_is_installed(tiny_bundle):
    done = python(COMMAND, "verify", str(tiny_bundle))
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout


@pytest.mark.parametrize(
    "command", [["train", "x.toml"], ["evaluate", "x", "--positives", "p", "--negatives", "n"], ["export", "x", "-o", "y"]]
)
def test_what_needs_training_packages_prints_the_pip_command(command):
    done = python(COMMAND, *command)
    assert done.returncode == 2
    assert done.stderr == "speechtl: This command needs packages that are not installed. Install them with: pip install 'speechtl[train]'\n"


def test_pictures_without_onnx_runtime_say_what_to_install(halves):
    code = FORBID.format(forbidden={"onnxruntime"}) + "from speechtl.cli.app import main; sys.argv[0] = 'speechtl'; main()"
    done = python(code, "bench", str(halves / "halves.wake"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "Install it with: pip install onnxruntime" in done.stderr


@pytest.mark.parametrize("command", [["image", "predict", "BUNDLE", "a.png"], ["bench", "BUNDLE"]])
def test_pictures_without_pillow_print_the_pip_command(halves, command):
    code = FORBID.format(forbidden={"PIL"}) + "from speechtl.cli.app import main; sys.argv[0] = 'speechtl'; main()"
    done = python(code, *(str(halves / "halves.wake") if word == "BUNDLE" else word for word in command))
    assert done.returncode == 2
    assert done.stderr == (
        "speechtl: Reading pictures needs packages that are not installed. Install them with: pip install 'speechtl[image]'\n"
    )
