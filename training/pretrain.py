"""Pretrain the project's own encoder: phones by CTC, distillation from a larger encoder, and words.

    python training/pretrain.py training/recipes/pretraining/conv-ctc.toml --out runs/conv-ctc
    python training/pretrain.py training/recipes/pretraining/conv-ctc.toml --out runs/conv-ctc --devices 2   (two processes, one machine)
    python training/pretrain.py ... --devices 4 --nodes 2 --node-rank 0 --main-address 10.0.0.1   (on each of two hosts)

Synthesised speech and rendered windows are kept in --cache, so that an interrupted run, or another one on the same data,
continues from there; --resume continues the training itself. Several hosts need --cache and --out on a shared disk.
Leaves encoder.safetensors, network.safetensors (with the output layers), card.md, log.csv and pretraining.json.
--set changes single keys of the recipe: --set train.epochs=5 --set speech.hours=0. Paths in a recipe are relative to it;
--set start=PATH, to start from the weights of another run, is relative to the working directory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from speechtl.arguments import at_least, output_folder
from speechtl.audio.pretraining.recipe import read_pretraining_recipe
from speechtl.audio.pretraining.shards import cores, end_with
from speechtl.audio.pretraining.train import ENCODER, pretrain
from speechtl.errors import RecipeError, SpeechtlError, StoppedError, reported
from speechtl.files import cache_folder
from speechtl.progress import say

GO_ON = "The same command continues with the cache, and with --resume from the last epoch that was saved."
PATIENCE = timedelta(hours=12)  # of processes that wait while the first synthesises, or another renders


def main(argv: Sequence[str] | None = None) -> int:
    """Pretrain and print the description of the result as JSON; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="the pretraining recipe; training/README.md lists the keys")
    parser.add_argument("--out", type=output_folder, required=True, help="folder to write to")
    parser.add_argument(
        "--cache", type=output_folder, help="folder for synthesised speech and windows; by default pretraining in $SPEECHTL_CACHE"
    )
    parser.add_argument("--resume", action="store_true", help="resume an interrupted run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe (several times)")
    parser.add_argument("--accelerator", default="auto", help="cpu, cuda, mps or auto (%(default)s)")
    parser.add_argument("--devices", type=at_least(1), default=1, help="processes on this machine (%(default)s)")
    parser.add_argument("--nodes", type=at_least(1), default=1, help="machines (%(default)s)")
    parser.add_argument("--node-rank", type=int, default=0, help="which of them this is")
    parser.add_argument("--main-address", default="127.0.0.1", help="address of the first machine")
    parser.add_argument("--main-port", type=int, default=29400, help="a free port there; on one machine alone, one is found")
    options = parser.parse_args(argv)
    return reported(lambda: _pretrain(options))


def _pretrain(options: argparse.Namespace) -> None:
    try:
        cache = options.cache or cache_folder() / "pretraining"
        recipe = read_pretraining_recipe(options.recipe, dict(map(_setting, options.set)))
        about = pretrain(recipe, options.out, cache, fabric=_fabric(options, recipe.train.precision), resume=options.resume)
    except KeyboardInterrupt:
        raise StoppedError(f"Stopped. {GO_ON}") from None
    except RuntimeError as error:
        if not _is_of_another(error):
            raise
        raise SpeechtlError(f"Another process of this run has ended. {GO_ON}") from error
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # without it a process may be aborted at its end, when the others have ended
    if about is not None:
        print(json.dumps({key: about[key] for key in ("name", "data", "recognition", "words", "seconds")}, indent=2))
        say(f"Next: speechtl train RECIPE --encoder {recipe.encoder}:{options.out / ENCODER} --out RUN")


def _is_of_another(error: RuntimeError) -> bool:
    """Whether the communication with another process failed (gloo has no error class)."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def _fabric(options: argparse.Namespace, precision: Any) -> Fabric:
    processes = options.devices * options.nodes
    if processes > 1:
        if options.nodes > 1:
            os.environ.setdefault("MASTER_ADDR", options.main_address)
            os.environ.setdefault("MASTER_PORT", str(options.main_port))
            os.environ.setdefault("NODE_RANK", str(options.node_rank))
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(cores() // options.devices, 1))  # with more, the processes wait for each other
    try:
        fabric = Fabric(
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.nodes,
            strategy=DDPStrategy(timeout=PATIENCE) if processes > 1 else "auto",
            precision=precision,
        )
    except (RuntimeError, ValueError) as error:
        raise SpeechtlError(f"--accelerator {options.accelerator}, --devices {options.devices}: {' '.join(str(error).split())}") from error
    fabric.launch()
    if fabric.local_rank:
        end_with(os.getppid())
    return fabric


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise RecipeError(f"--set {text}: write KEY=VALUE, such as train.epochs=5.")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


if __name__ == "__main__":
    sys.exit(main())
