"""The bundle on its way to a device: what it states of itself, and copying it over ssh."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from speechtl.adapt.keep import previous
from speechtl.errors import BundleError
from speechtl.files import in_megabytes
from speechtl.runtime.bundle.choice import Choice
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.studio import result
from speechtl.studio.project import Word
from speechtl.studio.refusals import RefusedError, missing

SECONDS = 60  # that copying may take
HOST = re.compile(r"(?:[a-z_][a-z0-9_-]{0,31}@)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
STATED = ("parity", "licence", "data", "encoder", "versions")  # of a bundle's description
# No password or question can be answered here, so ssh must not ask.
OPTIONS = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
INSTALL = "sudo -n install -m 0644 {name} /etc/speechtl/ && sudo -n systemctl reload speechtl"  # as device/install.sh has it


def bundle_of(word: Word) -> Path:
    """The bundle of a word."""
    if not word.bundle.is_file():
        raise missing(f"The bundle of {word.name}; train the word first, it")
    return word.bundle


def certificate(word: Word) -> dict[str, Any]:
    """What the bundle states of itself: graphs and whether they give the scores of the network, recordings, licence, thresholds.

    `note` says why the false accepts per day that were chosen cannot be had, where that is so; `previous`, whether one can go back.
    """
    bundle = open_bundle(bundle_of(word))
    per_day, note = result.chosen(word), ""
    try:
        words = Choice(per_day=per_day).words(bundle)
    except BundleError as error:
        words, note = bundle.words, str(error)
    named = [{"name": one.name, "phrases": list(one.phrases), "threshold": one.trigger.threshold} for one in words]
    option = "" if per_day.common is None or note else f"--false-accepts-per-day {per_day.common:.3g}"
    stated = {key: bundle.about[key] for key in STATED if key in bundle.about}
    size = in_megabytes(word.bundle.stat().st_size)
    about = {"file": word.bundle.name, "size": size, "words": named, "graphs": list(bundle.graphs), "stated": stated}
    return {**about, "option": option, "note": note, "previous": previous(word.bundle).is_file()}


def copy(word: Word, host: Any, *, install: bool = False) -> str:
    """Copy the bundle to the home folder on a device, and have its listener load it; returns what was done.

    `host` holds letters, digits and a few signs only, since a remote shell reads it.
    """
    if not isinstance(host, str) or not HOST.fullmatch(host):
        raise RefusedError(422, "Give the device as NAME or USER@NAME, such as pi@raspberrypi.local, or with its address.")
    if shutil.which("scp") is None:
        raise RefusedError(422, "This computer has no scp: sudo apt-get install openssh-client")
    name = bundle_of(word).name
    _run(["scp", *OPTIONS, "--", str(word.bundle), f"{host}:"], f"Copying to {host}")
    if not install:
        return f"{name} is in the home folder on {host}."
    _run(["ssh", *OPTIONS, "--", host, INSTALL.format(name=shlex.quote(name))], f"{name} was copied, but installing it on {host}")
    return f"{name} is installed on {host}, and its listener loads it."


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise RefusedError(422, f"{what} took more than {SECONDS} s; is the device on?") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise RefusedError(422, f"{what} failed: {said or f'exit code {done.returncode}'}")
