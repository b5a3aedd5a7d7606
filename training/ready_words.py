"""python training/ready_words.py [RECIPE...] [--work runs/ready] [--out FOLDER]

Make the ready words of the package: train recipes over the frozen encoder conv-ctc, export all as one bundle, evaluate it on people,
noises and talkers that no training heard, and write a card for each word. Trainings that are finished in --work are not repeated, and
interrupted ones go on. The same recordings on the same kind of machine give the same bundle, byte for byte; its hash is printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechtl.arguments import output_folder
from speechtl.audio.evaluation.evaluate import evaluate
from speechtl.audio.evaluation.material import WORLD, Plan
from speechtl.audio.evaluation.model import open_model
from speechtl.audio.recipe import read_recipe
from speechtl.audio.run import Run, load_run
from speechtl.audio.training.train import train
from speechtl.errors import CheckFailedError, reported
from speechtl.export.bundle import ONNX_INT8, TFLITE_INT8, export_runs
from speechtl.files import in_megabytes, sha256_of, write_text
from speechtl.progress import say
from speechtl.runs import begun, is_run
from speechtl.runtime import ready
from speechtl.text import counted, echo

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "training" / "recipes" / "words"
WORDS = ("alexa", "computer", "jarvis", "smart_mirror")
ENCODER = "conv-ctc"
GRAPHS = (ONNX_INT8, TFLITE_INT8)
AIM = 0.5  # false accepts an hour of unseen kinds of speech: the rate that wake words are commonly compared at
MOST_BYTES = 2_500_000
MANIFESTS = "data_manifests"
OTHERS = {
    "negatives": ("speechocean762", "common_voice", "wuw_calls"),
    "noise": ("noise_effects", "noise_esc10", "noise_esc50"),
    "talk": ("speechocean762",),
    "music": ("music_librosa",),
    "rooms": ("rir",),
}
Json = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, export, evaluate, and write bundle and cards."""
    options = _options(argv)
    runs = [_run(path, options.work / path.stem) for path in options.recipes]
    out = options.out or ready.FOLDER
    bundle = out / ready.BUNDLE.name
    export_runs(runs, bundle, options.graphs, golden=False)
    if (size := bundle.stat().st_size) > MOST_BYTES:
        raise CheckFailedError(f"{bundle} has {in_megabytes(size)}; at most {in_megabytes(MOST_BYTES)} are wanted in the package.")
    made = sha256_of(bundle)
    for run in runs:
        report = evaluate(open_model(bundle, word=run.name), _plan(run.name), say)
        write_text(out / f"{run.name}.md", "\n".join(card(run.about, report, made)) + "\n")
    echo(f"{bundle}: {in_megabytes(size)}, SHA-256 {made}")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=output_folder, default=Path("runs/ready"), help="folder of the runs (default %(default)s)")
    parser.add_argument("recipes", type=Path, nargs="*", default=[RECIPES / f"{name}.toml" for name in WORDS], metavar="RECIPE")
    parser.add_argument("--out", type=output_folder, help="default: the package's own folder")
    parser.add_argument("--graphs", nargs="+", default=list(GRAPHS), help="default: %(default)s")
    return parser.parse_args(argv)


def _run(recipe: Path, out: Path) -> Run:
    if not is_run(out):
        train(read_recipe(recipe, {"transfer": {"encoder": ENCODER}}), out, resume=begun(out))
    run = load_run(out)
    thresholds = {point["false_accepts_per_hour"]: point["threshold"] for point in run.about["operating_points"]}
    return replace(run, about={**run.about, "detector": {**run.about["detector"], "threshold": thresholds[AIM]}})


def _plan(name: str) -> Plan:
    others = {kind: [*map(_manifest, names)] for kind, names in OTHERS.items()}
    return Plan(
        [_positives(name)],
        negatives=others["negatives"],
        noise=others["noise"],
        talk=others["talk"],
        music=others["music"],
        rooms=others["rooms"],
        preset=WORLD,
    )


def _positives(name: str) -> Path:
    return _manifest(f"wake_{name.replace(' ', '_')}")


def _manifest(name: str) -> Path:
    return ROOT / MANIFESTS / f"{name}.jsonl"


def card(about: Json, report: Json, bundle: str) -> Iterator[str]:
    """The lines of a word's card, for a bundle of this hash; the first is a summary."""
    name, data, negatives = about["name"], about["data"], report["negatives"]
    slices = [part for part in report["slices"] if part["kind"] == "condition"]
    clean = slices[0]
    yield (
        f"{name}: {clean['detected']} of {clean['clips']} found in quiet ({_limits(clean)}), "
        f"{counted(negatives['events'], 'false accept')} in {negatives['hours']:.1f} h (at most {negatives['per_hour_high']:.2f} an hour)"
    )
    said = " or ".join(repr(phrase) for phrase in about["phrases"])
    yield from ("", f"Say {said}. Aimed at {AIM} false accepts an hour of unseen kinds of speech; limits have 95 % confidence.", "")
    yield from ("## Found", "", "| condition | found | of | limits |", "|---|---|---|---|")
    yield from (f"| {part['name']} | {part['detected']} | {part['clips']} | {_limits(part)} |" for part in slices)
    yield from ("", "## False accepts", "", "| speech | events | hours | an hour, at most |", "|---|---|---|---|")
    kinds = [part for part in report["slices"] if part["kind"] == "negatives"]
    yield from (f"| {part['name']} | {part['events']} | {part['hours']:.2f} | {part['per_hour_high']:.2f} |" for part in kinds)
    delay = report["delay_ms"]
    yield from ("", f"From the end of the word to the event: median {delay['p50']:.0f} ms, 95 % within {delay['p95']:.0f} ms.", "")
    yield from (
        "## Made from",
        "",
        f"The encoder {about['encoder']['name']} ({about['encoder']['licence']}), frozen, and heads trained on:",
        "",
    )
    yield from (f"- {line}" for line in _data_lines(data))
    verdict = about["licence"]
    yield from ("", f"Commercial use: {verdict['commercial']} ({'; '.join(verdict['reasons'])}).", "", "## Repeat it", "")
    versions = ", ".join(f"{package} {version}" for package, version in about["versions"].items())
    yield from (f"The bundle is `{ready.BUNDLE.name}`, SHA-256 `{bundle}`, made with {versions}.", "", "```sh")
    yield from (*_commands(name), "```")


def _limits(part: Json) -> str:
    return f"{100 * part['recall_low']:.0f} to {100 * part['recall_high']:.0f} %"


def _data_lines(data: Json) -> Iterator[str]:
    for kind in ("positives", "negatives", "noise", "music"):
        part = data[kind]
        people = f", {counted(part['speakers'], 'speaker')}" if part["speakers"] else ""
        yield f"{kind}: {counted(part['clips'], 'recording')}, {part['minutes']:.0f} minutes{people}"
    yield f"licences: {', '.join(data['licences'])}"


def _commands(name: str) -> Iterator[str]:
    yield "python training/ready_words.py"
    parts = [f"speechtl evaluate '{name}'", f"--positives {_positives(name).relative_to(ROOT)}"]
    parts += [f"--{option} {' '.join(f'{MANIFESTS}/{one}.jsonl' for one in names)}" for option, names in OTHERS.items()]
    yield " \\\n  ".join([*parts, "--conditions world"])


if __name__ == "__main__":
    sys.exit(reported(main))
