"""The commands `speechtl listen`, `tally`, `doctor` and `serve`. Heavy imports happen inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechtl.cli.options import (
    BundlesArgument,
    EngineOption,
    GraphOption,
    JsonOption,
    RateOfDayOption,
    RefractoryOption,
    ThresholdOption,
    clips_folder,
    finite,
    needing,
    tally_file,
)
from speechtl.errors import CheckFailedError, SpeechtlError
from speechtl.progress import say
from speechtl.text import are, counted, echo, echo_json, one_line, were

if TYPE_CHECKING:
    from speechtl.runtime.bundle.choice import Choice
    from speechtl.runtime.detector import Event
    from speechtl.runtime.listen.clips import Clips
    from speechtl.runtime.listen.hand_over import HandOver, Span
    from speechtl.runtime.listen.hearing import Hearing
    from speechtl.runtime.listen.loop import Listener, Source
    from speechtl.runtime.listen.sending import InboxAddress
    from speechtl.runtime.listen.signals import Signals
    from speechtl.runtime.listen.tally_file import TallyFile

LISTEN_EXAMPLE = """speechtl listen computer.wake --device USB --on-detect './lights.sh toggle'

A command has the values of a JSON line in its environment: SPEECHTL_NAME, _TIME, _SCORE, _PEAK, _START, _END, _LEVEL, _SNR, _AT
and _MONOTONIC.
A folder of bundles is watched, and SIGHUP reloads all bundles; SIGTERM and Ctrl-C end the program within a second."""

DeviceOption = Annotated[str | None, typer.Option(help="Microphone: name, part of the name, or number, as listed by doctor.")]
ChannelOption = Annotated[int, typer.Option(min=1, max=64, help="Channel of the microphone to listen to.")]
RateOption = Annotated[int | None, typer.Option(min=4000, max=384_000, help="Sample rate (Hz); default: the first that works.")]
CommandOption = Annotated[str | None, typer.Option(metavar="CMD", help="Command to run on every event, without a shell.")]
SecondsOption = Annotated[float, typer.Option(min=0.1, max=86_400, callback=finite, help="Stop a command that runs longer (seconds).")]
HandOverOption = Annotated[
    str | None, typer.Option(metavar="CMD", help="Command that reads what is said after the word: 16 kHz 16-bit PCM on standard input.")
]
HandOverFromOption = Annotated[str, typer.Option(help="Where that sound begins: end or start of the word.")]
HandOverSecondsOption = Annotated[
    float, typer.Option(min=0.5, max=300.0, callback=finite, help="Greatest length from the event on; it ends with the speech (seconds).")
]
TallyOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Append hours listened and events to this file.", callback=tally_file)
]
ClipsOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Save the audio around events and near misses.", callback=clips_folder)
]
ClipsOfOption = Annotated[
    list[str] | None, typer.Option("--clips", metavar="WORD", help="Save clips of this word only; may be repeated.", show_default=False)
]
DaysOption = Annotated[float, typer.Option(min=0.0, callback=finite, help="Delete clips older than this (days).")]
MegabytesOption = Annotated[float, typer.Option(min=0.1, callback=finite, help="Delete the oldest clips above this total size (MB).")]
SendOption = Annotated[
    Path | None,
    typer.Option("--send-clips", metavar="FILE", help="Send clips to the inbox of a studio, whose page Inbox gives this file."),
]
GateOption = Annotated[bool, typer.Option("--gate", help="Run the network only near speech (voice-activity gate).")]
FileOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Play a recording in place of the microphone.")]
UriOption = Annotated[str, typer.Option(help="Address: tcp://HOST:PORT (0.0.0.0: for the whole network), unix://PATH or stdio://.")]
ZeroconfOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Announce the server under this name, so that Home Assistant finds it.")
]


def listen(
    bundles: BundlesArgument,
    device: DeviceOption = None,
    channel: ChannelOption = 1,
    rate: RateOption = None,
    threshold: ThresholdOption = None,
    per_day: RateOfDayOption = None,
    refractory: RefractoryOption = None,
    graph: GraphOption = None,
    engine: EngineOption = None,
    on_detect: CommandOption = None,
    shell: Annotated[bool, typer.Option("--shell", help="Run commands with /bin/sh.")] = False,
    on_detect_seconds: SecondsOption = 60.0,
    hand_over: HandOverOption = None,
    hand_over_from: HandOverFromOption = "end",
    hand_over_seconds: HandOverSecondsOption = 15.0,
    save_clips: ClipsOption = None,
    clips_of: ClipsOfOption = None,
    clips_days: DaysOption = 30.0,
    clips_mb: MegabytesOption = 200.0,
    send_clips: SendOption = None,
    tally: TallyOption = None,
    gate: GateOption = False,
    dry_run: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Listen to a microphone and report each wake word: a line for people, or JSON lines."""
    from speechtl.runtime.bundle.choice import Choice, rates, refractory_times, thresholds
    from speechtl.runtime.listen.commands import Command
    from speechtl.runtime.listen.hand_over import Span
    from speechtl.runtime.listen.loop import Listener
    from speechtl.runtime.listen.signals import Signals
    from speechtl.runtime.microphone.watch import InputWatch

    if dry_run is not None and (device is not None or rate is not None or channel != 1):
        raise SpeechtlError("--dry-run plays a file in place of the microphone; leave out --device, --rate and --channel.")
    if shell and on_detect is None and hand_over is None:
        raise SpeechtlError("--shell needs a command to run: --on-detect CMD.")
    if clips_of and save_clips is None:
        raise SpeechtlError("--clips needs a folder to save clips in: --save-clips DIR.")
    chosen = (thresholds(threshold or []), refractory_times(refractory or []), graph, engine, tuple(clips_of or ()))
    choice = Choice(*chosen, per_day=rates(per_day or []))
    inbox = _inbox(send_clips, save_clips)
    span = Span(hand_over_from, hand_over_seconds)
    with Signals() as signals:
        command = Command(on_detect, _note, shell=shell, seconds=on_detect_seconds) if on_detect is not None else None
        clips = _clips(save_clips, clips_days, clips_mb, choice) if save_clips is not None else None
        request = _hand_over(hand_over, shell, on_detect_seconds, span) if hand_over is not None else None
        kept = _tally_file(tally, save_clips) if tally is not None else None
        hearing = _hearing(bundles, choice, channel, gate, clips, kept)
        source, output = _source(dry_run, device, rate, channel), _print_json if as_json else _print
        listener = Listener(source, hearing, InputWatch(_note, channel), output, _note, command, clips, request, kept)
        with _sending(inbox, save_clips, hearing, signals):
            _run(listener, signals)


def _hand_over(text: str, shell: bool, seconds: float, span: Span) -> HandOver:
    from speechtl.runtime.listen.commands import Command
    from speechtl.runtime.listen.hand_over import HandOver

    return HandOver(Command(text, _note, shell=shell, seconds=span.seconds + seconds, option="--hand-over"), _note, span)


def _tally_file(path: Path, clips: Path | None) -> TallyFile:
    from speechtl.runtime.listen.tally_file import TallyFile

    return TallyFile(path, _note, clips)


def _clips(folder: Path, days: float, megabytes: float, choice: Choice) -> Clips:
    from speechtl.runtime.listen.clips import ClipLimits, Clips

    return Clips(folder, _note, ClipLimits(days, megabytes), choice.clips)


def _inbox(file: Path | None, clips: Path | None) -> InboxAddress | None:
    """The inbox of a studio that clips are sent to."""
    if file is None:
        return None  # without loading what sending needs
    from speechtl.runtime.listen.sending import InboxAddress

    if clips is None:
        raise SpeechtlError("--send-clips needs a folder to save clips in: --save-clips DIR.")
    return InboxAddress.read(file)


@contextmanager
def _sending(inbox: InboxAddress | None, clips: Path | None, hearing: Hearing, signals: Signals) -> Iterator[None]:
    """Send saved clips meanwhile, if there is an inbox."""
    if inbox is None or clips is None:
        yield
        return
    from speechtl.runtime.listen.clips import in_file_name
    from speechtl.runtime.listen.sending import CLOSE_SECONDS, LAST_SECONDS, Sender

    if inbox.word not in map(in_file_name, hearing.names):
        _note(f"The inbox is that of {inbox.word}, which no bundle hears; clips of other words are not sent.")
    sender = Sender(clips, inbox, _note)
    try:
        yield
    finally:
        sender.close(CLOSE_SECONDS if signals.stopping else LAST_SECONDS)


def _hearing(bundles: list[Path], choice: Choice, channel: int, gate: bool, clips: Clips | None, kept: TallyFile | None) -> Hearing:
    """The detectors of the bundles, which also save clips of near misses and note them in the tally."""
    from speechtl.runtime.listen.clips import NearMisses
    from speechtl.runtime.listen.hearing import Hearing
    from speechtl.runtime.microphone.voice_gate import Gate

    near = NearMisses()

    def on_score(scored: Any, threshold: float) -> None:
        missed = near.feed(scored, threshold)
        clip = clips.add(missed, near=True) if missed is not None and clips is not None else None
        if missed is not None and clip is not None and kept is not None:
            kept.add(missed, clip, near=True)

    return Hearing(
        bundles,
        choice=choice,
        channel=channel,
        gate=Gate() if gate else None,
        on_score=on_score if clips is not None else None,
        log=_note,
    )


def _run(listener: Listener, signals: Signals) -> None:
    """Listen until a signal or the end of the source."""
    from speechtl.runtime.systemd import Notifier

    source = listener.source
    _note(f"Listening for {listener.hearing.bundles.described} to {source.describe()}. Ctrl-C ends it.")
    try:
        tally = listener.run(signals, Notifier())
    finally:
        listener.close()
    counts = ", ".join(f"{name} {count}" for name, count in sorted(tally.detections.items())) or "none"
    overruns = getattr(source, "overruns", 0)
    lost = f"; {overruns} blocks of sound were lost because they were not read in time" if overruns else ""
    missing = 0 if listener.hand_over is None else listener.hand_over.lost
    unheard = f"; {counted(missing, 'request')} {were(missing)} not handed over" if missing else ""
    _note(f"Listened for {tally.seconds:.0f} s; detections: {counts}{lost}{unheard}.")


def tally(
    file: Annotated[Path, typer.Argument(help="A file that listen --tally has written.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Show what a detector did in daily use: hours, events by people's verdict on their clips, false accepts with exact limits.

    A verdict is the folder within that of the clips into which a clip was moved: word, not-word or unsure. Events without a clear
    verdict count as false in the limit.
    """
    from speechtl.runtime.listen.evidence import read_evidence

    found, damaged = read_evidence(file)
    if damaged:
        _note(f"{counted(damaged, 'line')} of {file} cannot be used, and {are(damaged)} left out.")
    if as_json:
        echo_json([one.to_json() for one in found], indent=2)
    else:
        echo("\n".join(map(str, found)) or f"{file}: nothing was listened to yet")


def doctor(
    bundle: Annotated[Path | None, typer.Argument(metavar="NAME.wake", help="Also try this bundle.", show_default=False)] = None,
    device: DeviceOption = None,
    channel: ChannelOption = 1,
    rate: RateOption = None,
    seconds: Annotated[float, typer.Option(min=1.0, max=60.0, callback=finite, help="How long to listen.")] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """Check the microphone, the runtime and the machine; prints what is wrong and what to do."""
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


def _print(event: Event) -> None:
    echo(one_line(f"{event.at}  {event}"))


def _print_json(event: Event) -> None:
    echo_json(event.to_json())


def serve(
    bundles: BundlesArgument,
    uri: UriOption = "tcp://127.0.0.1:10400",
    threshold: ThresholdOption = None,
    per_day: RateOfDayOption = None,
    refractory: RefractoryOption = None,
    graph: GraphOption = None,
    engine: EngineOption = None,
    zeroconf: ZeroconfOption = None,
) -> None:
    """Serve wake words over the Wyoming protocol, to Home Assistant and voice satellites.

    Up to 32 clients at once, any rate and width of audio. A folder of bundles is watched, and SIGHUP reloads all bundles.
    SIGTERM and Ctrl-C end it.
    """
    from speechtl.runtime.bundle.choice import Choice, rates, refractory_times, thresholds

    with needing("serve", "The server"):
        from speechtl.runtime.server.server import ServerSettings
        from speechtl.runtime.server.server import serve as run_server
    if zeroconf is not None:
        from speechtl.runtime.server.address import load_zeroconf

        load_zeroconf()
    choice = Choice(thresholds(threshold or []), refractory_times(refractory or []), graph, engine, per_day=rates(per_day or []))
    run_server(ServerSettings(tuple(bundles), uri, choice, zeroconf), say)
