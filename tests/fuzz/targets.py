"""Every reader of files: a valid file for it, the changes that suit that file, and the function that the commands read it with."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np

from speechtl.errors import SpeechtlError
from tests.fuzz.mutators import ABOUT, mutate_bytes, mutate_document, read_zip, write_bundle, write_json, write_toml, write_zip

RATE = 16_000
Read = Callable[[Path], object]
Mutate = Callable[[bytes, Random], bytes]


class Skipped(Exception):  # noqa: N818
    """A target cannot be run on this machine."""


@dataclass
class Target:
    """A reader, a valid file for it, and how that file is changed; `place` is where the reader looks for it."""

    name: str
    place: Path
    valid: bytes
    change: Mutate
    read: Read
    allowed: tuple[type[Exception], ...] = (SpeechtlError, OSError)
    failures: int = field(default=0)

    def mutate(self, random: Random) -> bytes:
        """The valid file with changes."""
        return self.change(self.valid, random)

    def write(self, content: bytes) -> Path:
        """Put content where the reader looks for it."""
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self.place.write_bytes(content)
        return self.place


def make_target(name: str, folder: Path) -> Target:
    """The target of that name, with its files in a folder."""
    return MAKERS[name](name, folder)


# Changes


def json_document(content: bytes, random: Random) -> bytes:
    return write_json(mutate_document(json.loads(content), random), random)


def json_lines(content: bytes, random: Random) -> bytes:
    lines = content.split(b"\n")
    place = random.randrange(len(lines) - 1)
    lines[place] = json_document(lines[place], random)
    return b"\n".join(lines)


def toml_document(content: bytes, random: Random) -> bytes:
    return write_toml(mutate_document(copy.deepcopy(_parsed_toml(content)), random), random)


@cache
def _parsed_toml(content: bytes) -> Any:
    from speechtl.toml_files import parse_toml

    return parse_toml(content.decode())


def of_bundle(member: str, change: Mutate) -> Mutate:
    """Change one member of a bundle; what the bundle says of its size and hash fits, unless the member is what says it."""

    def changed(content: bytes, random: Random) -> bytes:
        members = read_zip(content)
        members[member] = change(members[member], random)
        return write_zip(members) if member == ABOUT else write_bundle(members)

    return changed


def arrays(content: bytes, random: Random) -> bytes:
    """Change the members of an archive of arrays: their headers, which announce shapes and types, more often than their numbers."""
    members = read_zip(content)
    name = random.choice(sorted(members))
    if random.random() < 0.5:
        shape = random.choice(
            ("()", "(0,)", "(1, 0)", f"({10**12},)", f"({2**62}, {2**62})", "(-1,)", "(3, 5)", "(1000000,)", f"{(1,) * 40}")
        )
        kind = random.choice(("<f4", "<f8", "|u1", "<i2", "|O", "|S8", "<M8[s]", "|b1", ">f4", "<c16"))
        text = f"{{'descr': '{kind}', 'fortran_order': {random.choice(('True', 'False'))}, 'shape': {shape}, }}"
        members[name] = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode()[:117] + b"\n" + members[name][128:]
        return write_zip(members)
    if random.random() < 0.3:
        return mutate_bytes(content, random)
    members[name] = mutate_bytes(members[name], random)
    return write_zip(members)


def tensors(content: bytes, random: Random) -> bytes:
    """Change a safetensors file: its header, the description in it, or any byte."""
    if random.random() < 0.3:
        return mutate_bytes(content, random)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if random.random() < 0.6:
        header = mutate_document(header, random)
    else:
        header["__metadata__"]["about"] = write_json(mutate_document(json.loads(header["__metadata__"]["about"]), random), random).decode(
            "utf-8", "replace"
        )
    text = write_json(header, random) if random.random() < 0.2 else json.dumps(header).encode("utf-8", "replace")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


# Valid files, made once in a folder that all targets share


def _made(folder: Path, name: str, make: Callable[[Path], object]) -> Path:
    path = folder / "valid" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
    return path


def _tiny_run() -> Any:
    from speechtl.audio.run import Run
    from tests.conftest import describe_tiny, make_tiny

    network = make_tiny()
    return Run(Path("runs/burst"), describe_tiny(network), network)


def _know_tiny() -> None:
    """Let runs and recipes name the tiny encoder, at little cost."""
    from speechtl.audio.encoders import ENCODERS

    if "tiny" not in ENCODERS:
        encoder = _tiny_run().network.encoder
        ENCODERS["tiny"] = (lambda: copy.deepcopy(encoder), lambda: copy.deepcopy(encoder))


def _exported(folder: Path, name: str) -> Path:
    """A bundle that a process of its own exports: a small process forks faster, and every graph is tried in a fork."""
    return _made(folder, name, lambda path: subprocess.run([sys.executable, "-m", __name__, str(path)], check=True, capture_output=True))


def _export(path: Path) -> None:
    from speechtl.export.bundle import export_run
    from speechtl.export.pictures import export_image_run
    from speechtl.image.run import load_run

    if path.name == "halves.wake":
        export_image_run(load_run(_picture_run(path.parents[1])), path, int8=False)
    else:
        export_run(_tiny_run(), path, int8=False, tflite=path.name == "tflite.wake")


def _word_bundle(folder: Path) -> Path:
    return _exported(folder, "burst.wake")


def _tflite_bundle(folder: Path) -> Path:
    if importlib.util.find_spec("litert_torch") is None:
        raise Skipped("litert-torch is not installed")
    return _exported(folder, "tflite.wake")


def _word_run(folder: Path) -> Path:
    from speechtl.audio.run import save_run

    def make(path: Path) -> None:
        path.mkdir()
        run = _tiny_run()
        save_run(path, run.network, run.about)

    _know_tiny()
    return _made(folder, "run", make)


def _picture_run(folder: Path) -> Path:
    from PIL import Image

    from speechtl.image.recipe import make_image_recipe
    from speechtl.image.train import train

    def make(path: Path) -> None:
        random = np.random.default_rng(0)
        for kind in ("left", "right"):
            (path.parent / "halves" / kind).mkdir(parents=True, exist_ok=True)
            for index in range(12):
                values = random.integers(0, 90, (24, 24)).astype(np.uint8)
                values[:, slice(0, 12) if kind == "left" else slice(12, 24)] += 120
                Image.fromarray(values).save(path.parent / "halves" / kind / f"{index}.png")
        values = {
            "name": "halves",
            "data": {"train": ["halves"]},
            "pictures": {"size": 24},
            "transfer": {"backbone": "small", "weights": "scratch", "policy": "all", "grid": 2},
            "train": {"steps": 4, "batch_size": 8},
        }
        train(make_image_recipe(values, base=path.parent, source="the fuzz targets"), path)

    return _made(folder, "pictures", make)


def _picture_bundle(folder: Path) -> Path:
    return _exported(folder, "halves.wake")


def _sound(seconds: float = 0.5) -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.3, 0.3, round(seconds * RATE))


# Readers


def _detect(path: Path) -> None:
    from speechtl.runtime.detector import Detector

    detector = Detector.open(path)
    detector.feed(np.zeros(RATE // 4, np.float32))


def _verify(path: Path) -> None:
    from speechtl.runtime import parity as verify
    from speechtl.runtime.bundle.wake_word import open_bundle

    with patch.object(verify, "STREAMS", verify.STREAMS[-1:]):  # the others play the same arrays in smaller chunks
        verify.verify(open_bundle(path))


def _answer(path: Path) -> None:
    from speechtl.runtime.bundle.pictures import open_picture_bundle
    from speechtl.runtime.engine.pictures import PictureEngine

    bundle = open_picture_bundle(path)
    engine = PictureEngine(bundle)
    engine.answers(engine.run(np.zeros((3, bundle.settings.size, bundle.settings.size), np.uint8)))


def _verify_pictures(path: Path) -> None:
    from speechtl.runtime.bundle.pictures import open_picture_bundle
    from speechtl.runtime.parity import verify_pictures

    verify_pictures(open_picture_bundle(path))


def _read_word_run(path: Path) -> None:
    from speechtl.audio.run import load_run

    run = load_run(path.parent)
    assert isinstance(run.name, str)
    assert run.trigger


def _read_picture_run(path: Path) -> None:
    from speechtl.image.run import load_run

    run = load_run(path.parent)
    assert run.settings


def _resume(path: Path) -> None:
    import torch

    from speechtl.transfer import HeadOnly
    from speechtl.transfer.fit import FitSettings, fit

    class NoBatches:
        def __len__(self) -> int:
            return 1

        def epoch(self, number: int) -> Any:
            del number
            yield torch.zeros(2, 1, 40, 32), torch.zeros(2)

    network = copy.deepcopy(_network())
    fit(network, NoBatches(), lambda logits, _: logits.mean(), HeadOnly(), FitSettings(epochs=1), checkpoint=path, resume=path.exists())


def _network() -> Any:
    if not _NETWORKS:
        _NETWORKS.append(_tiny_run().network)
    return _NETWORKS[0]


_NETWORKS: list[Any] = []


def _compare(path: Path) -> None:
    from contextlib import redirect_stdout

    from speechtl.bench.compare import compare
    from speechtl.bench.report import read_report
    from speechtl.bench.show import print_comparison

    comparison = compare(read_report(path), read_report(path))
    with redirect_stdout(io.StringIO()):
        print_comparison(comparison)
    json.dumps(comparison.to_json(), allow_nan=False)


def _hear_wyoming(path: Path) -> None:
    from speechtl.runtime.server.stream import AudioStream
    from speechtl.runtime.server.wire import MAX_HEADER, read_event

    async def read() -> None:
        reader = asyncio.StreamReader(MAX_HEADER)
        reader.feed_data(path.read_bytes())
        reader.feed_eof()
        stream = AudioStream([])
        while event := await read_event(reader, 1.0, 1.0):
            if event.type == "audio-start":
                stream.start(event.data)
            elif event.type == "audio-chunk":
                for piece in stream.pieces(event.data, event.payload or b""):
                    stream.feed(piece)
        stream.end()

    asyncio.run(read())


def _detect_raw(path: Path) -> None:
    from speechtl.runtime.detect_files import detect_raw

    class Deaf:
        def reset(self) -> None:
            pass

        def feed(self, samples: np.ndarray) -> list[Any]:
            assert samples.dtype == np.float32
            assert samples.ndim == 1
            return []

    content = path.read_bytes()
    rate, channels = 1000 + int.from_bytes(content[:2], "little") * 5, 1 + content[2] % 64 if len(content) > 2 else 1
    list(detect_raw(Deaf(), io.BytesIO(content), rate, channels, path.suffix[1:], lambda _: None))  # type: ignore[arg-type]


def _read_clips(path: Path) -> None:
    from speechtl.audio.data.clips import read_clips

    for clip in read_clips([path], lambda _: None):
        assert np.isfinite([clip.duration, clip.offset]).all()
        json.dumps(clip.to_json(), allow_nan=False)


def _make_folder(path: Path) -> Path:
    """A folder that has the files that a file lists, a line each: the name, and behind a tab the first bytes."""
    import shutil

    folder = path.parent / "listed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    sound = (path.parent / "sound.wav").read_bytes()
    for line in path.read_bytes().split(b"\n"):
        name, _, begin = line.partition(b"\t")
        name = name.replace(b"\0", b"").lstrip(b"/").replace(b"..", b"")
        with suppress(OSError):  # a name that cannot be given
            file = folder / os.fsdecode(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(begin + sound[len(begin) :])
    return folder


def _look_at_folder(path: Path) -> None:
    from speechtl.audio.data.folder_check import look_at_folders

    folder = _make_folder(path)
    _read_clips(folder)
    for report in look_at_folders([folder]):
        json.dumps(report.to_json(), allow_nan=False)
        assert all(report.summary().values())


# Targets


def _word_bundle_target(name: str, folder: Path) -> Target:
    made = (_tflite_bundle if "tflite" in name else _word_bundle)(folder)
    member = {"bundle-json": ABOUT, "bundle-golden": "golden.npz", "bundle-onnx": "model.onnx", "bundle-tflite": "model.tflite"}.get(name)
    change = {"bundle-json": json_document, "bundle-golden": arrays}.get(name, mutate_bytes)
    read = _verify if name == "bundle-golden" else _detect
    return Target(name, folder / name / "burst.wake", made.read_bytes(), of_bundle(member, change) if member else mutate_bytes, read)


def _picture_bundle_target(name: str, folder: Path) -> Target:
    made = _picture_bundle(folder)
    member = {"picture-bundle-json": ABOUT, "picture-bundle-golden": "golden.npz", "picture-bundle-onnx": "model.onnx"}.get(name)
    change = {"picture-bundle-json": json_document, "picture-bundle-golden": arrays}.get(name, mutate_bytes)
    read = _verify_pictures if name == "picture-bundle-golden" else _answer
    return Target(name, folder / name / "halves.wake", made.read_bytes(), of_bundle(member, change) if member else mutate_bytes, read)


def _run_target(name: str, folder: Path) -> Target:
    import shutil

    valid, read = (_word_run(folder), _read_word_run) if name.startswith("run") else (_picture_run(folder), _read_picture_run)
    shutil.copytree(valid, folder / name, dirs_exist_ok=True)
    file, change = ("run.json", json_document) if name.endswith("json") else ("network.safetensors", tensors)
    return Target(name, folder / name / file, (valid / file).read_bytes(), change, read)


def _checkpoint(name: str, folder: Path) -> Target:
    _made(folder, "checkpoint.safetensors", _resume)
    valid = (folder / "valid" / "checkpoint.safetensors").read_bytes()
    return Target(name, folder / name / "checkpoint.safetensors", valid, tensors, _resume)


def _given(name: str, folder: Path) -> Target:
    from speechtl.files import write_json as write
    from speechtl.runs import GIVEN, begun_with

    given = {"recipe": {"name": "burst", "train": {"seed": 0}}, "recordings": "abc"}
    valid = _made(folder, GIVEN, lambda path: write(path, given)).read_bytes()
    return Target(name, folder / name / GIVEN, valid, json_document, lambda path: begun_with(path.parent, given))


def _rounds(name: str, folder: Path) -> Target:
    import torch

    from speechtl.audio.training.rounds import read_round
    from speechtl.transfer import save_tensors

    made = {"inputs": torch.zeros(4, 1, 20, 8), "words": torch.zeros(4, dtype=torch.int64), "folds": torch.zeros(4, dtype=torch.int64)}
    valid = _made(folder, "round-000.safetensors", lambda path: save_tensors(path, made, {})).read_bytes()
    return Target(name, folder / name / "round-000.safetensors", valid, tensors, read_round)


def _shards(name: str, folder: Path) -> Target:
    import torch

    from speechtl.audio.pretraining.shards import read_shard
    from speechtl.transfer import save_tensors

    made = {
        "features": torch.zeros(2, 3, 20, 8),
        "phones": torch.zeros(3, 5, dtype=torch.int64),
        "counts": torch.zeros(3, dtype=torch.int64),
        "heard": torch.zeros(3, 4, 6),
        "words": torch.zeros(3, 2, 2, dtype=torch.int64),
    }
    valid = _made(folder, "00-0000.safetensors", lambda path: save_tensors(path, made, {})).read_bytes()
    return Target(name, folder / name / "00-0000.safetensors", valid, tensors, read_shard)


def _report(name: str, folder: Path) -> Target:
    from speechtl.bench.run import bench
    from speechtl.files import write_json as write

    made = _picture_bundle(folder) if name.startswith("picture") else _word_bundle(folder)
    words = None if name.startswith("picture") else []
    valid = _made(folder, f"{name}.json", lambda path: write(path, bench(made, repetitions=1, words=words)))
    return Target(name, folder / name / "report.json", valid.read_bytes(), json_document, _compare)


BUDGETS = """[[budget]]
measure = "cpu_ms_per_second"
at_most = 20.0
engine = "onnxruntime"

[[budget]]
measure = "peak_mb"
at_most = 100
"""


def _budgets(name: str, folder: Path) -> Target:
    from speechtl.bench.compare import read_budgets

    return Target(name, folder / name / "budgets.toml", BUDGETS.encode(), toml_document, read_budgets)


REQUIREMENTS = """[[require]]
measure = "recall"
at_least = 0.9

[[require]]
kind = "sound"
name = "read"
measure = "per_hour_high"
at_most = 1.5
"""


def _requirements(name: str, folder: Path) -> Target:
    from speechtl.audio.evidence.requirements import read_requirements

    return Target(name, folder / name / "floors.toml", REQUIREMENTS.encode(), toml_document, read_requirements)


def _evaluation_report(name: str, folder: Path) -> Target:
    from speechtl.audio.evidence.report_file import read_report
    from speechtl.audio.evidence.statement import SCHEMA

    plan = {key: ["a.jsonl"] for key in ("positives", "negatives", "noise", "talk", "music", "rooms")}
    plan |= {"snr_db": [5.0], "preset": "given", "split": "test", "others": None, "strangers": False}
    stated = {"model_sha256": "ab", "plan": plan, "folder": "/", "seeds": {"streams": 1}, "versions": {"numpy": "2"}, "machine": {}}
    texts = dict.fromkeys(("model", "graph", "name", "split", "threshold_source"), "x")
    counts = {key: {"clips": 1} for key in ("detector", "positives", "negatives", "delay_ms")}
    moments = {key: [{"file": "a.wav", "time": 1.0}] for key in ("missed", "false_accepts")}
    sources = [{"source": "a.jsonl", "sha256": None, "files": {"a.wav": "ab"}}]
    lists = {"det": [[0.5, 1.0, 0.0]], "slices": [{"kind": "speaker", "name": "Ann", "clips": 1}]}
    made = {"schema": SCHEMA, "threshold": 0.5, **texts, **counts, **moments, **lists, "statement": {**stated, "sources": sources}}
    return Target(name, folder / name / "report.json", json.dumps(made).encode(), json_document, read_report)


WORD_RECIPE = """name = "burst"
phrases = ["burst", "hey burst"]
[data]
positives = ["positives.jsonl"]
negatives = ["negatives.jsonl", "more"]
noise = ["noise.jsonl"]
rooms = "none"
negative_minutes = 10.0
[transfer]
encoder = "conv-ctc"
head = "conv"
policy = "last:2"
[train]
epochs = 3
steps = 4
batch_size = 8
learning_rate = 1e-3
repeats = 2
seed = 1
[calibrate]
false_accepts_per_hour = 0.5
smoothing = 2
refractory = 1.5
"""

IMAGE_RECIPE = """name = "halves"
[data]
train = ["shapes"]
classes = ["a", "b"]
examples = 10
validation = 0.2
[pictures]
size = 32
shape = "crop"
[transfer]
backbone = "small"
weights = "scratch"
policy = "all"
grid = 2
hidden = 4
[augment]
flip = true
[train]
steps = 12
batch_size = 8
copies = 2
"""

PRETRAINING_RECIPE = """name = "phones"
encoder = "conv-ctc-tiny"
[data]
transcribed = ["a.jsonl"]
noise = ["b.jsonl"]
without = ["computer"]
validation = 0.1
[speech]
hours = 0.1
seed = 3
[words]
hours = 0.2
vocabulary = 100
[tasks]
ctc = 1.0
words = 0.5
teacher_weight = 0.5
[train]
epochs = 2
packs = 1
"""


def _recipe(name: str, folder: Path) -> Target:
    from speechtl.audio.pretraining.recipe import read_pretraining_recipe
    from speechtl.audio.recipe import read_recipe
    from speechtl.image.recipe import read_image_recipe

    text, read = {
        "word-recipe": (WORD_RECIPE, read_recipe),
        "image-recipe": (IMAGE_RECIPE, read_image_recipe),
        "pretraining-recipe": (PRETRAINING_RECIPE, read_pretraining_recipe),
    }[name]
    (folder / name / "shapes").mkdir(parents=True, exist_ok=True)
    return Target(name, folder / name / "recipe.toml", text.encode(), toml_document, read)


def _audio_manifest(name: str, folder: Path) -> Target:
    from speechtl.audio.data.clips import read_clips

    line = {
        "audio_filepath": "a/0.wav",
        "duration": 1.5,
        "text": "burst",
        "speaker": "p1",
        "split": "train",
        "word_start": 0.2,
        "word_end": 0.6,
        "offset": 0.0,
        "sha256": "0" * 64,
        "license": "CC0-1.0",
    }
    other = {key: value for key, value in line.items() if not key.startswith("word")} | {"audio_filepath": "a/1.wav", "speaker": "p2"}
    valid = (json.dumps(line) + "\n" + json.dumps(other) + "\n").encode()
    return Target(name, folder / name / "clips.jsonl", valid, json_lines, lambda path: read_clips([path]))


def _image_manifest(name: str, folder: Path) -> Target:
    from speechtl.image.manifest import read_pictures, targets_of, tasks_of

    lines = [
        {
            "image_filepath": f"{index}.png",
            "labels": {"a": index % 2, "b": None if index > 1 else index},
            "group": str(index),
            "split": split,
        }
        for index, split in enumerate(("train", "train", "validation", "test"))
    ]

    def read(path: Path) -> None:
        pictures = read_pictures([path])
        targets_of(pictures, tasks_of(pictures))

    return Target(name, folder / name / "pictures.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode(), json_lines, read)


SOUNDS = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "mp3": ("MP3", None), "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS")}


def _sound_file(name: str, folder: Path) -> Target:
    import soundfile

    from speechtl.runtime.sound.files import describe, read_blocks

    ending = name.removeprefix("sound-")
    form, subtype = SOUNDS[ending]
    content = io.BytesIO()
    soundfile.write(content, _sound(), RATE, format=form, subtype=subtype)

    def read(path: Path) -> None:
        for block in read_blocks(path, block_seconds=0.64):
            assert np.isfinite(block).all()
        describe(path)

    return Target(name, folder / name / f"take.{ending}", content.getvalue(), mutate_bytes, read)


def _picture(name: str, folder: Path) -> Target:
    from PIL import Image

    from speechtl.runtime.pictures import PictureSettings, read_pixels

    ending = name.removeprefix("picture-")
    content = io.BytesIO()
    values = np.random.default_rng(1).integers(0, 255, (20, 24, 3)).astype(np.uint8)
    Image.fromarray(values).save(content, format=ending)
    return Target(
        name, folder / name / f"picture.{ending}", content.getvalue(), mutate_bytes, lambda path: read_pixels(path, PictureSettings(16))
    )


def _raw(name: str, folder: Path) -> Target:
    from speechtl.runtime.sound.raw import FORMATS, FULL_SCALE

    form = name.removeprefix("raw-")
    samples = (_sound() * 0.99 * FULL_SCALE[form]).astype(FORMATS[form])
    return Target(name, folder / name / f"samples.{form}", samples.tobytes(), mutate_bytes, _detect_raw)


COMMON_VOICE = """client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale
a1\tsound.wav\tHey burst, what time is it?\t2\t0\ttwenties\tfemale\t\ten
b2\tabsent.mp3\tA burst of rain\t2\t1\t\t\t\ten
"""
AUDACITY = "0.100000\t0.300000\tburst\n0.400000\t0.450000\tburst\n\\\t100.0\t200.0\n"
EDGE_IMPULSE = {
    "version": 1,
    "files": [
        {"path": "sound.wav", "name": "a", "category": "training", "label": {"type": "label", "label": "burst"}},
        {"path": "absent.wav", "name": "b", "category": "testing", "label": {"type": "unlabeled"}},
    ],
}
ARRAY = [{"audio_filepath": "sound.wav", "duration": 0.5, "text": "burst"}, {"audio_filepath": "sound.wav", "duration": 0.1, "label": "x"}]
LISTING = "anna/one.wav\nben/one.wav\t\nben/three.mp3\tID3\nnotes.txt\thello\nsub/._x.wav\n.hidden/a.wav\n"


def _sound_beside(folder: Path, seconds: float = 0.5) -> None:
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "sound.wav", _sound(seconds), RATE, subtype="PCM_16")


def _sound_table(name: str, folder: Path) -> Target:
    _sound_beside(folder / name)
    file, valid, change = {
        "common-voice": ("validated.tsv", COMMON_VOICE.encode(), mutate_bytes),
        "audacity": ("sound.txt", AUDACITY.encode(), mutate_bytes),
        "edge-impulse": ("info.labels", json.dumps(EDGE_IMPULSE).encode(), json_document),
        "json-array": ("clips.json", json.dumps(ARRAY).encode(), json_document),
    }[name]
    return Target(name, folder / name / file, valid, change, _read_clips)


def _common_voice_lengths(name: str, folder: Path) -> Target:
    _sound_beside(folder / name)
    (folder / name / "validated.tsv").write_text(COMMON_VOICE)
    valid = b"clip\tduration[ms]\nsound.wav\t500\nabsent.mp3\t1200\n"
    return Target(
        name, folder / name / "clip_durations.tsv", valid, mutate_bytes, lambda path: _read_clips(path.with_name("validated.tsv"))
    )


def _listing(name: str, folder: Path) -> Target:
    _sound_beside(folder / name, 0.05)
    return Target(name, folder / name / "listing", LISTING.encode(), mutate_bytes, _look_at_folder)


def _weights(name: str, folder: Path) -> Target:
    import torch

    from speechtl.image.backbones.weights import read_tensors
    from speechtl.transfer import save_tensors

    made = {"first.weight": torch.zeros(4, 3), "first.bias": torch.zeros(4)}
    if name == "weights-pth":
        valid = _made(folder, "weights.pth", lambda path: torch.save(made, path)).read_bytes()
        return Target(name, folder / name / "weights.pth", valid, mutate_bytes, read_tensors)
    valid = _made(folder, "weights.safetensors", lambda path: save_tensors(path, made, {"name": "tiny"})).read_bytes()
    return Target(name, folder / name / "weights.safetensors", valid, tensors, read_tensors)


def _encoder(name: str, folder: Path) -> Target:
    from speechtl.audio.encoders import conv_ctc

    valid = (conv_ctc.WEIGHTS / "conv-ctc-tiny.safetensors").read_bytes()
    return Target(name, folder / name / "encoder.safetensors", valid, tensors, lambda path: conv_ctc.load("conv-ctc-tiny", path))


def _idx(name: str, folder: Path) -> Target:
    import gzip

    sys.path.append(str(Path(__file__).parents[2] / "training" / "studies" / "pictures"))
    from mnist import read_idx

    plain = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (2, 5, 4)) + bytes(range(40))
    if name == "idx-gz":
        return Target(name, folder / name / "digits.gz", gzip.compress(plain), mutate_bytes, read_idx)
    return Target(name, folder / name / "digits", plain, mutate_bytes, read_idx)


def _wyoming(name: str, folder: Path) -> Target:
    form = {"rate": RATE, "width": 2, "channels": 1, "timestamp": 5}

    def event(kind: str, data: dict[str, Any], payload: bytes = b"") -> bytes:
        body = json.dumps(data).encode()
        return json.dumps({"type": kind, "data_length": len(body), "payload_length": len(payload)}).encode() + b"\n" + body + payload

    valid = (
        event("audio-start", form)
        + event("audio-chunk", form, bytes(200))
        + event("audio-chunk", form, bytes(64))
        + event("audio-stop", {})
    )
    return Target(name, folder / name / "client", valid, mutate_bytes, _hear_wyoming)


def _corpus(name: str, folder: Path) -> Target:
    from speechtl.audio.synthesis.corpus import CorpusPlan, _agree, _shard

    class Plan:
        def settings(self) -> dict[str, Any]:
            return {"seed": 1, "voices": ["a", "b"], "texts": {"sha256": "0" * 64}}

    plan: CorpusPlan = Plan()  # type: ignore[assignment]
    if name == "corpus-settings":
        valid = json.dumps(plan.settings()).encode()
        return Target(name, folder / name / "settings.json", valid, json_document, lambda path: _agree(path.parent, plan))
    line = {"audio_filepath": "00000/000.flac", "duration": 1.5, "text": "burst", "speaker": "a", "split": "train"}
    (folder / name / "00000").mkdir(parents=True, exist_ok=True)
    (folder / name / "00000" / "skipped.txt").write_text("")
    valid = (json.dumps(line) + "\n").encode() * 3
    return Target(name, folder / name / "00000" / "lines.jsonl", valid, json_lines, lambda path: _shard(path.parents[1], plan, 0))


def _tally(name: str, folder: Path) -> Target:
    from speechtl.runtime.listen.evidence import read_evidence

    which = {"word": "burst", "bundle": "0123456789ab", "threshold": 0.5}
    lines = [
        {"what": "heard", "at": "2026-01-01T00:00:00+00:00", **which, "seconds": 600.0},
        {"what": "event", "at": "2026-01-01T00:00:00.000+00:00", **which, "score": 0.9, "level": -30.0, "snr": 20.0, "clip": "clips/a.wav"},
        {"what": "verdict", "clip": "clips/a.wav", "verdict": "not-word"},
    ]
    valid = "".join(json.dumps(line) + "\n" for line in lines).encode()
    change = json_lines if name == "tally" else mutate_bytes
    return Target(name, folder / name / "tally.jsonl", valid, change, lambda path: list(map(str, read_evidence(path)[0])))


def _table(name: str, folder: Path) -> Target:
    from speechtl.files import read_rows

    return Target(name, folder / name / "log.csv", b"epoch,loss,error\r\n1,0.5,0.2\r\n2,0.4,0.1\r\n", mutate_bytes, read_rows)


MAKERS: dict[str, Callable[[str, Path], Target]] = {
    **dict.fromkeys(("bundle-json", "bundle-file", "bundle-golden", "bundle-onnx", "bundle-tflite"), _word_bundle_target),
    **dict.fromkeys(("picture-bundle-json", "picture-bundle-file", "picture-bundle-golden", "picture-bundle-onnx"), _picture_bundle_target),
    **dict.fromkeys(("run-json", "run-weights", "picture-run-json", "picture-run-weights"), _run_target),
    "checkpoint": _checkpoint,
    "given": _given,
    "rounds": _rounds,
    "shards": _shards,
    **dict.fromkeys(("bench-report", "picture-bench-report"), _report),
    "budgets": _budgets,
    "requirements": _requirements,
    "evaluation-report": _evaluation_report,
    **dict.fromkeys(("word-recipe", "image-recipe", "pretraining-recipe"), _recipe),
    "audio-manifest": _audio_manifest,
    "image-manifest": _image_manifest,
    **dict.fromkeys((f"sound-{ending}" for ending in SOUNDS), _sound_file),
    **dict.fromkeys((f"picture-{ending}" for ending in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm")), _picture),
    **dict.fromkeys(("raw-s16", "raw-s32", "raw-f32"), _raw),
    **dict.fromkeys(("common-voice", "audacity", "edge-impulse", "json-array"), _sound_table),
    "common-voice-lengths": _common_voice_lengths,
    "folder": _listing,
    **dict.fromkeys(("weights-safetensors", "weights-pth"), _weights),
    "encoder": _encoder,
    **dict.fromkeys(("idx", "idx-gz"), _idx),
    "wyoming": _wyoming,
    **dict.fromkeys(("corpus-settings", "corpus-lines"), _corpus),
    "table": _table,
    **dict.fromkeys(("tally", "tally-bytes"), _tally),
}
NAMES = list(MAKERS)


if __name__ == "__main__":
    _export(Path(sys.argv[1]))
