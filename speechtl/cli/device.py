"""The commands `speechtl listen` and `speechtl doctor`. Heavy imports happen inside."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechtl.cli.outputs import clips_folder
from speechtl.cli.word_options import RefractoryOption, ThresholdOption
from speechtl.errors import CheckFailedError, MissingExtraError, SpeechtlError
from speechtl.progress import say
from speechtl.text import echo, echo_json, one_line

if TYPE_CHECKING:
    from speechtl.runtime.listen.commands import Detection
    from speechtl.runtime.listen.hearing import Hearing
    from speechtl.runtime.listen.loop import Source

Json = Annotated[bool, typer.Option("--json", help="Write for programs: JSON on standard output, everything else on standard error.")]
DeviceOption = Annotated[str | None, typer.Option(help="Microphone: its name, part of it, or its number; see doctor.")]
ChannelOption = Annotated[int, typer.Option(min=1, max=64, help="Which of the microphone's channels to listen to.")]
RateOption = Annotated[int | None, typer.Option(min=4000, max=384_000, help="Open it at this rate (hertz), not the first one it has.")]

LISTEN_EXAMPLE = """Example: speechtl listen computer.wake --device USB --on-detect './lights.sh toggle'

The command is told SPEECHTL_NAME, SPEECHTL_SCORE, SPEECHTL_TIME (seconds since the start) and SPEECHTL_AT (date and time).
A folder of bundles is watched, and SIGHUP loads all again; SIGTERM and Ctrl-C end within a second."""


def listen(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="NAME.wake...", help="Bundles, or folders of them that are watched.", show_default=False)
    ],
    device: DeviceOption = None,
    channel: ChannelOption = 1,
    rate: RateOption = None,
    threshold: ThresholdOption = None,
    refractory: RefractoryOption = None,
    graph: Annotated[str | None, typer.Option(help="Which graph of the bundles to run.")] = None,
    engine: Annotated[str | None, typer.Option(help="What runs it: onnxruntime, ai-edge-litert or tflite-runtime.")] = None,
    on_detect: Annotated[str | None, typer.Option(metavar="CMD", help="Command to run on every event, without a shell.")] = None,
    shell: Annotated[bool, typer.Option("--shell", help="Give the command to /bin/sh.")] = False,
    on_detect_seconds: Annotated[
        float, typer.Option(min=0.1, max=86_400, callback=_finite, help="A command that runs longer is stopped.")
    ] = 60.0,
    save_clips: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the seconds around events and near misses.", callback=clips_folder)
    ] = None,
    clips_of: Annotated[
        list[str] | None, typer.Option("--clips", metavar="WORD", help="Keep clips of this word only; may be repeated.", show_default=False)
    ] = None,
    clips_days: Annotated[float, typer.Option(min=0.0, callback=_finite, help="Clips older than that are removed.")] = 30.0,
    clips_mb: Annotated[
        float, typer.Option(min=0.1, callback=_finite, help="The oldest clips are removed beyond so many megabytes.")
    ] = 200.0,
    gate: Annotated[bool, typer.Option("--gate", help="Run the network only near speech (voice-activity gate).")] = False,
    dry_run: Annotated[Path | None, typer.Option(metavar="FILE", help="Play a recording as if it were the microphone.")] = None,
    as_json: Json = False,
) -> None:
    """Listen to a microphone and tell each wake word: a line for people, or JSON lines."""
    from speechtl.runtime.bundle.choice import Choice, refractory_times, thresholds
    from speechtl.runtime.listen.clips import ClipLimits, Clips, NearMisses
    from speechtl.runtime.listen.commands import Command
    from speechtl.runtime.listen.hearing import Hearing
    from speechtl.runtime.listen.loop import Listener
    from speechtl.runtime.listen.signals import Signals
    from speechtl.runtime.microphone.voice_gate import Gate
    from speechtl.runtime.microphone.watch import InputWatch
    from speechtl.runtime.systemd import Notifier

    if dry_run is not None and (device is not None or rate is not None or channel != 1):
        raise SpeechtlError("--dry-run plays a file in place of the microphone; leave out --device, --rate and --channel.")
    if shell and on_detect is None:
        raise SpeechtlError("--shell says how to run --on-detect; give that, too.")
    if clips_of and save_clips is None:
        raise SpeechtlError("--clips says of which words to keep clips; say where with --save-clips DIR, too.")
    choice = Choice(thresholds(threshold or []), refractory_times(refractory or []), graph, engine, tuple(clips_of or ()))
    with Signals() as signals:
        command = Command(on_detect, _note, shell=shell, seconds=on_detect_seconds) if on_detect is not None else None
        clips, near = None, NearMisses()
        if save_clips is not None:
            clips = Clips(save_clips, _note, ClipLimits(clips_days, clips_mb), choice.clips)

        def on_score(scored: Any, threshold: float) -> None:
            missed = near.feed(scored, threshold)
            if missed is not None and clips is not None:
                clips.add(missed, near=True)

        hearing = Hearing(
            bundles,
            choice=choice,
            channel=channel,
            gate=Gate() if gate else None,
            on_score=on_score if clips is not None else None,
            log=_note,
        )
        source = _source(dry_run, device, rate, channel)
        _say_start(hearing, source)
        tell = _tell_json if as_json else _tell
        listener = Listener(source, hearing, InputWatch(_note, channel), tell, _note, command, clips)
        try:
            tally = listener.run(signals, Notifier())
        finally:
            listener.close()
    _say_end(tally.seconds, tally.detections, getattr(source, "overruns", 0))


def doctor(
    bundle: Annotated[Path | None, typer.Argument(metavar="NAME.wake", help="Also try this bundle.", show_default=False)] = None,
    device: DeviceOption = None,
    channel: ChannelOption = 1,
    rate: RateOption = None,
    seconds: Annotated[float, typer.Option(min=1.0, max=60.0, callback=_finite, help="How long to listen.")] = 3.0,
    as_json: Json = False,
) -> None:
    """Look for what is wrong with the microphone, the runtime and the machine, and say what to do."""
    from speechtl.runtime.doctor import examine

    checks = examine(bundle, device=device, channel=channel, rate=rate, seconds=seconds)
    failed = [check for check in checks if check.status == "failure"]
    if as_json:
        echo_json({"ok": not failed, "checks": [check.to_json() for check in checks]}, indent=2)
    for check in checks if not as_json else []:
        echo(one_line(f"{check.status:8}{check.name}: {check.found}"))
        if check.do:
            echo(one_line(f"        -> {check.do}"))
    if failed:
        raise CheckFailedError(f"{len(failed)} of {len(checks)} checks failed: {', '.join(check.name for check in failed)}.")


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise typer.BadParameter(f"it must be a number; got {value}.")
    return value


def _source(dry_run: Path | None, device: str | None, rate: int | None, channel: int) -> Source:
    from speechtl.runtime.listen.loop import PacedFile
    from speechtl.runtime.microphone.stream import Microphone

    if dry_run is not None:
        return PacedFile(dry_run)
    microphone = Microphone(device, _note, rate=rate, channel=channel)
    microphone.open()
    return microphone


def _note(sentence: str) -> None:
    say(f"speechtl: {sentence}")


def _tell(detection: Detection) -> None:
    echo(one_line(f"{detection.at}  {detection.name} at {detection.time:.2f} s (score {detection.score:.2f})"))
    sys.stdout.flush()


def _tell_json(detection: Detection) -> None:
    line = {"name": detection.name, "time": round(detection.time, 3), "score": round(detection.score, 4), "at": detection.at}
    echo_json(line)
    sys.stdout.flush()


def _say_start(hearing: Hearing, source: Source) -> None:
    _note(f"Listening for {hearing.bundles.described} to {source.describe()}. Ctrl-C ends it.")


def _say_end(seconds: float, detections: dict[str, int], overruns: int) -> None:
    counted = ", ".join(f"{name} {count}" for name, count in sorted(detections.items())) or "none"
    lost = f"; {overruns} blocks of sound were lost because they were not read in time" if overruns else ""
    _note(f"Listened for {seconds:.0f} s; detections: {counted}{lost}.")


SERVE_EXAMPLE = "Example: speechtl serve computer.wake --uri tcp://0.0.0.0:10400 --zeroconf kitchen"

Bundles = Annotated[
    list[Path], typer.Argument(metavar="NAME.wake...", help="Bundles to serve, or folders of them that are watched.", show_default=False)
]
Uri = Annotated[str, typer.Option(help="Where to listen: tcp://HOST:PORT (0.0.0.0: for the whole network), unix://PATH or stdio://.")]
Graph = Annotated[str | None, typer.Option(help="Which graph of the bundles to run.")]
Engine = Annotated[str | None, typer.Option(help="What runs it: onnxruntime, ai-edge-litert or tflite-runtime.")]
Zeroconf = Annotated[str | None, typer.Option(metavar="NAME", help="Announce the server under this name, so that Home Assistant finds it.")]


def serve(
    bundles: Bundles,
    uri: Uri = "tcp://127.0.0.1:10400",
    threshold: ThresholdOption = None,
    refractory: RefractoryOption = None,
    graph: Graph = None,
    engine: Engine = None,
    zeroconf: Zeroconf = None,
) -> None:
    """Serve wake words over the Wyoming protocol, to Home Assistant and voice satellites.

    Up to 32 clients at once, any rate and width of audio. A folder of bundles is watched, and SIGHUP opens all again.
    SIGTERM and Ctrl-C end it.
    """
    from speechtl.runtime.bundle.choice import Choice, refractory_times, thresholds

    try:
        from speechtl.runtime.server.server import ServerSettings
        from speechtl.runtime.server.server import serve as run_server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "wyoming":
            raise
        raise MissingExtraError("The server", "serve") from error
    if zeroconf is not None:
        from speechtl.runtime.server.address import load_zeroconf

        load_zeroconf()
    choice = Choice(thresholds(threshold or []), refractory_times(refractory or []), graph, engine)
    run_server(ServerSettings(tuple(bundles), uri, choice, zeroconf), say)
