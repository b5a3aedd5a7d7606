"""Runs: folders with a trained network, its description and its operating points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechtl.audio.encoders import AudioEncoder, build_encoder
from speechtl.audio.network.heads import Head, make_head
from speechtl.audio.network.model import WakeWordNetwork
from speechtl.errors import RunError
from speechtl.files import read_json, write_json
from speechtl.runs import ABOUT, no_run
from speechtl.runtime.trigger import TriggerSettings
from speechtl.transfer import attach, load_tensors, load_weights, save_tensors
from speechtl.versions import versions

SCHEMA = 1
WEIGHTS = "network.safetensors"
MOST_WORDS, MOST_MEMBERS = 1000, 100  # of a head: limits for files, as memory is allocated before weights are read
REQUIRED = ("name", "phrases", "operating_points", "encoder", "policy", "data", "licence", "versions")


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    about: Mapping[str, Any]
    network: WakeWordNetwork

    @property
    def name(self) -> str:
        """The name that events carry."""
        return str(self.about["name"])

    @property
    def trigger(self) -> TriggerSettings:
        """The detector's settings at the calibrated operating point."""
        return TriggerSettings(**self.about["detector"])


def save_run(folder: Path, network: WakeWordNetwork, about: Mapping[str, Any]) -> None:
    """Write a run's files into an existing folder, the description last."""
    save_tensors(folder / WEIGHTS, network.state_dict(), {"encoder": network.encoder.info.name})
    document = {"schema": SCHEMA, **about, "head": _head_json(network.head), "versions": versions()}
    write_json(folder / ABOUT, document)


def load_run(folder: Path | str) -> Run:
    """A run from its folder; raises `RunError` if it is missing, unfinished or damaged."""
    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        raise no_run(folder, f"resume it with: speechtl train ... --out {folder} --resume")
    try:
        about = read_json(folder / ABOUT, RunError)
        if about["schema"] > SCHEMA:
            raise RunError(f"{folder} was made by a newer speechtl (schema {about['schema']}; this one reads {SCHEMA}).")
        encoder = build_encoder(about["recipe"]["transfer"]["encoder"])
        network = attach(encoder, _make_head(encoder, **about["head"]), WakeWordNetwork)
        TriggerSettings(**about["detector"])
        missing = [key for key in REQUIRED if key not in about]
        if missing:
            raise KeyError(missing[0])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise RunError(f"{folder / ABOUT} is damaged: {error!r}.") from error
    load_weights(network, load_tensors(folder / WEIGHTS)[0], folder / WEIGHTS)
    return Run(folder, about, network.eval())


def _head_json(head: Head) -> dict[str, Any]:
    return {"kind": head.kind, "words": head.words, "members": head.ensemble.members}


def _make_head(encoder: AudioEncoder, kind: str, words: int, members: int) -> Head:
    if not all(type(number) is int and 1 <= number <= most for number, most in ((words, MOST_WORDS), (members, MOST_MEMBERS))):
        raise ValueError(f"a head of {words!r} words and {members!r} members")
    return make_head(kind, encoder.info.embedding_size, words, members)
