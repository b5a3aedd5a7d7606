"""`speechtl data ...`: check, fetch, count and align the recordings that manifests name."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechtl.errors import CheckFailedError
from speechtl.plain import echo
from speechtl.progress import progress as progress_of

if TYPE_CHECKING:
    from speechtl.audio.manifest_stats import SplitStats

PLAIN_WIDTH = 160  # characters of a table where there is no terminal

app = typer.Typer(name="data", help="Manifests: check, fetch, count and align recordings.", no_args_is_help=True)

Manifests = Annotated[
    list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests: JSON lines, one recording a line.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output.")]


@app.command(epilog="Example: speechtl data verify data_manifests/wake_computer.jsonl data_manifests/librispeech.jsonl")
def verify(
    manifests: Manifests,
    hashes: Annotated[bool, typer.Option(help="Compare hashes and decode whole recordings.")] = True,
    as_json: Json = False,
) -> None:
    """Check that every recording is there, whole and the one described, stands once, and that splits share no speaker.

    All problems are listed. Exit code 1 when there are any, 2 when a manifest itself is wrong.
    """
    from speechtl.audio.manifest_check import validate

    with progress_of("checking recordings") as progress:
        report = validate(manifests, hashes=hashes, progress=progress)
    if as_json:
        _write_json(
            {
                "manifests": list(map(str, manifests)),
                "clips": report.clips,
                "ok": report.ok,
                "problems": [p.to_json() for p in report.problems],
            }
        )
    else:
        for problem in report.problems:
            echo(str(problem))
    if not report.ok:
        raise CheckFailedError(
            f"{len(report.problems)} {'problem' if len(report.problems) == 1 else 'problems'} in {report.clips} clips:"
            f" {len(report.broken)} of single files, which training skips and reports; {len(report.fatal)} that make the data set"
            " wrong (another file than the one described, a recording twice, a speaker in two splits)."
        )
    echo(f"{report.clips} clips are there and as described.", err=as_json)


@app.command(epilog="Example: speechtl data pull data_manifests/wake_computer.jsonl")
def pull(
    manifests: Manifests,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Downloads at a time.")] = 4,
    as_json: Json = False,
) -> None:
    """Fetch the recordings that are not on this machine into the cache ($SPEECHTL_CACHE); resumable, checked by hash.

    Exit code 1 when some could not be fetched; all of them are listed, the others are kept.
    """
    from speechtl.audio.pull import pull as fetch
    from speechtl.files import cache_if_any

    with progress_of("fetching recordings") as progress:
        done = fetch(manifests, workers=workers, progress=progress)
    if as_json:
        _write_json({"fetched": done.fetched, "present": done.present, "bytes": done.bytes, "cache": str(cache_if_any() or "")})
    else:
        where = f" ({done.bytes / 1e6:.1f} MB) into {cache_if_any()}" if done.fetched else ""
        echo(f"{done.fetched} recordings fetched{where}, {done.present} were here already.")


@app.command(epilog="Example: speechtl data stats data_manifests/*.jsonl")
def stats(manifests: Manifests, as_json: Json = False) -> None:
    """Count clips, hours, speakers, labels and licences of every split."""
    from speechtl.audio.manifest_stats import stats as count

    rows = count(manifests)
    if as_json:
        _write_json(
            {
                "splits": [row.to_json() for row in rows],
                "clips": sum(row.clips for row in rows),
                "hours": round(sum(row.hours for row in rows), 4),
            }
        )
    else:
        _print_table(rows)


@app.command(epilog="Example: speechtl data align my_word.jsonl")
def align(manifests: Manifests, as_json: Json = False) -> None:
    """Find where the word stands in clips that say nothing else, and write `word_start` and `word_end` into the manifests.

    Lines that have limits already keep them. Lines in which nothing stands out are listed and left without.
    """
    with progress_of("loading"):
        from speechtl.audio.align import align_manifest
    from speechtl.files import check_place

    for manifest in manifests:
        if manifest.is_file():
            check_place(manifest)  # it is written in the end
    done = {}
    for manifest in manifests:
        with progress_of(f"aligning {manifest.name}") as progress:
            done[manifest] = align_manifest(manifest, progress)
    for clip, reason in (entry for aligned in done.values() for entry in aligned.not_found):
        echo(f"{clip.where}: no limits of the word: {reason}", err=True)
    counts = [
        {"manifest": str(path), "found": aligned.found, "kept": aligned.kept, "not_found": [clip.line for clip, _ in aligned.not_found]}
        for path, aligned in done.items()
    ]
    if as_json:
        _write_json({"manifests": counts})
    else:
        for path, aligned in done.items():
            echo(f"{path}: {aligned.found} found, {aligned.kept} kept as they were, {len(aligned.not_found)} not found.")


def _print_table(rows: Sequence[SplitStats]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("manifest", "split", "clips", "here", "hours", "speakers", "labels", "licences", box=None)
    for row in rows:
        counts = (str(row.clips), str(row.on_disk), f"{row.hours:.2f}", str(row.speakers or "-"))
        table.add_row(row.manifest.stem, row.split or "-", *counts, _some(row.labels), ", ".join(row.licences))
    clips, here, hours = sum(row.clips for row in rows), sum(row.on_disk for row in rows), sum(row.hours for row in rows)
    table.add_row("total", "", str(clips), str(here), f"{hours:.2f}", "", "", "")
    Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(table)


def _some(labels: dict[str, int], most: int = 3) -> str:
    names = list(labels)[:most]
    return ", ".join(names) + (f" and {len(labels) - most} more" if len(labels) > most else "") or "-"


def _write_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
