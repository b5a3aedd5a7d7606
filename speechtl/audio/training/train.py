"""Train a wake word: transfer, fit, calibrate, and leave a run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechtl.audio.augment import Augmenter, Sound, normalize_room, simulate_rooms
from speechtl.audio.data.licences import verdict
from speechtl.audio.data.recordings import Kept, RecordedSound, Recording
from speechtl.audio.encoders import RANDOM_INIT, data_input, load_encoder
from speechtl.audio.evaluation.scoring import ScoredStream, score_stream
from speechtl.audio.evaluation.streams import Condition, Passage, without_words, words_in_background
from speechtl.audio.network.heads import MEMBERS, divide, make_head
from speechtl.audio.network.loss import WakeWordLoss
from speechtl.audio.network.model import WakeWordNetwork, scorer_of
from speechtl.audio.recipe import Recipe
from speechtl.audio.run import save_run
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.audio.training.batches import FRONT_BATCH, RoundBatches
from speechtl.audio.training.calibrate import RATES, Copies, OperatingPoint, calibrate, fit_tail
from speechtl.audio.training.examples import ExampleMaker
from speechtl.audio.training.selection import FOLDS, HELD_OUT, Data, prepare
from speechtl.files import check_room, size_of
from speechtl.progress import Tally, progress, say
from speechtl.runs import bind, finish, training_folder
from speechtl.runtime.samples import Samples
from speechtl.runtime.trigger import TriggerSettings
from speechtl.text import counted
from speechtl.transfer import Batch, HeadOnly, Policy, at_one_rate, attach, check_inputs, fit, parse_policy
from speechtl.transfer.checkpoint import checkpoint_bytes
from speechtl.transfer.network import run_groups

ROOMS = 60
VALIDATION_ROOMS = 8
VALIDATION_SNR = 10.0  # dB
COPIES = Copies(words=2, others=3)  # words are validated on clean and in noise, everything else in rooms, too
CHECKPOINT = "checkpoint.safetensors"
NO_FOLD = -1  # held out from a member that learns from all
MEASURED = 400  # examples that tell the embeddings' mean and deviation


@dataclass
class Memory:
    """What one training leaves for the next ones: decoded recordings, and the negatives of its rounds behind the frozen front."""

    recordings: Kept = field(default_factory=dict)
    negatives: dict[str, dict[int, Batch]] = field(default_factory=dict)  # by all that decides what they sound like


def train(recipe: Recipe, out: Path, *, resume: bool = False, calibrated: bool = True, memory: Memory | None = None) -> dict[str, Any]:
    """Train what a recipe asks for and write the run to `out`, complete or not at all; return its description.

    Work in progress stands in `OUT.partial`, from where `resume` goes on after an interruption. A run that is not `calibrated` has no
    threshold of its own and no operating points; nobody is held out, unless a manifest marks whom, and no twin is trained for validation:
    for whoever finds the threshold on other recordings. `memory` spares several trainings what they have in common.
    """
    out = out.absolute()
    with training_folder(out, resume=resume) as work:
        return _train(recipe, out, work, resume, calibrated, memory)


@progress("training")
def _train(recipe: Recipe, out: Path, work: Path, resume: bool, calibrated: bool, memory: Memory | None) -> dict[str, Any]:
    started = time.monotonic()
    data = prepare(recipe, say, divided=calibrated, kept=memory.recordings if memory else None)
    _describe(data)
    rooms = _rooms(recipe, data)
    torch.manual_seed(recipe.train.seed)
    encoder = load_encoder(recipe.transfer.encoder)
    check_inputs(encoder, data_input(encoder))
    policy = parse_policy(recipe.transfer.policy)
    if recipe.transfer.encoder in RANDOM_INIT:
        policy = at_one_rate(policy)
    held_out = _held_out(policy, data, twins=calibrated) * len(encoder.parts)
    head = make_head(recipe.transfer.head, encoder.info.embedding_size, members=len(held_out))
    network = attach(encoder, divide(head, encoder.parts) if len(encoder.parts) > 1 else head, WakeWordNetwork)
    network.to_accelerator()
    recordings = [[clip.where, clip.sha256] for clip in data.clips()]
    given = {"recipe": recipe.model_dump(mode="json"), "encoder": encoder.info.source, "recordings": recordings}
    bind(work, given, resume=resume)
    history = _fit(network, policy, held_out, recipe, data, rooms, work, resume, memory, started)
    fitted = time.monotonic()
    spent = sum(record["seconds"] for record in history)  # also before an interruption
    trigger, points = _uncalibrated(recipe), list[OperatingPoint]()
    if calibrated:
        say("Calibrating the threshold on people that the network, or its twin that listens, has not learned from.")
        network.to_accelerator()
        trigger, points = _calibrate(network, held_out, recipe, data)
    network.cpu()
    network.head = network.head.only(_shipped(held_out))
    about = {
        "name": recipe.name,
        "phrases": recipe.spoken,
        "recipe": recipe.model_dump(mode="json"),
        "encoder": encoder.info.to_json(),
        "policy": repr(policy),
        "detector": trigger.to_json(),
        "operating_points": [point.to_json() for point in points],
        "data": _provenance(data),
        "licence": verdict([clip.license for clip in data.clips()], {"the encoder is": encoder.info.licence}).to_json(),
        "history": history,
        "seconds": {"fit": round(spent, 1), "all": round(spent + time.monotonic() - fitted, 1)},
    }
    finish(work, out, lambda folder: save_run(folder, network, about))
    return about


def _describe(data: Data) -> None:
    minutes = [sum(recording.seconds for recording in kind) / 60.0 for kind in (data.positives, data.negatives, data.noise)]
    people = len({recording.clip.person for recording in data.positives if recording.clip.person})
    say(
        f"{counted(len(data.positives), 'positive')} of {counted(people, 'speaker')} ({minutes[0]:.1f} min), "
        f"{minutes[1]:.1f} min of negatives, "
        f"{minutes[2]:.1f} min of noise."
    )


def _rooms(recipe: Recipe, data: Data) -> list[Samples]:
    if recipe.data.rooms == "simulated":
        with progress("simulating rooms"):
            return simulate_rooms(ROOMS, recipe.train.seed)
    return [normalize_room(recording.samples()) for recording in data.rooms]


def _fit(
    network: WakeWordNetwork,
    policy: Policy,
    held_out: list[int],
    recipe: Recipe,
    data: Data,
    rooms: list[Samples],
    work: Path,
    resume: bool,
    memory: Memory | None,
    started: float,
) -> list[dict[str, Any]]:
    settings = recipe.train.fit_settings()
    features = network.encoder.features
    noises = [*_sounds(data.noise), *synthetic_noises(recipe.train.seed)]
    maker = ExampleMaker(
        data.positives,
        data.negatives,
        Augmenter(noises, rooms),
        features,
        network.context_seconds,
        repeats=recipe.train.repeats,
        seed=recipe.train.seed,
    )
    front = policy.frozen_front(network, settings.epochs)
    batches = RoundBatches(
        maker,
        network,
        front,
        epochs=settings.epochs,
        steps=recipe.train.steps,
        batch_size=recipe.train.batch_size,
        folder=work / "rounds",
        negatives=memory.negatives.setdefault(_negatives_key(recipe, data, network, front), {}) if memory else None,
    )
    loss = WakeWordLoss(network.step_times(features.frames(maker.length)), held_out)
    check_room(work, batches.bytes_expected() + checkpoint_bytes(network) - size_of(work))
    say("Making the examples of the first epoch, each in a copy of noise, room and speed.")
    before = started

    def tell(epoch: int, record: dict[str, Any]) -> None:
        nonlocal before
        now = time.monotonic()
        record["seconds"], before = now - before, now

    with batches, progress("training, step") as advance:
        policy.apply(network)
        _measure_embeddings(network, batches, front)
        return fit(
            network,
            batches,
            loss,
            policy,
            settings,
            checkpoint=work / CHECKPOINT,
            resume=resume,
            on_epoch=tell,
            on_step=advance,
        )


def _negatives_key(recipe: Recipe, data: Data, network: WakeWordNetwork, front: int) -> str:
    """Return what differs whenever two trainings may not share the negatives of their rounds."""
    kinds = (data.negatives, data.noise)
    sounds = [[(recording.clip.where, recording.clip.sha256, recording.fold) for recording in kind] for kind in kinds]
    heard_by = recipe.transfer.encoder if front else network.encoder.features
    return repr((heard_by, front, network.context_seconds, recipe.train.seed, recipe.data.rooms, sounds))


@torch.no_grad()
def _measure_embeddings(network: WakeWordNetwork, batches: RoundBatches, front: int) -> None:
    """Let the head measure embeddings of groups that run as in the first epoch: while they learn, normalisation goes by the batch."""
    inputs = batches.round(0)[0]
    spread = inputs[torch.linspace(0, len(inputs) - 1, min(MEASURED, len(inputs))).long()].float()
    groups = [group for _, group in network.groups()[front:-1]]
    network.head.standardize.measure(torch.cat([run_groups(groups, part.to(network.device)) for part in torch.split(spread, FRONT_BATCH)]))


def _held_out(policy: Policy, data: Data, *, twins: bool = True) -> list[int]:
    """Return for each member of the ensemble the fold that it does not learn from; without `twins` for the shipped members alone.

    With a frozen encoder, for every fold a twin of the head learns beside it from all other folds, so that all
    recordings can be validated on, while the head that is shipped learns from all (cross-validation). An encoder that
    learns would carry over what it heard, so then one fold is held out from everything.
    """
    if data.marked or (twins and not isinstance(policy, HeadOnly)):
        return [HELD_OUT] * MEMBERS
    return [fold for fold in (*(range(FOLDS) if twins else ()), NO_FOLD) for _ in range(MEMBERS)]


def _shipped(held_out: list[int]) -> list[int]:
    """Return the members of the head that is shipped."""
    return [member for member, fold in enumerate(held_out) if fold == NO_FOLD] or list(range(len(held_out)))


def _calibrate(network: WakeWordNetwork, held_out: list[int], recipe: Recipe, data: Data) -> tuple[TriggerSettings, list[OperatingPoint]]:
    """Shift the scores so that 0.5 is near the wanted operating point; return the trigger there and all operating points."""
    wanted = recipe.calibrate.false_accepts_per_hour
    trigger = _uncalibrated(recipe)
    positives, negatives = _validation_streams(network, held_out, data, recipe.train.seed)
    shift = fit_tail(negatives, trigger.smoothing).logit_for(wanted)
    network.head.shift(shift)
    _shift_scores(shift, [*positives, *negatives])
    points = calibrate(positives, negatives, trigger, sorted({*RATES, wanted}), COPIES)
    threshold = next(point.threshold for point in points if point.false_accepts_per_hour == wanted)
    return TriggerSettings(threshold, trigger.smoothing, trigger.refractory), points


def _uncalibrated(recipe: Recipe) -> TriggerSettings:
    return TriggerSettings(0.5, recipe.calibrate.smoothing, recipe.calibrate.refractory)


def _validation_streams(
    network: WakeWordNetwork, held_out: list[int], data: Data, seed: int
) -> tuple[list[ScoredStream], list[ScoredStream]]:
    """Play every held-out fold to the members that have not learned from it: words, and everything else, in several conditions."""
    noises = [*_sounds(data.validation_noise), *synthetic_noises(seed + 1)]
    rooms = simulate_rooms(VALIDATION_ROOMS, seed + 1_000_000)
    conditions = [Condition(), Condition("noise", VALIDATION_SNR, noises), Condition("rooms", rooms=rooms)]
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))  # a thread for each stream: its steps are short
    folds = sorted(set(held_out) - {NO_FOLD})
    played = ((data.positives, COPIES.words), (data.negatives, COPIES.others))
    total = sum(copies * sum(recording.fold in folds for recording in kind) for kind, copies in played)
    positives, negatives = [], []
    with progress("calibrating, recording") as advance:
        tally = Tally(advance, total)
        try:
            for fold in folds:
                head = network.head.only([member for member, out in enumerate(held_out) if out == fold])
                listening = WakeWordNetwork(network.encoder, head)
                words = [recording for recording in data.positives if recording.fold == fold]
                others = [recording for recording in data.negatives if recording.fold == fold]
                for one in conditions[: COPIES.words]:
                    positives.append(pool.submit(_score, listening, tally(words_in_background(words, one, seed))))
                for one in conditions[: COPIES.others]:
                    negatives.append(pool.submit(_score, listening, tally(without_words(others, one, seed))))
            return [stream.result() for stream in positives], [stream.result() for stream in negatives]
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)


def _score(network: WakeWordNetwork, passages: Iterable[Passage]) -> ScoredStream:
    return score_stream(scorer_of(network), passages)


def _shift_scores(shift: float, streams: Iterable[ScoredStream]) -> None:
    for stream in streams:
        scores = np.clip(stream.scores.astype(np.float64), 1e-12, 1.0 - 1e-7)
        stream.scores = (1.0 / (1.0 + (1.0 - scores) / scores * np.exp(shift))).astype(np.float32)


def _sounds(recordings: Sequence[Recording]) -> list[Sound]:
    return [RecordedSound(recording) for recording in recordings]


def _provenance(data: Data) -> dict[str, Any]:
    noise = [*data.noise, *data.validation_noise]
    kinds = {"positives": data.positives, "negatives": data.negatives, "noise": noise, "rooms": data.rooms}
    amounts = {
        name: {
            "clips": len(recordings),
            "minutes": round(sum(recording.seconds for recording in recordings) / 60.0, 2),
            "speakers": len({recording.clip.person for recording in recordings if recording.clip.person}),
        }
        for name, recordings in kinds.items()
    }
    clips = data.clips()
    return {
        **amounts,
        "speakers_apart": data.apart,
        "licences": sorted({clip.license or "unknown" for clip in clips}),
        "sources": sorted({(clip.source or "own recordings").split("@")[0] for clip in clips}),
        "recordings": " ".join(sorted({clip.short_hash for clip in clips if clip.short_hash})),  # a list would be twice as long
    }
