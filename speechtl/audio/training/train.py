"""Train a wake word: transfer, fit, calibrate, and save the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any

import torch

from speechtl.audio.augment import Augmenter, Sound, normalize_room, simulate_rooms
from speechtl.audio.data.licences import verdict
from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.recordings import sounds_of
from speechtl.audio.encoders import RANDOM_INIT, data_input, load_encoder
from speechtl.audio.network.heads import divide, make_head
from speechtl.audio.network.loss import WakeWordLoss
from speechtl.audio.network.model import WakeWordNetwork
from speechtl.audio.recipe import Recipe
from speechtl.audio.run import save_run
from speechtl.audio.spelling.material import completed
from speechtl.audio.spelling.negatives import manifests
from speechtl.audio.synthetic_music import with_synthetic_music
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.audio.training.batches import FROZEN_BATCH, RoundBatches, Search
from speechtl.audio.training.calibrate import RATES, OperatingPoint, calibrate, fit_sensitivity, fit_tail, median_delay
from speechtl.audio.training.examples import ExampleMaker
from speechtl.audio.training.hours.embeddings import Embeddings
from speechtl.audio.training.hours.search import Ear, Mined, search
from speechtl.audio.training.mining import Hard, hard_moments, listeners
from speechtl.audio.training.rounds import Kept
from speechtl.audio.training.selection import Data, prepare
from speechtl.audio.training.validation import held_out_folds, shift_scores, shipped_members, validate
from speechtl.files import check_room, size_of
from speechtl.progress import progress, say
from speechtl.runs import bind, finish, training_folder
from speechtl.runtime.features import Features
from speechtl.runtime.samples import Samples
from speechtl.runtime.trigger import TriggerSettings
from speechtl.text import counted
from speechtl.transfer import at_one_rate, attach, check_inputs, fit, parse_policy
from speechtl.transfer.checkpoint import checkpoint_bytes
from speechtl.transfer.network import run_groups

ROOMS = 240
CHECKPOINT = "checkpoint.safetensors"
MEASURED = 400  # examples from which the embeddings' mean and deviation are computed


def train(recipe: Recipe, out: Path, *, resume: bool = False) -> dict[str, Any]:
    """Train a recipe and write the run to `out`, complete or not at all; return its description.

    Work in progress is kept in `OUT.partial`, from where `resume` continues after an interruption.
    """
    out = out.absolute()
    with training_folder(out, resume=resume) as work, progress("training"):
        return Training(recipe, work).run(out, resume=resume)


class Training:
    """The training of a recipe: its recordings, its network, and the folder of the work in progress.

    `held_out` is the fold of recordings that each member of the head's ensemble does not learn from.
    """

    def __init__(self, recipe: Recipe, work: Path) -> None:
        self.started = time.monotonic()
        self.recipe = recipe = completed(recipe)
        self.work = work
        self.data = prepare(recipe, say)
        _describe(self.data)
        self.rooms = rooms_of(recipe, self.data)
        torch.manual_seed(recipe.train.seed)
        encoder = load_encoder(recipe.transfer.encoder)
        check_inputs(encoder, data_input(encoder))
        policy = parse_policy(recipe.transfer.policy)
        self.policy = at_one_rate(policy) if recipe.transfer.encoder in RANDOM_INIT else policy
        self.held_out = held_out_folds(self.policy, self.data, validated=recipe.calibrate.enabled) * len(encoder.parts)
        head = make_head(recipe.transfer.head, encoder.info.embedding_size, members=len(self.held_out))
        self.network = attach(encoder, divide(head, encoder.parts) if len(encoder.parts) > 1 else head, WakeWordNetwork)
        self.network.to_accelerator()
        self.mined: Mined | None = None

    def run(self, out: Path, *, resume: bool = False) -> dict[str, Any]:
        """Fit, calibrate and save the run; return its description."""
        recordings = [[clip.where, clip.sha256] for clip in self.data.clips()]
        given = {"recipe": self.recipe.model_dump(mode="json"), "encoder": self.network.encoder.info.source, "recordings": recordings}
        given |= {"mine": self.data.mine.key} if self.data.mine else {}
        bind(self.work, given, resume=resume)
        history = self.fit(resume=resume)
        fitted = time.monotonic()
        calibrated = self.calibrate() if self.recipe.calibrate.enabled else self._describe_detector(self._trigger(), [])
        self.network.cpu()
        self.network.head = self.network.head.only(shipped_members(self.held_out))
        spent = sum(record["seconds"] for record in history)  # also before an interruption
        seconds = {"fit": round(spent, 1), "all": round(spent + time.monotonic() - fitted, 1)}
        about = self._about() | calibrated | {"history": history, "seconds": seconds}
        finish(self.work, out, lambda folder: save_run(folder, self.network, about))
        return about

    def fit(self, *, resume: bool = False) -> list[dict[str, Any]]:
        """Train the network; return a record for each epoch."""
        batches = self.batches()
        times = self.network.step_times(self.network.encoder.features.frames(batches.maker.length))
        check_room(self.work, batches.bytes_expected() + checkpoint_bytes(self.network) - size_of(self.work))
        say("Rendering the examples of the first epoch, each with its own noise, room and speed.")
        before = self.started

        def time_epoch(_epoch: int, record: dict[str, Any]) -> None:
            nonlocal before
            now = time.monotonic()
            record["seconds"], before = now - before, now

        with batches, progress("training, step") as advance:
            self.policy.apply(self.network)
            _measure_embeddings(self.network, batches)
            history = fit(
                self.network,
                batches,
                WakeWordLoss(times, self.held_out),
                self.policy,
                self.recipe.train.fit_settings(),
                checkpoint=self.work / CHECKPOINT,
                resume=resume,
                on_epoch=time_epoch,
                on_step=advance,
            )
            self.mined = batches.hard().mined if self.data.mine else None
            return history

    def batches(self) -> RoundBatches:
        """The batches of all epochs."""
        settings = self.recipe.train
        maker = example_maker(self.recipe, self.data, self.rooms, self.network.encoder.features, self.network.context_seconds)
        frozen = self.policy.frozen_groups(self.network, settings.epochs)
        return RoundBatches(
            maker, self.network, frozen, settings, folder=self.work / "rounds", mine=partial(self._mine, frozen), kept=self._kept(frozen)
        )

    def _kept(self, frozen: int) -> Kept | None:
        """The place of outputs of frozen layers for default negatives, which other words are trained against, too."""
        recorded = [recording for recording in self.data.negatives if not recording.synthesised]
        default = manifests()["negatives"]
        if not frozen or not all(recording.clip.manifest in default for recording in recorded) or self.recipe.data.rooms != "simulated":
            return None
        settings = [self.recipe.train.seed, ROOMS, self.network.context_seconds, self.network.encoder.features.to_json()]
        return Kept(self.network, frozen, [recorded, self.data.noise, self.data.music], settings)

    def _mine(self, frozen: int) -> Search:
        """The search for hard negatives with the network as it is now."""
        negatives, mine = self.data.negatives, self.data.mine
        listening = listeners(self.network, self.held_out, negatives)
        shipped = shipped_members(self.held_out)
        head = self.network.head.only(shipped).to(self.network.device)

        def find(stopping: Event) -> Hard:
            moments = hard_moments(listening, negatives)
            if mine is None:
                return Hard(moments)
            encoder = next(iter(listening.values())).encoder
            embeddings = Embeddings(encoder, frozen=frozen == len(self.network.groups()) - 1)
            return Hard(moments, search(mine, Ear(embeddings, head), self.held_out[shipped[0]], say, stopping))

        return find

    def calibrate(self) -> dict[str, Any]:
        """Shift the scores so that 0.5 is near the wanted operating point; describe the detector there, and at other thresholds."""
        say("Calibrating the threshold on held-out recordings.")
        self.network.to_accelerator()
        wanted = self.recipe.calibrate.false_accepts_per_hour
        trigger = self._trigger()
        heard = validate(self.network, self.held_out, self.data, self.recipe.train.seed)
        shift = fit_tail(heard.others, trigger.smoothing).logit_for(wanted)
        self.network.head.shift(shift)
        shift_scores(shift, [*heard.words, *heard.negatives])
        points = calibrate(heard.words, heard.others, trigger, sorted({*RATES, wanted}), heard.copies)
        threshold = next(point.threshold for point in points if point.false_accepts_per_hour == wanted)
        told = fit_sensitivity(heard.words, heard.others, trigger, heard.copies).to_json()
        delay = median_delay(heard.words, self._trigger(threshold))
        return self._describe_detector(self._trigger(threshold), points, delay) | {"sensitivity": told}

    def _describe_detector(self, trigger: TriggerSettings, points: list[OperatingPoint], delay: float = 0.0) -> dict[str, Any]:
        """The part of a run's description that calibration finds; `sensitivity` is added to it."""
        lengths = [recording.word[1] - recording.word[0] for recording in self.data.positives]
        return {
            "detector": trigger.to_json(),
            "operating_points": [point.to_json() for point in points],
            "sensitivity": None,
            "timing": {"length": round(median(lengths), 3), "delay": round(delay, 3)},
        }

    def _trigger(self, threshold: float = 0.5) -> TriggerSettings:
        return TriggerSettings(threshold, self.recipe.calibrate.smoothing, self.recipe.calibrate.refractory)

    def _about(self) -> dict[str, Any]:
        encoder = self.network.encoder.info
        clips = [*self.data.clips(), *(self.mined.clips if self.mined else ())]
        return {
            "name": self.recipe.name,
            "phrases": self.recipe.spoken,
            "recipe": self.recipe.model_dump(mode="json"),
            "encoder": encoder.to_json(),
            "policy": repr(self.policy),
            "data": _provenance(self.data, clips) | ({"mined": self.mined.about()} if self.mined else {}),
            "licence": verdict([clip.license for clip in clips], {"the encoder is": encoder.licence}).to_json(),
        }


def _describe(data: Data) -> None:
    kinds = (data.positives, data.negatives, data.noise, data.music)
    minutes = [sum(recording.seconds for recording in kind) / 60.0 for kind in kinds]
    people = len({recording.clip.person for recording in data.positives if recording.clip.person})
    say(
        f"{counted(len(data.positives), 'positive')} of {counted(people, 'speaker')} ({minutes[0]:.1f} min), "
        f"{minutes[1]:.1f} min of negatives, "
        f"{minutes[2]:.1f} min of noise, "
        f"{minutes[3]:.1f} min of music."
    )


def example_maker(recipe: Recipe, data: Data, rooms: list[Samples], features: Features, context_seconds: float) -> ExampleMaker:
    """What makes the examples of a recipe, for a network with these features and that context."""
    seed = recipe.train.seed
    noises: list[Sound] = [*sounds_of(data.noise), *synthetic_noises(seed)]
    return ExampleMaker(
        data.positives,
        data.negatives,
        Augmenter(noises, rooms),
        features,
        context_seconds,
        music=with_synthetic_music(sounds_of(data.music), seed),
        repeats=recipe.train.repeats,
        seed=seed,
    )


def rooms_of(recipe: Recipe, data: Data) -> list[Samples]:
    """The rooms of a recipe, simulated or recorded."""
    if recipe.data.rooms == "simulated":
        with progress("simulating rooms"):
            return simulate_rooms(ROOMS, recipe.train.seed)
    return [normalize_room(recording.samples()) for recording in data.rooms]


@torch.no_grad()
def _measure_embeddings(network: WakeWordNetwork, batches: RoundBatches) -> None:
    """Measure the embeddings with groups in the mode of the first epoch: groups that learn normalise by the batch."""
    inputs = batches.round(0)[0]
    spread = inputs[torch.linspace(0, len(inputs) - 1, min(MEASURED, len(inputs))).long()].float()
    groups = [group for _, group in network.groups()[batches.frozen_groups : -1]]
    network.head.standardize.measure(torch.cat([run_groups(groups, part.to(network.device)) for part in torch.split(spread, FROZEN_BATCH)]))


def _provenance(data: Data, clips: Sequence[Clip]) -> dict[str, Any]:
    noise, music = [*data.noise, *data.validation_noise], [*data.music, *data.validation_music]
    kinds = {"positives": data.positives, "negatives": data.negatives, "noise": noise, "music": music, "rooms": data.rooms}
    amounts = {
        name: {
            "clips": len(recordings),
            "minutes": round(sum(recording.seconds for recording in recordings) / 60.0, 2),
            "speakers": len({recording.clip.person for recording in recordings if recording.clip.person}),
        }
        for name, recordings in kinds.items()
    }
    return {
        **amounts,
        "speakers_apart": data.apart,
        "licences": sorted({clip.license or "unknown" for clip in clips}),
        "sources": sorted({(clip.source or "own recordings").split("@")[0] for clip in clips}),
        "synthesised": sum(recording.synthesised for recording in data.positives),
        "recordings": " ".join(sorted({clip.short_hash for clip in clips if clip.short_hash})),  # a list would be twice as long
    }
