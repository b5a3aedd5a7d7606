"""Pretrain an encoder: recordings and synthesised speech in, weights and a model card out."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from speechtl.audio.augment import Augmenter, Sound, simulate_rooms
from speechtl.audio.data.licences import all_of
from speechtl.audio.data.manifest import Clip, read_manifests
from speechtl.audio.data.recordings import RecordedSound, Recording, heard_only, load_recordings
from speechtl.audio.encoders import conv_ctc
from speechtl.audio.pretraining.card import write_card
from speechtl.audio.pretraining.evaluate import Recognition, WordAccuracy, recognition, word_accuracy
from speechtl.audio.pretraining.network import PretrainingHead, PretrainingLoss, PretrainingNetwork
from speechtl.audio.pretraining.phones import transcribe
from speechtl.audio.pretraining.recipe import PretrainingRecipe
from speechtl.audio.pretraining.shards import ShardBatches, Shards, cores
from speechtl.audio.pretraining.teachers import load_teacher
from speechtl.audio.pretraining.utterances import OFTEN, Note, Utterance, read_tested, read_utterances, with_words, word_classes
from speechtl.audio.pretraining.windows import LONGEST, SECONDS, Renderer, Teacher, pack
from speechtl.audio.synthesis.base import SYNTHESISED
from speechtl.audio.synthesis.corpus import make_corpus
from speechtl.audio.synthesis.corpus_plan import draw_plan
from speechtl.audio.synthesis.sentences import contains_phrase, plain
from speechtl.audio.synthesis.speak import missing_synthesizers
from speechtl.audio.synthesis.texts import usable_words
from speechtl.audio.synthetic_noise import synthetic_noises
from speechtl.errors import RecipeError, RunError
from speechtl.files import check_folder, check_room, read_rows, sha256_of, write_json, write_rows
from speechtl.progress import progress, say
from speechtl.runs import GIVEN, alone, begun_with
from speechtl.runtime.samples import SAMPLE_RATE
from speechtl.text import counted
from speechtl.transfer import AllLayers, fit, save_tensors
from speechtl.transfer.fit import steps_of
from speechtl.versions import versions

ENCODER = "encoder.safetensors"
NETWORK = "network.safetensors"
ABOUT = "pretraining.json"
LOG = "log.csv"
CHECKPOINT = "checkpoint.safetensors"
ROOMS = 60
WORD_PHONES = (4, 11)  # of the words to be told apart: shorter ones are too much alike
GROWN_UP = 18  # years
VALIDATED = 200  # utterances at most after every epoch


def pretrain(recipe: PretrainingRecipe, out: Path, cache: Path, *, fabric: Fabric, resume: bool = False) -> dict[str, Any] | None:
    """Pretrain what a recipe asks for and write it to `out`; return its description, and in all processes but the first None.

    Synthesised speech and rendered windows are kept in `cache`, where a later call finds them. Every process of `fabric`
    renders its share of the windows and reads its share of the batches; the first one writes.
    """
    check_folder(out)
    check_folder(cache)
    if not fabric.is_global_zero:  # the first process tells of all, and keeps others out
        return _pretrain(recipe, out, cache, fabric, resume)
    with alone(out), progress("pretraining"):
        return _pretrain(recipe, out, cache, fabric, resume)


def _pretrain(recipe: PretrainingRecipe, out: Path, cache: Path, fabric: Fabric, resume: bool) -> dict[str, Any] | None:
    started = time.monotonic()
    notes: list[str] = []

    def tell(note: str) -> None:
        if fabric.is_global_zero:  # every process reads the same
            notes.append(note)
            say(note)

    _check_out(out, resume)
    given = conv_ctc.load(recipe.encoder, recipe.start) if recipe.start else None  # this and the next complain before any work is done
    teacher, taught_by = load_teacher(recipe.tasks.teacher) if recipe.tasks.teacher_weight else (None, None)
    tested = read_tested(recipe.data.test, longest=LONGEST, note=tell) if recipe.data.test else []
    noises = _noises(recipe, tell)
    recordings, validation = _recordings(recipe, tested, tell)
    if (recipe.speech.hours or recipe.words.hours) and (absent := missing_synthesizers()):
        tell(f"Synthesised without {' and '.join(absent)}, which this machine does not have.")
    spoken = [*_synthesised(recipe, cache, fabric, tell), *_synthesised_words(recipe, cache, fabric, tell)]
    words = word_classes([*recordings, *spoken]) if recipe.tasks.words else {}
    if recipe.tasks.words and not words:
        raise RecipeError(f"tasks.words is {recipe.tasks.words:g}, but no word is said alone {OFTEN} times: give words.hours.")
    shards = _render(with_words([*recordings, *spoken], words), teacher, noises, recipe, cache, fabric)
    batches = ShardBatches(shards, batch_size=recipe.train.batch_size, seed=recipe.train.seed)
    steps_of(batches, fabric.world_size)  # complains before anything is noted in `out`
    start = given.info.source if given else None
    made_from = {"recipe": recipe.model_dump(mode="json"), "start": start, "windows": shards.folder.name, "processes": fabric.world_size}
    _bind(out, made_from, resume, fabric)
    validation = with_words(validation, words)
    rendered = time.monotonic()
    torch.manual_seed(recipe.train.seed)
    encoder = conv_ctc.build(recipe.encoder) if given is None else given
    network = PretrainingNetwork(
        encoder, PretrainingHead(encoder.info.embedding_size, taught_by.embedding_size if taught_by else 0, len(words))
    )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if taught_by:
        network.head.measure(shards.heard())
    history = _fit(network, batches, recipe, validation, out, fabric, resume)
    if not fabric.is_global_zero:
        fabric.barrier()  # the first process has still to save
        return None
    about: dict[str, Any] = {
        "name": recipe.name,
        "recipe": recipe.model_dump(mode="json"),
        "data": {"recorded": _amounts(recordings), "synthesised": _amounts(spoken), "validation": _amounts(validation)},
        "notes": notes,
        "words": {"classes": len(words), **_told(word_accuracy(network, validation))} if words else None,
        "teacher_licence": taught_by.licence if taught_by else None,
        "start_licence": given.info.licence if given else None,
        "recognition": _recognition(network, validation, tested),
        "history": history,
        "versions": versions(),
        "seconds": {"render": round(rendered - started, 1), "all": round(time.monotonic() - started, 1)},
    }
    _save(out, about, network, [*recordings, *spoken])
    fabric.barrier()
    return about


def _save(out: Path, about: dict[str, Any], network: PretrainingNetwork, heard: Sequence[Utterance]) -> None:
    """Write the weights, the card and the description, and remove what only served to go on."""
    encoder, name = network.encoder, about["recipe"]["encoder"]
    hours = round(about["data"]["recorded"]["hours"] + about["data"]["synthesised"]["hours"], 2)
    conditions = {one.clip.license or "unknown" for one in heard} | {about["teacher_licence"], about["start_licence"]} - {None}
    licence = all_of(sorted(conditions))
    save_tensors(out / NETWORK, network.state_dict(), {"encoder": name})
    save_tensors(out / ENCODER, encoder.state_dict(), {"encoder": name, "hours": hours, "licence": licence})
    write_card(out / "card.md", about, heard, conv_ctc.multiply_adds(encoder), encoder)
    write_json(out / ABOUT, about)
    for left in (CHECKPOINT, GIVEN):
        (out / left).unlink(missing_ok=True)


def _check_out(out: Path, resume: bool) -> None:
    if (out / ABOUT).exists():
        raise RunError(f"{out} is already finished; choose another --out. To train its weights further, give them as start.")
    if resume and not (out / GIVEN).exists():
        raise RunError(f"There is nothing to resume: {out / GIVEN} does not exist. Leave out --resume.")
    if not resume and out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; choose another --out, or go on with --resume.")


def _bind(out: Path, given: dict[str, Any], resume: bool, fabric: Fabric) -> None:
    """Note what a run is made from, or, to go on, see that it is the same."""
    if resume and not begun_with(out, given):
        raise RunError(
            f"{out} was begun with another recipe, other data or another number of processes; "
            "go back to the old ones, or choose another --out."
        )
    if not resume and fabric.is_global_zero:
        write_json(out / GIVEN, given)


def _recordings(recipe: PretrainingRecipe, tested: Sequence[Utterance], note: Note) -> tuple[list[Utterance], list[Utterance]]:
    """Return what is trained on and, of other speakers, what is validated on."""
    data = recipe.data
    if not data.transcribed and not data.unlabelled:
        return [], []
    found = read_utterances(data.transcribed, data.unlabelled, longest=LONGEST, note=note, tested=tested)
    usable = [one for one in found if not (one.clip.text and contains_phrase(one.clip.text, data.without))]
    if len(usable) < len(found):
        note(f"Left out {counted(len(found) - len(usable), 'recording')} in which one of these is said: {', '.join(data.without)}.")
    kept_out = _validated(usable, data.validation, recipe.train.seed)
    learned = [one for one, out in zip(usable, kept_out, strict=True) if not out]
    validation = [one for one, out in zip(usable, kept_out, strict=True) if out and one.phones]
    if not validation:
        note("There is no error rate on validation speakers: too few people of the manifests have transcripts, so nobody is held out.")
    if mute := sum(kept_out) - len(validation):
        note(f"Left out {mute} recordings without a transcript, of people who are held out for validation.")
    return learned, validation


def _validated(utterances: Sequence[Utterance], share: float, seed: int) -> list[bool]:
    """Say of each utterance whether it is held out: with its speaker, as the manifests say by split "validation", else by lot."""
    marked = [one.clip.split == "validation" for one in utterances]
    if any(marked):
        held_out = {one.clip.person for one, is_marked in zip(utterances, marked, strict=True) if is_marked} - {None}
        return [is_marked or one.clip.person in held_out for one, is_marked in zip(utterances, marked, strict=True)]
    people = sorted({one.clip.person for one in utterances if one.phones and one.clip.person})
    order = np.random.default_rng([seed, 6]).permutation(len(people))
    drawn = {people[index] for index in order[: round(share * len(people))]}
    return [one.clip.person in drawn for one in utterances]


def _synthesised(recipe: PretrainingRecipe, cache: Path, fabric: Fabric, note: Note) -> list[Utterance]:
    return _spoken(recipe.speech.hours, recipe.speech.seed, _vocabulary(recipe), recipe, cache, fabric, note)


def _synthesised_words(recipe: PretrainingRecipe, cache: Path, fabric: Fabric, note: Note) -> list[Utterance]:
    if not recipe.words.hours:
        return []
    usable = usable_words(_vocabulary(recipe), recipe.data.without)
    by_sound = {
        tuple(phones): word
        for word, phones in zip(usable, transcribe(usable), strict=True)
        if phones and WORD_PHONES[0] <= len(phones) <= WORD_PHONES[1]
    }
    distinct = sorted(by_sound.values())
    drawn = np.random.default_rng(recipe.words.seed).permutation(len(distinct))[: recipe.words.vocabulary]
    words = sorted(distinct[index] for index in drawn)
    return _spoken(recipe.words.hours, recipe.words.seed, words, recipe, cache, fabric, note, alone=True)


def _spoken(
    hours: float,
    seed: int,
    words: Sequence[str],
    recipe: PretrainingRecipe,
    cache: Path,
    fabric: Fabric,
    note: Note,
    *,
    alone: bool = False,
) -> list[Utterance]:
    """Return so many hours of synthesised speech; what is not in the cache is made."""
    if not hours:
        return []
    plan = draw_plan(seed, words, recipe.data.without, alone=alone).settings()  # another synthesiser makes another corpus
    folder = cache / "speech" / hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
    manifest = folder / "manifest.jsonl"
    if fabric.is_global_zero:
        skipped: list[str] = []
        with progress("synthesising words" if alone else "synthesising speech") as advance:
            manifest = make_corpus(
                folder,
                hours,
                seed=seed,
                words=words,
                without=recipe.data.without,
                alone=alone,
                workers=cores(),
                on_skip=skipped.append,
                progress=advance,
            )
        if skipped:
            note(f"Left out {len(skipped)} utterances that could not be synthesised; the first: {skipped[0]}")
    fabric.barrier()
    spoken = read_utterances([manifest], [], longest=LONGEST, note=note)
    up_to = np.cumsum([one.clip.duration for one in spoken]) / 3600.0
    return spoken[: int(np.searchsorted(up_to, hours)) + 1]


def _vocabulary(recipe: PretrainingRecipe) -> list[str]:
    """Return the words of all transcripts but those of tests."""
    clips = read_manifests(recipe.data.transcribed) if recipe.data.transcribed else []
    return sorted({word for clip in clips if clip.split != "test" and clip.text for word in plain(clip.text).split()})


def _render(
    utterances: Sequence[Utterance],
    teacher: Teacher | None,
    noises: Sequence[Recording],
    recipe: PretrainingRecipe,
    cache: Path,
    fabric: Fabric,
) -> Shards:
    train, tasks = recipe.train, recipe.tasks
    packs = [
        pack(utterances, lambda one: 1 if one.clip.source == SYNTHESISED else recipe.data.repeats, train.seed, number)
        for number in range(train.packs)
    ]
    settings = {
        "utterances": hashlib.sha256(
            repr([(_content(one.clip), one.clip.offset, one.clip.duration, one.phones, one.word) for one in utterances]).encode()
        ).hexdigest(),
        "noise": sorted([_content(noise.clip), noise.clip.offset, noise.clip.duration] for noise in noises),
        "seed": train.seed,
        "repeats": recipe.data.repeats,
        "teacher": tasks.teacher if tasks.teacher_weight else None,
    }
    shards = Shards(cache / "windows", packs, train.copies, settings)
    samples = int(SECONDS * SAMPLE_RATE)
    heard = np.size(teacher(np.zeros(samples, np.float32))) if teacher else 0
    check_room(cache, shards.bytes_left(conv_ctc.FEATURES.frames(samples), conv_ctc.FEATURES.bands, heard))
    sounds: list[Sound] = [*map(RecordedSound, noises), *synthetic_noises(train.seed)]
    renderer = Renderer(Augmenter(sounds, simulate_rooms(ROOMS, train.seed)), conv_ctc.FEATURES, teacher, train.copies, say)
    with progress("rendering windows") as advance:
        workers = max(cores() // getattr(fabric.strategy, "num_processes", 1), 1)  # of those on this machine
        shards.render(renderer, advance, workers=workers, rank=fabric.global_rank, world=fabric.world_size)
    fabric.barrier()
    return shards


def _content(clip: Clip) -> str:
    return clip.sha256 or (sha256_of(clip.path) if clip.path else clip.audio_filepath)


def _noises(recipe: PretrainingRecipe, note: Note) -> list[Recording]:
    clips = [clip for clip in read_manifests(recipe.data.noise) if clip.split != "test"] if recipe.data.noise else []
    return heard_only(load_recordings(clips, on_skip=note), "any sound", note) if clips else []


def _fit(
    network: PretrainingNetwork,
    batches: ShardBatches,
    recipe: PretrainingRecipe,
    validation: Sequence[Utterance],
    out: Path,
    fabric: Fabric,
    resume: bool,
) -> list[dict[str, Any]]:
    random = np.random.default_rng([recipe.train.seed, 7])
    some = [validation[index] for index in random.permutation(len(validation))[:VALIDATED]]
    rows: list[Mapping[str, Any]] = [*read_rows(out / LOG)]
    try:
        before = max((float(row["seconds"]) for row in rows if int(row["epoch"]) > 0), default=0.0)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{out / LOG} is damaged ({error!r}); start again without --resume.") from error
    started = time.monotonic() - before

    def log(epoch: int, record: dict[str, Any]) -> None:
        record["phone_error_rate"] = round(recognition(network, some).error_rate, 4) if some else None
        record["seconds"] = round(time.monotonic() - started, 1)
        rows[:] = [*(row for row in rows if int(row["epoch"]) <= epoch), record]  # an epoch that was not saved comes again
        write_rows(out / LOG, rows)
        say("epoch {epoch}: loss {loss:.3f}, phone error rate on validation speakers {phone_error_rate}".format(**record))

    if resume and not (out / CHECKPOINT).exists():
        say("No epoch had been saved yet: beginning with the first.")
    loss = PretrainingLoss(network, recipe.tasks.ctc, recipe.tasks.teacher_weight, recipe.tasks.words)
    with progress("pretraining, step") if fabric.is_global_zero else nullcontext() as advance:
        return fit(
            network,
            batches,
            loss,
            AllLayers(rate_decay=1.0),
            recipe.train.fit_settings(),
            checkpoint=out / CHECKPOINT,
            resume=resume,
            on_epoch=log,
            on_step=advance,
            fabric=fabric,
        )


def _recognition(network: PretrainingNetwork, validation: Sequence[Utterance], tested: Sequence[Utterance]) -> dict[str, Any]:
    """Return the error rates; of tested speakers also by age, where the manifests tell it."""
    by_age = {age: [one for one in tested if _age_group(one) == age] for age in ("adults", "children", "age unknown")}
    parts = {f"test, {age}": recognition(network, several) for age, several in by_age.items() if several}
    results = {"validation": recognition(network, validation)} if validation else {}
    if parts:
        results["test"] = sum(parts.values(), Recognition(0, 0, 0))
    return {name: _rates(result) for name, result in (results | (parts if len(parts) > 1 else {})).items()}


def _age_group(utterance: Utterance) -> str:
    age = utterance.clip.extra.get("age")
    return "age unknown" if age is None else "adults" if age >= GROWN_UP else "children"


def _rates(result: Recognition) -> dict[str, Any]:
    return {"utterances": result.utterances, "phones": result.phones, "phone_error_rate": round(result.error_rate, 4)}


def _told(result: WordAccuracy) -> dict[str, Any]:
    return {"validation": result.words, "accuracy": round(result.accuracy, 4)}


def _amounts(utterances: Sequence[Utterance]) -> dict[str, Any]:
    return {
        "recordings": len(utterances),
        "hours": round(sum(one.clip.duration for one in utterances) / 3600.0, 2),
        "transcribed_hours": round(sum(one.clip.duration for one in utterances if one.phones) / 3600.0, 2),
        "speakers": len({one.clip.person for one in utterances if one.clip.person}),
        "licences": dict(Counter(one.clip.license or "unknown" for one in utterances)),
    }
