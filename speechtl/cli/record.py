"""The command `speechtl record`. Heavy imports happen inside."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechtl.cli.device import ChannelOption, DeviceOption, FileOption, RateOption
from speechtl.cli.options import output_folder
from speechtl.errors import SpeechtlError
from speechtl.progress import say
from speechtl.text import counted

if TYPE_CHECKING:
    from speechtl.audio.recording.folder import TakeFolder
    from speechtl.audio.recording.recorder import Comparison, Recorder, Screen

RECORDINGS = Path("recordings")
WITHOUT_WORD = "without-word"

WordArgument = Annotated[str, typer.Argument(metavar="WORD", help="The word or phrase to record.", show_default=False)]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder for the takes; default: recordings/WORD.", callback=output_folder),
]
SpeakerOption = Annotated[str | None, typer.Option(metavar="NAME", help="Who speaks; asked for otherwise.")]
TakesOption = Annotated[int, typer.Option(min=1, max=1000, help="Takes that the speaker is to have in the end.")]
NegativesOption = Annotated[
    bool,
    typer.Option("--negatives", help="Record the room, reading and talk without the word instead, into recordings/without-word."),
]
PlaybackOption = Annotated[bool, typer.Option("--playback/--no-playback", help="Play every take back.")]


def record(
    word: WordArgument,
    out: OutOption = None,
    speaker: SpeakerOption = None,
    takes: TakesOption = 10,
    negatives: NegativesOption = False,
    device: DeviceOption = None,
    channel: ChannelOption = 1,
    rate: RateOption = None,
    playback: PlaybackOption = True,
    dry_run: FileOption = None,
) -> None:
    """Record takes of a word: each is cut, checked, compared with the others, played back, and kept or repeated with one key.

    Started again, it goes on with the next take. The folder is data for `speechtl train --positives`, with a manifest.jsonl (speaker,
    consent, licence, device, rate).
    """
    from speechtl.audio.recording.folder import TakeFolder
    from speechtl.audio.recording.recorder import Recorder, ask_speaker
    from speechtl.audio.recording.terminal import Terminal

    folder = TakeFolder(out or RECORDINGS / (WITHOUT_WORD if negatives else _folder_name(word)), None if negatives else word)
    with ExitStack() as held:
        screen = held.enter_context(Terminal())
        folder.check_label()
        source, name = _source(dry_run, device, rate, channel, screen)
        held.callback(source.close)
        who = ask_speaker(screen, folder, speaker)
        recorder = Recorder(source, screen, folder, word, who, name, channel, live=dry_run is None)
        if negatives:
            recorder.record_without_word()
        else:
            recorder.play = _play() if playback else None
            recorder.comparison = _comparison(folder)
            recorder.record_takes(takes)
        _summarise(recorder, negatives)


def _folder_name(word: str) -> str:
    """The name of the word's folder."""
    from speechtl.audio.phrases import words

    name = words(word).replace(" ", "-")
    if not name:
        raise SpeechtlError(f"The word {word!r} has no letters; give a word or a phrase, such as: speechtl record computer")
    return name


def _source(dry_run: Path | None, device: str | None, rate: int | None, channel: int, screen: Screen) -> tuple[Any, str]:
    """The microphone or the file, and the name of the device for the manifest."""
    if dry_run is not None:
        if device is not None or rate is not None or channel != 1:
            raise SpeechtlError("--dry-run plays a file in place of the microphone; leave out --device, --rate and --channel.")
        from speechtl.runtime.listen.loop import PacedFile

        return PacedFile(dry_run), dry_run.name
    from speechtl.runtime.microphone.stream import Microphone

    microphone = Microphone(device, screen.say, rate=rate, channel=channel)
    microphone.open()
    screen.say(f"Recording from {microphone.describe()}.")
    return microphone, microphone.device.lasting_name if microphone.device else ""


def _play() -> Any:
    from speechtl.runtime.microphone.playback import play

    return play


def _comparison(folder: TakeFolder) -> Comparison | None:
    """What compares takes; None, with a sentence, where the packages of training are not installed."""
    try:
        from speechtl.audio.recording.agreement import KeptTakes
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "speechtl":
            raise
        say("Takes are not compared with each other, which needs: pip install 'speechtl[train]'")
        return None
    return KeptTakes(folder)


def _summarise(recorder: Recorder, negatives: bool) -> None:
    folder = recorder.takes.folder
    clips = recorder.takes.clips()
    if not clips:
        recorder.screen.say("Nothing was kept.")
        return
    speakers = len({clip.person for clip in clips})
    what = "recording" if negatives else "take"
    recorder.screen.say(
        f"{counted(len(recorder.kept), what)} kept; {folder} has {counted(len(clips), what)} by {counted(speakers, 'speaker')}. "
        f"Use them with: speechtl train {'--negatives' if negatives else '--positives'} {folder}"
    )
