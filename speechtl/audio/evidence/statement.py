"""What a second person needs to repeat a report: hashes of the model and of every recording, the plan, seeds, versions, the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechtl.audio.data.manifest import Clip, workers_by_default
from speechtl.audio.evaluation.conditions import ROOM_SEED, SEED
from speechtl.files import sha256_of
from speechtl.progress import tracked
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.machine import read_machine
from speechtl.versions import versions

if TYPE_CHECKING:
    from speechtl.audio.evaluation.material import Plan
    from speechtl.audio.evaluation.model import Model

SCHEMA = 2  # of reports
PACKAGES = ("numpy", "scipy", "onnxruntime", "ai-edge-litert", "tflite-runtime", "torch", "soxr", "soundfile", "pyroomacoustics")


def make_statement(model: Model, plan: Plan, clips: Iterable[Clip]) -> dict[str, Any]:
    """The statement of an evaluation on some clips; every recording is read to hash it.

    It has no time of day: the same evaluation gives the same report.
    """
    return {
        "model_sha256": model_hash(model.path),
        "plan": plan_json(plan),
        "folder": str(Path.cwd()),
        "sources": _sources(clips),
        "seeds": {"streams": SEED, "rooms": ROOM_SEED},
        "versions": versions(PACKAGES),
        "machine": read_machine().to_json(),
    }


def model_hash(path: Path) -> str:
    """SHA-256 of a bundle, or that with a ready word; of a run, that of the hashes of its weights and its description."""
    if not path.is_dir():
        return sha256_of(open_bundle(path).path)
    from speechtl.audio.run import WEIGHTS  # a bundle needs no PyTorch
    from speechtl.runs import ABOUT

    return sha256_of("".join(sha256_of(path / name) for name in (WEIGHTS, ABOUT)).encode())


def plan_json(plan: Plan) -> dict[str, Any]:
    """The fields of a plan, as JSON stores them; paths as they were given."""
    return {one.name: _plain(getattr(plan, one.name)) for one in fields(plan)}


def _plain(value: Any) -> Any:
    return [str(one) if isinstance(one, Path) else one for one in value] if isinstance(value, list | tuple) else value


def _sources(clips: Iterable[Clip]) -> list[dict[str, Any]]:
    """The manifests and folders with the hashes of their files that are played."""
    files: dict[Path, dict[str, Path]] = {}
    for clip in clips:
        if clip.path is not None:
            files.setdefault(clip.manifest, {})[clip.audio_filepath] = clip.path
    paths = list(dict.fromkeys(path for listed in files.values() for path in listed.values()))
    with ThreadPoolExecutor(workers_by_default()) as pool:
        hashes = dict(zip(paths, tracked("hashing recordings", pool.map(_hash, paths), len(paths)), strict=True))
    known = {manifest: {name: digest for name, path in listed.items() if (digest := hashes[path])} for manifest, listed in files.items()}
    return [_source(manifest, listed) for manifest, listed in known.items()]


def _hash(path: Path) -> str | None:
    """SHA-256 of a recording; None if it has just gone: then it is not heard either."""
    try:
        return sha256_of(path)
    except OSError:
        return None


def _source(manifest: Path, files: Mapping[str, str]) -> dict[str, Any]:
    return {"source": str(manifest), "sha256": sha256_of(manifest) if manifest.is_file() else None, "files": dict(files)}
