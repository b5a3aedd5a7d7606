"""python device/harness.py HOST NAME.wake [--port N] [--identity FILE] [--remote "~/speechtl/bin/speechtl"] [--out DIR] [--budget FILE]
python device/harness.py --emulate arm64 NAME.wake

Measure a bundle on a device and on this workstation, and compare the two. HOST is any machine that ssh reaches and that has
speechtl installed. It takes one connection: the bundle goes in on standard input, the report comes back on standard output, and
no files remain.

Without a device, `--emulate` runs the real ARM packages under QEMU: its scores are those of the device, its times and its
memory are the emulator's.

The reports are written to DIR as workstation.json and device-HOST.json. Exit code 0 where scores agree and all budgets are met,
1 where not, 2 for bad input or a device that cannot be reached.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from speechtl.bench.compare import compare, read_budgets
from speechtl.bench.report import BenchReport, read_report
from speechtl.bench.run import bench, open_any_bundle
from speechtl.bench.show import check_plot, draw, print_comparison
from speechtl.errors import CheckFailedError, SpeechtlError, reported
from speechtl.files import check_place, write_json, write_text
from speechtl.progress import progress, say

EMULATE = Path(__file__).parent / "emulation" / "emulate.py"
EMULATED = ("arm64", "armhf")
WORKSTATION = "workstation.json"
SSH_FAILED = 255  # ssh's own exit code; all others are the remote command's
NOT_FOUND = 127  # a shell's exit code for a command that it does not find
SSH_OPTIONS = ("ConnectTimeout=10", "ServerAliveInterval=15", "ServerAliveCountMax=4")
# `cat` takes the bundle, the trap removes it even when the connection breaks.
SCRIPT = """
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
cat > "$folder"/{name}
{command} bench "$folder"/{name} --json - --repetitions {repetitions}{chosen}
"""


class HostError(SpeechtlError):
    """The device cannot be reached, or does not do its work."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure there and here, compare, print; return the exit code."""
    options = parse(argv)
    return reported(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Measure there and here, compare, print."""
    check_place(options.out / WORKSTATION)
    if options.plot is not None:
        check_plot(options.plot)
        check_place(options.plot)
    budgets = read_budgets(options.budget) if options.budget else []
    open_any_bundle(options.bundle)
    there = measure_there(options) if options.emulate is None else measure_emulated(options)
    here = measure_here(options)
    comparison = compare(here, there, budgets)
    print_comparison(comparison)
    if options.plot is not None:
        draw(comparison, options.plot)
    if not comparison.ok:
        raise CheckFailedError(f"{device(options)} and this machine differ in their scores, or a budget is exceeded.")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host", metavar="HOST", nargs="?", type=_host, help="the device as ssh knows it: NAME, USER@NAME or an alias")
    parser.add_argument("bundle", type=Path, metavar="NAME.wake", help="the bundle to measure")
    parser.add_argument("--emulate", choices=EMULATED, help="emulate this processor under QEMU, in place of HOST")
    parser.add_argument("--port", type=int, help="port of the ssh server")
    parser.add_argument("--identity", type=Path, metavar="FILE", help="private key to log in with")
    parser.add_argument("--ssh-option", action="append", default=[], metavar="KEY=VALUE", help="passed to ssh as -o; may be repeated")
    parser.add_argument("--remote", default="speechtl", help="command that runs speechtl on the device (speechtl)")
    parser.add_argument("--graph", help="graph of the bundle to run (on each machine the one that its runtime prefers)")
    parser.add_argument("--engine", help="runtime on both machines: onnxruntime, ai-edge-litert or tflite-runtime")
    parser.add_argument("--repetitions", type=_count, default=5, help="repetitions of every measurement (5)")
    parser.add_argument("--timeout", type=_count, default=1800, help="time limit of the device in seconds (1800)")
    parser.add_argument("--out", type=Path, default=Path("bench"), metavar="DIR", help="folder for the two reports (bench)")
    parser.add_argument("--budget", type=Path, metavar="FILE", help="TOML file of budgets that both reports must meet")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw both reports side by side")
    options = parser.parse_intermixed_args(argv)
    if (options.host is None) == (options.emulate is None):
        parser.error("give HOST and NAME.wake, or --emulate and NAME.wake")
    if options.emulate and options.budget:
        parser.error("times under emulation are not the device's; leave out --budget")
    return options


def measure_there(options: argparse.Namespace) -> BenchReport:
    """Run bench on the device and save its report."""
    say(f"Measuring on {options.host}; a small device takes a minute or two.")
    command = [*ssh(options), options.host, f"sh -c {shlex.quote(script(options))}"]
    with options.bundle.open("rb") as content:
        return answer(options, command, content)


def measure_emulated(options: argparse.Namespace) -> BenchReport:
    """Run bench on an emulated processor and save its report."""
    say(f"Measuring on {options.emulate} under QEMU; this takes minutes.")
    there = [sys.executable, str(EMULATE), "--machine", options.emulate, "--run"]
    chosen = [part for name in ("graph", "engine") if (value := getattr(options, name)) for part in (f"--{name}", value)]
    bench_there = ["-m", "speechtl", "bench", str(options.bundle.absolute()), "--json", "-", "--repetitions", str(options.repetitions)]
    # Under QEMU a program cannot start another ARM program; it starts a new emulator instead.
    return answer(options, [*there, *bench_there, *chosen, "--python", shlex.join(there)], subprocess.DEVNULL)


def answer(options: argparse.Namespace, command: Sequence[str], stdin: IO[bytes] | int) -> BenchReport:
    """Run a command that prints a report, and save the report; raise `HostError` with the reason where there is none."""
    try:
        done = subprocess.run(command, stdin=stdin, capture_output=True, timeout=options.timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{device(options)} did not finish within {options.timeout} s; give it more with --timeout.") from error
    if done.returncode != 0:
        lines = [line.strip(" │╭╮╰╯─\r") for line in done.stderr.decode(errors="replace").splitlines()]
        raise HostError(explain(options, done.returncode, next((line for line in reversed(lines) if line), "it said nothing")))
    return keep(options, done.stdout.decode(errors="replace"))


def device(options: argparse.Namespace) -> str:
    """The name of the device for people."""
    return str(options.host or f"emulated {options.emulate}")


def measure_here(options: argparse.Namespace) -> BenchReport:
    """Run bench on this machine and save its report."""
    say("Measuring here.")
    with progress("measuring") as advance:
        report = bench(options.bundle, graph=options.graph, engine=options.engine, repetitions=options.repetitions, progress=advance)
    path = options.out / WORKSTATION
    write_json(path, report)
    return read_report(path)


def ssh(options: argparse.Namespace) -> list[str]:
    """The ssh command with its options."""
    program = shutil.which("ssh")
    if program is None:
        raise HostError("ssh is not installed; on Debian install it with: sudo apt install openssh-client")
    if options.identity is not None and not options.identity.is_file():
        raise HostError(f"{options.identity} does not exist; give the private key to log in with.")
    port = [] if options.port is None else ["-p", str(options.port)]
    identity = [] if options.identity is None else ["-i", str(options.identity), "-o", "IdentitiesOnly=yes"]
    # ssh takes the first value of an option, so the given ones come before the defaults.
    return [program, "-T", *port, *identity, *(part for option in (*options.ssh_option, *SSH_OPTIONS) for part in ("-o", option))]


def script(options: argparse.Namespace) -> str:
    """The script for the shell of the device."""
    chosen = "".join(f" --{name} {shlex.quote(value)}" for name in ("graph", "engine") if (value := getattr(options, name)))
    name = shlex.quote(options.bundle.name)
    return SCRIPT.format(name=name, command=options.remote, repetitions=options.repetitions, chosen=chosen)


def explain(options: argparse.Namespace, code: int, last: str) -> str:
    """A sentence on why the device gave no report, and what to do."""
    host = device(options)
    if code == SSH_FAILED:
        return f"{host} cannot be reached with ssh: {last}"
    if code == NOT_FOUND:
        return (
            f"{host} has no {options.remote!r} ({last}). Install it there with: pip install speechtl; "
            "or give its path, as in: --remote '~/speechtl/bin/speechtl'"
        )
    if "No such command" in last or "no such option" in last.lower():
        return f"{host} has an older speechtl, whose bench differs ({last}). Update it there with: pip install -U speechtl"
    return f"{host} could not measure the bundle: {last.removeprefix('speechtl: ')}"


def keep(options: argparse.Namespace, answered: str) -> BenchReport:
    """Save the report of the device; raise `HostError` for any other answer."""
    host = device(options)
    path = options.out / f"device-{re.sub(r'[^A-Za-z0-9._-]', '_', host)}.json"
    try:
        json.loads(answered)
    except ValueError as error:
        first = answered.strip().splitlines()[:1]
        raise HostError(
            f"{host} sent something other than a report: {first[0][:100] if first else 'nothing'!r}. "
            "Make sure that no start-up file of its shell (such as .bashrc) prints anything."
        ) from error
    write_text(path, answered)
    return read_report(path)


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return value


def _host(text: str) -> str:
    if not text or text.startswith("-"):
        raise argparse.ArgumentTypeError(f"must be a machine's name, such as raspberrypi.local; got {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
