"""Pretrain an encoder: recordings and synthesised speech in, weights and a model card out."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from speechtl.audio.augment import Augmenter, Sound, simulate_rooms
from speechtl.audio.data.licences import all_of
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import Recording, sounds_of
from speechtl.audio.encoders import AudioEncoder, conv_ctc
from speechtl.audio.pretraining.corpora import Corpora, CorporaReader
from speechtl.audio.pretraining.data import (
    SECONDS,
    Renderer,
    Teacher,
    Utterance,
    pack,
)
from speechtl.audio.pretraining.evaluate import error_rates, recognition, word_accuracy, write_card
from speechtl.audio.pretraining.mixing import Backgrounds, Mixer, Sources
from speechtl.audio.pretraining.network import PretrainingHead, PretrainingLoss, PretrainingNetwork
from speechtl.audio.pretraining.recipe import PretrainingRecipe
from speechtl.audio.pretraining.shards import ShardBatches, Shards, cores
from speechtl.audio.pretraining.teachers import load_teachers
from speechtl.audio.synthesis.base import SYNTHESISED
from speechtl.audio.synthetic_music import with_synthetic_music
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.errors import RunError
from speechtl.files import check_folder, check_room, read_rows, sha256_of, write_json, write_rows
from speechtl.progress import progress, say
from speechtl.runs import GIVEN, alone, begun_with
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.text import counted
from speechtl.transfer import AllLayers, fit, save_tensors
from speechtl.transfer.fit import steps_of
from speechtl.transfer.network import EncoderInfo
from speechtl.versions import versions

ENCODER = "encoder.safetensors"
NETWORK = "network.safetensors"
ABOUT = "pretraining.json"
LOG = "log.csv"
CHECKPOINT = "checkpoint.safetensors"
ROOMS = 240
VALIDATED = 200  # utterances at most after every epoch


def pretrain(recipe: PretrainingRecipe, out: Path, cache: Path, *, fabric: Fabric, resume: bool = False) -> dict[str, Any] | None:
    """Pretrain what a recipe asks for and write it to `out`; return its description, and in all processes but the first None.

    Synthesised speech and rendered windows are kept in `cache`, where a later call finds them. Every process of `fabric`
    renders its share of the windows and reads its share of the batches; the first one writes.
    """
    check_folder(out)
    check_folder(cache)
    run = _Pretraining(recipe, out, cache, fabric, resume).run
    if not fabric.is_global_zero:  # the first process reports for all, and locks the folder
        return run()
    with alone(out), progress("pretraining"):
        return run()


class _Pretraining:
    """One pretraining: what a recipe asks for, where it is written, and the processes that share the work."""

    def __init__(self, recipe: PretrainingRecipe, out: Path, cache: Path, fabric: Fabric, resume: bool) -> None:
        self.recipe = recipe
        self.out = out
        self.cache = cache
        self.fabric = fabric
        self.resume = resume
        self.notes: list[str] = []
        self.started = time.monotonic()

    def run(self) -> dict[str, Any] | None:
        """Render, train and save; return the description, and in all processes but the first None."""
        recipe, fabric = self.recipe, self.fabric
        _check_out(self.out, self.resume)
        start = conv_ctc.load(recipe.encoder, recipe.start) if recipe.start else None  # this and the next fail before any work is done
        teach, teacher = load_teachers(recipe.tasks.teacher) if recipe.tasks.teacher_weight else (None, None)
        corpora = CorporaReader(recipe, self.cache, fabric, self.log).read()
        shards = self.render(corpora, teach)
        backgrounds = self.backgrounds(corpora)
        mixer = Mixer(backgrounds.load(), backgrounds.shares, recipe.backgrounds.probability, conv_ctc.FEATURES)
        batches = ShardBatches(shards, batch_size=recipe.train.batch_size, seed=recipe.train.seed, mixer=mixer)
        steps_of(batches, fabric.world_size)  # fails before anything is written to `out`
        self.bind(start.info.source if start else None, shards.folder.name, backgrounds.digest)
        rendered = time.monotonic()
        network = self.network(start, teacher, len(corpora.classes))
        if teacher:
            network.head.measure(shards.heard())
        history = self.fit(network, batches, corpora.validation)
        if not fabric.is_global_zero:
            fabric.barrier()  # the first process has still to save
            return None
        about = {
            "name": recipe.name,
            "recipe": recipe.model_dump(mode="json"),
            "data": _data(corpora),
            "notes": self.notes,
            "words": _word_result(network, corpora),
            "teacher_licence": teacher.licence if teacher else None,
            "start_licence": start.info.licence if start else None,
            "recognition": error_rates(network, corpora.validation, corpora.tested),
            "history": history,
            "versions": versions(),
            "seconds": {"render": round(rendered - self.started, 1), "all": round(time.monotonic() - self.started, 1)},
        }
        _save(self.out, about, network, [*(one.clip for one in corpora.taught), *corpora.background])
        fabric.barrier()
        return about

    def log(self, text: str) -> None:
        """Keep a note, and print it."""
        if self.fabric.is_global_zero:  # every process reads the same
            self.notes.append(text)
            say(text)

    @cached_property
    def rooms(self) -> list[Samples]:
        """Simulated rooms, for windows and for backgrounds."""
        return simulate_rooms(ROOMS, self.recipe.train.seed)

    def render(self, corpora: Corpora, teach: Teacher | None) -> Shards:
        """Render the windows that are not in the cache yet, each process its share."""
        train, data = self.recipe.train, self.recipe.data
        packs = [
            pack(corpora.taught, lambda one: 1 if one.clip.source == SYNTHESISED else data.repeats, train.seed, number)
            for number in range(train.packs)
        ]
        shards = Shards(self.cache / "windows", packs, train.copies, self.window_settings(corpora))
        samples = int(SECONDS * SAMPLE_RATE)
        heard = np.size(teach(np.zeros(samples, np.float32))) if teach else 0
        check_room(self.cache, shards.bytes_left(conv_ctc.FEATURES.frames(samples), conv_ctc.FEATURES.bands, heard))
        renderer = Renderer(Augmenter([], self.rooms), conv_ctc.FEATURES, teach, train.copies, say)
        with progress("rendering windows") as advance:
            workers = max(cores() // getattr(self.fabric.strategy, "num_processes", 1), 1)  # of those on this machine
            shards.render(renderer, advance, workers=workers, rank=self.fabric.global_rank, world=self.fabric.world_size)
        self.fabric.barrier()
        return shards

    def backgrounds(self, corpora: Corpora) -> Backgrounds:
        """Backgrounds of the kinds for which there are recordings, each process rendering its share."""
        wanted, seed, fabric = self.recipe.backgrounds, self.recipe.train.seed, self.fabric
        noises: list[Sound] = [*sounds_of(corpora.noises), *synthetic_noises(seed)]
        people = corpora.people(seed, self.log) if wanted.babble or wanted.talker else []
        music = with_synthetic_music(sounds_of(corpora.music), seed)
        sources = Sources(noises, music, people, self.rooms)
        shares = sources.kinds(wanted) if wanted.probability else {}
        if len(people) < 2 and wanted.probability and (wanted.babble or wanted.talker):
            self.log(f"Little talk in the background: of the training data, {counted(len(people), 'speaker')} can be heard there.")
        kinds = {"noise": corpora.noises, "music": corpora.music, "talk": [one for person in people for one in person]}
        settings = {kind: sorted(map(_part, several)) for kind, several in kinds.items()} | {"seed": seed}
        made = Backgrounds(sources, shares, self.cache / "backgrounds", settings)
        made.render(conv_ctc.FEATURES, rank=fabric.global_rank, world=fabric.world_size)
        fabric.barrier()
        return made

    def window_settings(self, corpora: Corpora) -> dict[str, Any]:
        """Everything but their number that decides what the windows sound like."""
        tasks = self.recipe.tasks
        parts = [(_content(one.clip), one.clip.offset, one.clip.duration, one.phones, one.word) for one in corpora.taught]
        return {
            "utterances": hashlib.sha256(repr(parts).encode()).hexdigest(),
            "seed": self.recipe.train.seed,
            "repeats": self.recipe.data.repeats,
            "teacher": tasks.teacher if tasks.teacher_weight else None,
        }

    def bind(self, start: str | None, windows: str, backgrounds: str) -> None:
        """Write what the run is made from, or, to resume, check that it is the same."""
        processes = self.fabric.world_size
        given = {"recipe": self.recipe.model_dump(mode="json"), "start": start, "processes": processes}
        given |= {"windows": windows, "backgrounds": backgrounds}
        if self.resume and not begun_with(self.out, given):
            raise RunError(
                f"{self.out} was started with another recipe, other data or another number of processes; "
                "go back to the old ones, or choose another --out."
            )
        if not self.resume and self.fabric.is_global_zero:
            write_json(self.out / GIVEN, given)

    def network(self, start: AudioEncoder | None, teacher: EncoderInfo | None, words: int) -> PretrainingNetwork:
        """The network to train: a new encoder, or the one to start from, with new output layers."""
        torch.manual_seed(self.recipe.train.seed)
        encoder = conv_ctc.build(self.recipe.encoder) if start is None else start
        head = PretrainingHead(encoder.info.embedding_size, teacher.embedding_size if teacher else 0, words)
        network = PretrainingNetwork(encoder, head)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def fit(self, network: PretrainingNetwork, batches: ShardBatches, validation: Sequence[Utterance]) -> list[dict[str, Any]]:
        """Train the network; return a record of every epoch."""
        tasks, checkpoint = self.recipe.tasks, self.out / CHECKPOINT
        random = np.random.default_rng([self.recipe.train.seed, 7])
        some = [validation[index] for index in random.permutation(len(validation))[:VALIDATED]]
        log = _EpochLog(self.out / LOG, network, some)
        if self.resume and not checkpoint.exists():
            say("No epoch had been saved yet: starting with the first.")
        with progress("pretraining, step") if self.fabric.is_global_zero else nullcontext() as advance:
            return fit(
                network,
                batches,
                PretrainingLoss(network, tasks.ctc, tasks.teacher_weight, tasks.words),
                AllLayers(rate_decay=1.0),
                self.recipe.train.fit_settings(),
                checkpoint=checkpoint,
                resume=self.resume,
                on_epoch=log,
                on_step=advance,
                fabric=self.fabric,
            )


class _EpochLog:
    """A row of log.csv for every epoch, with the seconds since the run began and the error rate on some utterances."""

    def __init__(self, path: Path, network: PretrainingNetwork, utterances: Sequence[Utterance]) -> None:
        self.path = path
        self.network = network
        self.utterances = utterances
        self.rows: list[Mapping[str, Any]] = [*read_rows(path)]
        try:
            before = max((float(row["seconds"]) for row in self.rows if int(row["epoch"]) > 0), default=0.0)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error!r}); start again without --resume.") from error
        self.started = time.monotonic() - before

    def __call__(self, epoch: int, record: dict[str, Any]) -> None:
        """Complete the record of an epoch and write it."""
        record["phone_error_rate"] = round(recognition(self.network, self.utterances).error_rate, 4) if self.utterances else None
        record["seconds"] = round(time.monotonic() - self.started, 1)
        rows = [*(row for row in self.rows if int(row["epoch"]) <= epoch), record]  # an epoch that was not saved comes again
        self.rows = rows
        write_rows(self.path, rows)
        say("epoch {epoch}: loss {loss:.3f}, phone error rate on validation speakers {phone_error_rate}".format(**record))


def _save(out: Path, about: dict[str, Any], network: PretrainingNetwork, heard: Sequence[Clip]) -> None:
    """Write the weights, the card and the description, and remove the files for resuming."""
    encoder, name = network.encoder, about["recipe"]["encoder"]
    hours = round(about["data"]["recorded"]["hours"] + about["data"]["synthesised"]["hours"], 2)
    conditions = {clip.license or "unknown" for clip in heard} | {about["teacher_licence"], about["start_licence"]} - {None}
    licence = all_of(sorted(conditions))
    save_tensors(out / NETWORK, network.state_dict(), {"encoder": name})
    save_tensors(out / ENCODER, encoder.state_dict(), {"encoder": name, "hours": hours, "licence": licence})
    write_card(out / "card.md", about, heard, conv_ctc.multiply_adds(encoder), encoder)
    write_json(out / ABOUT, about)
    for left in (CHECKPOINT, GIVEN):
        (out / left).unlink(missing_ok=True)


def _check_out(out: Path, resume: bool) -> None:
    if (out / ABOUT).exists():
        raise RunError(f"{out} is already finished; choose another --out. To go on from its weights, set start to its encoder.safetensors.")
    if resume and not (out / GIVEN).exists():
        raise RunError(f"There is nothing to resume: {out / GIVEN} does not exist. Leave out --resume.")
    if not resume and out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; choose another --out, or continue with --resume.")


def _part(recording: Recording) -> list[str | float]:
    return [_content(recording.clip), recording.clip.offset, recording.clip.duration]


def _content(clip: Clip) -> str:
    return clip.sha256 or (sha256_of(clip.path) if clip.path else clip.audio_filepath)


def _word_result(network: PretrainingNetwork, corpora: Corpora) -> dict[str, Any] | None:
    if not corpora.classes:
        return None
    result = word_accuracy(network, corpora.validation)
    return {"classes": len(corpora.classes), "validation": result.words, "accuracy": round(result.accuracy, 4)}


def _data(corpora: Corpora) -> dict[str, dict[str, Any]]:
    """Amounts of the recordings by what they were for."""
    spoken = {"recorded": corpora.recorded, "synthesised": corpora.synthesised, "validation": corpora.validation}
    clips = {name: ([one.clip for one in several], [one.clip for one in several if one.phones]) for name, several in spoken.items()}
    return {name: _amounts(*several) for name, several in (clips | {"background": (corpora.background, [])}).items()}


def _amounts(clips: Sequence[Clip], transcribed: Sequence[Clip]) -> dict[str, Any]:
    return {
        "recordings": len(clips),
        "hours": _hours(clips),
        "transcribed_hours": _hours(transcribed),
        "speakers": len({clip.person for clip in clips if clip.person}),
        "licences": dict(Counter(clip.license or "unknown" for clip in clips)),
    }


def _hours(clips: Sequence[Clip]) -> float:
    return round(sum(clip.duration for clip in clips) / 3600.0, 2)
