"""`speechtl data ...`: check, download, count, align and cut recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechtl.cli.options import JsonOption, output_folder
from speechtl.errors import CheckFailedError
from speechtl.progress import progress as progress_of
from speechtl.progress import say, tracked
from speechtl.text import counted, echo, echo_json, first_few, one_line, were

if TYPE_CHECKING:
    from speechtl.audio.data.check import Problem
    from speechtl.audio.data.folder_check import FolderReport
    from speechtl.audio.data.manifest import Clip
    from speechtl.audio.data.stats import SplitStats
    from speechtl.audio.recording.split import FoundTake

app = typer.Typer(name="data", help="Recordings: check, download, count, align and cut them.", no_args_is_help=True)

Manifests = Annotated[
    list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests: JSON lines, one recording per line.", show_default=False)
]
Sources = Annotated[
    list[Path], typer.Argument(metavar="MANIFEST/FOLDER...", help="Manifests (JSON lines) or folders of recordings.", show_default=False)
]


@app.command(epilog="Example: speechtl data verify data_manifests/wake_computer.jsonl my_recordings")
def verify(
    manifests: Sources,
    hashes: Annotated[bool, typer.Option(help="Compare hashes and decode whole recordings.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Check that every recording is present, complete, as described and listed once, and that splits share no speaker.

    Recordings of a folder are checked for silence, clipping, length and duplicates, and short ones for a word. The first problems of
    each kind are listed; --json lists all. Exit code 1 if there are any, 2 if a manifest itself is wrong.
    """
    from speechtl.audio.data.check import Problem, Report, validate
    from speechtl.audio.data.clips import check_sources
    from speechtl.audio.data.folder_check import look_at_folders

    check_sources(manifests)
    given = [path for path in manifests if not path.is_dir()]
    with progress_of("checking recordings") as progress:
        report = validate(given, hashes=hashes, progress=progress)
        folders = look_at_folders([path for path in manifests if path.is_dir()], progress)
    found = [Problem(kind, folder.folder, 0, message) for folder in folders for kind, message in folder.problems]
    report = Report(report.clips + sum(len(folder.looks) for folder in folders), [*report.problems, *found])
    for folder in folders:
        if folder.note:
            say(folder.note)
    if as_json:
        document = {"manifests": list(map(str, manifests)), "clips": report.clips, "ok": report.ok}
        echo_json({**document, "problems": [p.to_json() for p in report.problems], **_folders_to_json(folders)}, indent=2)
    else:
        _print_problems(report.problems)
    if not report.ok:
        wrong = f"{len(report.fatal)} that {'makes' if len(report.fatal) == 1 else 'make'}"
        raise CheckFailedError(
            f"{counted(len(report.problems), 'problem')} in {counted(report.clips, 'clip')}:"
            f" {len(report.broken)} of single files, which training skips and reports; {wrong} the data set wrong"
            " (another file than the one described, a recording twice, a speaker in two splits)."
        )
    echo(f"{counted(report.clips, 'clip')} checked: no problems.", err=as_json)


def _print_problems(problems: Sequence[Problem]) -> None:
    for kind in dict.fromkeys(problem.kind for problem in problems):
        for sentence in first_few(str(problem) for problem in problems if problem.kind == kind):
            echo(one_line(sentence if not sentence.startswith("and ") else f"{sentence} of this kind ({kind}); all with --json"))


@app.command(epilog="Example: speechtl data pull data_manifests/wake_computer.jsonl")
def pull(
    manifests: Manifests,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Parallel downloads.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Download missing recordings into the cache ($SPEECHTL_CACHE); resumable, checked by hash.

    Exit code 1 if some could not be downloaded; those are listed, the others are kept.
    """
    from speechtl.audio.data.download import pull as fetch
    from speechtl.files import cache_if_any

    with progress_of("downloading recordings") as progress:
        done = fetch(manifests, workers=workers, progress=progress)
    if as_json:
        counts = {"fetched": done.fetched, "present": done.present, "bytes": done.bytes}
        echo_json({**counts, "cache": str(cache_if_any() or "")}, indent=2)
    else:
        where = f" ({done.bytes / 1e6:.1f} MB) into {cache_if_any()}" if done.fetched else ""
        echo(f"{counted(done.fetched, 'recording')} downloaded{where}, {done.present} {were(done.present)} already here.")


@app.command(epilog="Example: speechtl data stats data_manifests/*.jsonl")
def stats(manifests: Sources, as_json: JsonOption = False) -> None:
    """Count clips, hours, speakers, labels and licences of every split; for a folder, measure lengths, levels and words."""
    from speechtl.audio.data.clips import check_sources
    from speechtl.audio.data.folder_check import look_at_folders
    from speechtl.audio.data.stats import stats as count

    check_sources(manifests)
    rows = count([path for path in manifests if not path.is_dir()])
    with progress_of("looking at recordings") as progress:
        folders = look_at_folders([path for path in manifests if path.is_dir()], progress)
    if as_json:
        total = {"clips": sum(row.clips for row in rows), "hours": round(sum(row.hours for row in rows), 4)}
        echo_json({"splits": [row.to_json() for row in rows], **total, **_folders_to_json(folders)}, indent=2)
    else:
        if rows:
            _print_table(rows)
        for folder in folders:
            _print_folder(folder)


@app.command(epilog="Example: speechtl data align my_word.jsonl")
def align(manifests: Manifests, as_json: JsonOption = False) -> None:
    """Find the word in clips that contain nothing else, and write `word_start` and `word_end` into the manifests.

    Lines that already have limits keep them. Lines in which no word is found are listed and left unchanged.
    """
    with progress_of("loading"):
        from speechtl.audio.data.align import align_manifest
    from speechtl.files import check_place

    for manifest in manifests:
        if manifest.is_file():
            check_place(manifest)  # it is written at the end
    done = {}
    for manifest in manifests:
        with progress_of(f"aligning {manifest.name}") as progress:
            done[manifest] = align_manifest(manifest, progress)
    missed = [f"{clip.where}: the word was not found: {reason}" for aligned in done.values() for clip, reason in aligned.not_found]
    for sentence in first_few(missed):
        echo(sentence, err=True)
    counts = [
        {"manifest": str(path), "found": aligned.found, "kept": aligned.kept, "not_found": [clip.line for clip, _ in aligned.not_found]}
        for path, aligned in done.items()
    ]
    if as_json:
        echo_json({"manifests": counts}, indent=2)
    else:
        for path, aligned in done.items():
            echo(f"{path}: {aligned.found} found, {aligned.kept} unchanged, {len(aligned.not_found)} not found.")


@app.command(epilog="Example: speechtl data split ann.m4a --word computer --speaker Ann --out recordings/computer")
def split(
    recordings: Annotated[list[Path], typer.Argument(metavar="RECORDING...", help="Long recordings by one speaker.", show_default=False)],
    word: Annotated[str, typer.Option(metavar="WORD", help="The word or phrase that is said again and again.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the takes.", show_default=False, callback=output_folder)],
    speaker: Annotated[str, typer.Option(metavar="NAME", help="Who speaks.")] = "speaker-1",
    licence: Annotated[str, typer.Option("--license", metavar="SPDX", help="Licence of the recordings, such as CC0-1.0.")] = "",
    keep_all: Annotated[bool, typer.Option("--all", help="Also write takes with problems.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Cut long recordings, in which a word is said many times, into takes; prints what was found.

    Takes with problems (clipped, cut off, another word, ...) are listed and left out. Nothing is overwritten: takes are numbered after
    those in the folder, and the same recording adds nothing a second time. Exit code 1 if a recording has no takes.
    """
    with progress_of("loading"):
        from speechtl.audio.recording.agreement import TakeEncoder
        from speechtl.audio.recording.folder import Speaker, TakeFolder, speaker_name
        from speechtl.audio.recording.split import find_takes, keep_takes
    from speechtl.errors import AudioError

    folder, who = TakeFolder(out, word), Speaker(speaker_name(speaker), "", licence)
    folder.check_label()
    encoder, problems = TakeEncoder(), []
    rows: list[tuple[FoundTake, Clip | None]] = []
    for path in tracked("cutting recordings", recordings, len(recordings)):
        try:
            found = find_takes(path, word, encoder)
        except AudioError as error:
            problems.append(str(error))
            continue
        rows += zip(found, keep_takes(found, folder, who, say, keep_all=keep_all), strict=True)
    if as_json:
        takes = [
            {"source": str(take.source), "start": round(take.start, 3), "file": clip and str(clip.path), **take.check.to_json()}
            for take, clip in rows
        ]
        echo_json({"takes": takes, "problems": problems}, indent=2)
    else:
        _print_takes(rows)
    if problems:
        raise CheckFailedError("\n".join(problems))


def _print_takes(rows: Sequence[tuple[FoundTake, Clip | None]]) -> None:
    from speechtl.console import PlainTable, plain_console

    if not rows:
        return
    table = PlainTable("recording", "start (s)", "length (s)", "word (s)", "level (dBFS)", "check", "written as", box=None)
    for take, clip in rows:
        word = take.check.word
        times = (f"{take.start:.2f}", f"{take.check.seconds:.2f}", f"{word[1] - word[0]:.2f}" if word else "-")
        table.add_row(
            take.source.name,
            *times,
            f"{take.check.level_db:.0f}",
            ", ".join(take.check.kinds) or "good",
            clip.audio_filepath if clip else "-",
        )
    plain_console().print(table)
    written = sum(clip is not None for _, clip in rows)
    echo(f"{written} of {counted(len(rows), 'take')} written." + ("" if written == len(rows) else " Write the others, too, with --all."))


def _print_table(rows: Sequence[SplitStats]) -> None:
    from speechtl.console import PlainTable, plain_console

    table = PlainTable("manifest", "split", "clips", "here", "hours", "speakers", "labels", "licences", box=None)
    for row in rows:
        counts = (str(row.clips), str(row.on_disk), f"{row.hours:.2f}", str(row.speakers or "-"))
        table.add_row(row.manifest.stem, row.split or "-", *counts, _some(row.labels), ", ".join(row.licences))
    clips, here, hours = sum(row.clips for row in rows), sum(row.on_disk for row in rows), sum(row.hours for row in rows)
    table.add_row("total", "", str(clips), str(here), f"{hours:.2f}", "", "", "")
    plain_console().print(table)


def _print_folder(report: FolderReport) -> None:
    from speechtl.console import PlainTable, plain_console

    table = PlainTable("folder", str(report.folder), box=None)
    for name, value in report.summary().items():
        table.add_row(name, value)
    table.add_row("skipped", ", ".join(report.passed_over) or "nothing")
    plain_console().print(table)


def _folders_to_json(folders: Sequence[FolderReport]) -> dict[str, Any]:
    return {"folders": [folder.to_json() for folder in folders]} if folders else {}


def _some(labels: dict[str, int], most: int = 3) -> str:
    names = list(labels)[:most]
    return ", ".join(names) + (f" and {len(labels) - most} more" if len(labels) > most else "") or "-"
