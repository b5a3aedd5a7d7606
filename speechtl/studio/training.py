"""Trainings as child processes: started, stopped, resumed, and what they say of their progress.

A lock that the child inherits says that one is running: it is held however the studio or the browser ends, and released with the child.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from speechtl.adapt.keep import keep, previous, undo
from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.files import read_json, write_json, write_text
from speechtl.runs import begun, is_run
from speechtl.studio.project import Project, Word, has_recordings, inside
from speechtl.studio.refusals import RefusedError, conflict, missing
from speechtl.text import dumps

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

JOB, LOG, RECIPE = "job.json", "log.txt", "recipe.toml"
ADAPT = "adapt-"  # begins the names of adaptations
REFUSED = 1  # exit code of an adaptation that is not better
TAIL_BYTES = 20_000  # of a log
# Lines of speechtl.progress: "training, step: 35 of 570, about 4 min left", "loading: at work, 20 s so far".
COUNTED = re.compile(r"^(?P<stage>[^:\n]+): (?:still )?(?P<done>\d+) of (?P<total>\d+)(?P<rest>.*)$")
AT_WORK = re.compile(r"^(?P<stage>[^:\n]+): at work, .* so far$")
COLUMNS = re.compile(r"\s{2,}")  # what lies between the cells of a table
LEFT = re.compile(r"about (.+) left$")
EPOCHS = {"quick": 8, "normal": 19, "thorough": 40}  # 19 is the default of recipes
MINUTES = {"quick": 60.0}  # of negatives; the others take all
STEPS_STAGE = "training, step"
# Threads that wait in loops for one that another program displaced made an example take eight times as long on a busy computer.
BESIDE_OTHERS = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class TrainingSettings:
    """What a person chooses for a training."""

    effort: str = "quick"
    false_accepts_per_day: float = 12.0  # as the ready words
    seed: int = 0
    synthesise: bool = False

    @classmethod
    def of(cls, given: Any) -> TrainingSettings:
        """Settings from a request; raises `RefusedError` for values that are not allowed."""
        try:
            made = cls(**given)
            rate, seed = float(made.false_accepts_per_day), int(made.seed)
        except (TypeError, ValueError, OverflowError) as error:
            raise RefusedError(422, f"The settings cannot be used: {error}.") from error
        if not isinstance(made.effort, str) or made.effort not in EPOCHS:
            raise RefusedError(422, f"The effort must be one of {', '.join(EPOCHS)}; got {made.effort!r}.")
        if not 0.01 <= rate <= 240.0 or not 0 <= seed < 2**31:
            raise RefusedError(422, "False accepts per day must be from 0.01 to 240, and the seed a whole number from 0.")
        return cls(made.effort, rate, seed, made.synthesise is True)


class Trainings:
    """The trainings of a project, of which one runs at a time."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._lock = threading.RLock()  # between requests of this process
        self._child: subprocess.Popen[bytes] | None = None  # kept to collect its exit code

    def start(self, word: Word, settings: TrainingSettings) -> str:
        """Start a new training of a word; return the name of its run."""
        with self._lock:
            self._check_idle()
            keep(word.bundle)  # it may have learned from clips, which a training does not know
            number = 1 + max((int(name) for name in self._names(word) if name.isdecimal()), default=0)
            job = _job(word, str(number))
            write_text(job / RECIPE, recipe(self.project, word, settings))
            write_json(job / JOB, {"settings": asdict(settings), "steps": steps(word, str(number), resume=False), "step": 0, "code": None})
            self._spawn(word, str(number))
        return str(number)

    def adapt(self, word: Word) -> str:
        """Start adapting the bundle of a word to its labelled clips; return the name of that work."""
        if not word.bundle.is_file():
            raise missing(f"The bundle of {word.name}; train the word first, it")
        with self._lock:
            self._check_idle()
            number = 1 + max((int(name.removeprefix(ADAPT)) for name in self._names(word) if name.startswith(ADAPT)), default=0)
            name = f"{ADAPT}{number}"
            write_json(_job(word, name) / JOB, {"settings": {}, "steps": [adapting(word)], "step": 0, "code": None})
            self._spawn(word, name)
        return name

    def go_back(self, word: Word) -> None:
        """Put the bundle before the last adaptation or training in place of the present one, which is kept in turn."""
        if not previous(word.bundle).is_file():
            raise missing(f"A bundle of {word.name} before this one; one is kept when the word is trained again or adapted, it")
        with self._lock:
            self._check_idle()
            undo(word.bundle)

    def resume(self, word: Word, run: str) -> None:
        """Continue a training that was stopped, or whose machine was switched off."""
        with self._lock:
            job = self._existing(word, run)
            self._check_idle()
            done = is_run(word.runs / run)
            if not done and not begun(word.runs / run):
                raise conflict(f"Training {run} has nothing to continue; start a new one.")
            write_json(job / JOB, {**read_json(job / JOB), "steps": steps(word, run, resume=True, trained=done), "step": 0, "code": None})
            self._spawn(word, run)

    def stop(self, word: Word, run: str, *, now: bool = False) -> None:
        """Interrupt a training, which can be resumed from its last checkpoint; nothing to do where it does not run."""
        running = self.running()
        if running is None or (running["word"], running["run"]) != (word.name, run) or not running.get("pid"):
            return
        try:
            os.killpg(int(running["pid"]), signal.SIGKILL if now else signal.SIGINT)
        except ProcessLookupError:
            return

    def running(self) -> dict[str, Any] | None:
        """The word, the run and the process of the training that is running, if any."""
        path = self._running_path
        with self._lock, path.open("a+", encoding="utf-8") as file:
            if self._child is not None and self._child.poll() is not None:
                self._child = None
            if _take(file.fileno()):
                return None
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except ValueError:
            return {"word": "", "run": "", "pid": None}  # it starts at this moment

    def listed(self, word: Word) -> list[dict[str, Any]]:
        """All trainings of a word, the newest first."""
        running = self.running() or {}
        names = sorted(self._names(word), key=lambda name: (name.isdecimal(), int(name) if name.isdecimal() else 0, name), reverse=True)
        return [self._state(word, name, running.get("word") == word.name and running.get("run") == name) for name in names]

    def log(self, word: Word, run: str) -> str:
        """The end of what a training printed."""
        return _tail(self._existing(word, run) / LOG)

    @property
    def _running_path(self) -> Path:
        return self.project.private / "training.lock"

    def _names(self, word: Word) -> set[str]:
        if not word.runs.is_dir():
            return set()
        jobs = {path.name.removesuffix(".job") for path in word.runs.iterdir() if (path / JOB).is_file()}
        return jobs | {path.name for path in word.runs.iterdir() if is_run(path)}

    def _existing(self, word: Word, run: str) -> Path:
        if not word.runs.is_dir():
            raise missing(f"Training {run}")
        return inside(word.runs, f"{run}.job")

    def _state(self, word: Word, run: str, running: bool) -> dict[str, Any]:
        path = _job(word, run) / JOB
        job: dict[str, Any] = read_json(path) if path.is_file() else {"steps": [], "step": 0, "code": 0}
        tail = _tail(_job(word, run) / LOG)
        state = "running" if running else _ended(word, run, job["code"])
        settings = job.get("settings", {})
        step = job["steps"][job["step"]]["title"] if job["steps"] else ""
        about: dict[str, Any] = {"run": run, "state": state, "settings": settings, "step": step}
        if state == "running":
            about["progress"] = progress_of(tail, EPOCHS.get(settings.get("effort"), 0))
        if state in ("failed", "stopped", "refused"):
            about["reason"] = last_sentence(tail)
        if run.startswith(ADAPT) and state in ("done", "refused"):
            about["table"] = table_of(tail)
        return about

    def _check_idle(self) -> None:
        """Raise `RefusedError` where a training runs."""
        if (busy := self.running()) is not None:
            raise conflict(f"A training of {busy['word'] or 'a word'} is running; stop it, or wait for its end.")

    def _spawn(self, word: Word, run: str) -> None:
        """Start the program of a job, which inherits the lock."""
        if fcntl is None:
            raise SpeechtlError("The studio can train on Linux and macOS only; train with: speechtl train")
        path, job = self._running_path, _job(word, run)
        with path.open("a+", encoding="utf-8") as lock, (job / LOG).open("ab") as log:
            if not _take(lock.fileno()):
                self._check_idle()
            lock.truncate(0)
            command = [sys.executable, "-m", "speechtl.studio.work", str(job / JOB)]
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock.fileno(),),
                start_new_session=True,
                env={**BESIDE_OTHERS, **os.environ},
            )
            lock.write(dumps({"word": word.name, "run": run, "pid": self._child.pid}))


def recipe(project: Project, word: Word, settings: TrainingSettings) -> str:
    """The recipe of a training (TOML), with paths relative to its folder; JSON's texts and lists are TOML's, too."""
    others = ["../../negatives"] if has_recordings(word.kind("other")) else []
    values: dict[str, Any] = {
        "name": word.name,
        "phrases": word.about["phrases"],
        "data.synthesise": settings.synthesise or None,
        "data.positives": ["../../recordings"] if has_recordings(word.kind("word")) else None,
        "data.negatives": [*others, *(str(path) for path in project.negatives)] or None,
        "data.negative_minutes": MINUTES.get(settings.effort),
        "train.epochs": EPOCHS[settings.effort],
        "train.seed": settings.seed,
        "calibrate.false_accepts_per_hour": settings.false_accepts_per_day / 24.0,
    }
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items() if value is not None)


def steps(word: Word, run: str, *, resume: bool, trained: bool = False) -> list[dict[str, Any]]:
    """The commands of a training: train, make the bundle, measure on what is kept for the test, if there is any, and make the bundle small.

    Quantisation takes a minute, in which the detector can be tried already.
    """
    program, out = [sys.executable, "-m", "speechtl"], str(word.runs / run)
    train = ["train", str(_job(word, run) / RECIPE), "--out", out, *(["--resume"] if resume else [])]
    kept = [word.kind("kept-word"), word.kind("kept-other")]
    measured = ["evaluate", out, "--positives", str(kept[0]), "--negatives", str(kept[1]), "--out", str(word.runs / f"{run}.report")]
    listed = [] if trained else [{"title": "Training", "command": [*program, *train]}]
    exported = [*program, "export", out, "-o", str(word.bundle), "--no-tflite"]
    listed.append({"title": "Making the bundle", "command": [*exported, "--no-int8"]})
    if all(map(has_recordings, kept)):
        listed.append({"title": "Testing", "command": [*program, *measured]})
    return [*listed, {"title": "Making the bundle small", "command": exported}]


def adapting(word: Word) -> dict[str, Any]:
    """The command that adapts a bundle to the labelled clips, and keeps the bundle that it replaces."""
    given = ["adapt", str(word.bundle), "--clips", str(word.clips), "--out", str(word.bundle), "--keep-previous"]
    return {"title": "Adapting", "command": [sys.executable, "-m", "speechtl", *given]}


@lru_cache(1)
def can_speak() -> bool:
    """Whether words can be synthesised on this machine."""
    from speechtl.audio.synthesis.speak import find_synthesizers

    try:
        return bool(find_synthesizers())
    except MissingExtraError:
        return False


def progress_of(log: str, epochs: int) -> dict[str, Any]:
    """Stage, number done, total and time left, from the last line of progress in a log."""
    for line in reversed(log.splitlines()):
        if found := COUNTED.match(line):
            done, total = int(found["done"]), int(found["total"])
            left = LEFT.search(found["rest"])
            about = {"stage": found["stage"], "done": done, "total": total, "left": left[1] if left else None}
            if found["stage"] == STEPS_STAGE and epochs and total:
                about |= {"epoch": min(done * epochs // total + 1, epochs), "epochs": epochs}
            return about
        if found := AT_WORK.match(line):
            return {"stage": found["stage"], "done": 0, "total": 0, "left": None}
    return {"stage": "starting", "done": 0, "total": 0, "left": None}


def table_of(log: str) -> str:
    """The last table of `speechtl adapt` in a log; empty where there is none."""
    lines = log.splitlines()
    begins = [number for number, line in enumerate(lines) if line.split()[:3] == ["of", "old", "new"]]
    rows = itertools.takewhile(lambda line: len(COLUMNS.split(line.rstrip())) >= 8, lines[begins[-1] :]) if begins else ()
    return "\n".join(rows)


def last_sentence(log: str) -> str:
    """What a program said at its end."""
    lines = [line for line in log.splitlines() if line.strip() and not COUNTED.match(line) and not AT_WORK.match(line)]
    return lines[-1].removeprefix("speechtl: ") if lines else ""


def _ended(word: Word, run: str, code: int | None) -> str:
    """The state of a training or an adaptation that does not run."""
    if run.startswith(ADAPT):
        return {0: "done", REFUSED: "refused"}.get(code if code is not None else -1, "failed")
    if is_run(word.runs / run) and code in (0, None):
        return "done"
    return "stopped" if begun(word.runs / run) else "failed"


def _job(word: Word, run: str) -> Path:
    return word.runs / f"{run}.job"


def _tail(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - TAIL_BYTES, 0))
        return file.read().decode("utf-8", "replace")


def _take(number: int) -> bool:
    """Take the lock of an open file, which its children inherit; False where another process has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
