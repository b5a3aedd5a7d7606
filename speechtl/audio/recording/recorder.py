"""The recorder: takes of the word, each checked and kept, repeated or undone with one key, and sound without the word."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from speechtl.audio.data.manifest import Clip
from speechtl.audio.data.takes import cuts, expected_seconds, has_word
from speechtl.audio.recording.capture import BEFORE, Capture, Captured, WordSaid, drain, record
from speechtl.audio.recording.checks import TakeCheck, TakeProblem, check_take
from speechtl.audio.recording.folder import CONSENT, OWN_LICENCE, Circumstances, Speaker, TakeFolder, speaker_name
from speechtl.audio.recording.sentences import to_read
from speechtl.errors import MicrophoneError, SpeechtlError, os_sentence
from speechtl.runtime.listen.loop import Source
from speechtl.runtime.samples import SAMPLE_RATE, Samples
from speechtl.text import counted

TO_BEGIN = 2.5  # seconds that a speaker has to begin the word
COUNTS, COUNT_SECONDS = 3, 0.5
MINUTE = 60.0  # seconds of each kind of sound without the word
SHORTEST_MINUTE = 5.0  # seconds; a shorter recording is not kept
KEYS = "r repeats, p plays it, u removes the take before, q ends"
KINDS = {
    "room": "A minute of the room, as it is when the detector will listen: be quiet, and let everything run that usually runs.",
    "reading": "A minute of reading. Read in your usual voice, from where you usually are:",
    "talk": "A minute of talk: tell what you did yesterday, or talk to somebody; do not say {word}.",
}


class Screen(Protocol):
    """What the recorder needs of a terminal."""

    def say(self, text: str) -> None:
        """Print a line."""

    def ask(self, question: str, default: str = "") -> str:
        """The answer to a question."""

    def key(self) -> str:
        """The next key: a letter, or `enter`."""

    def pressed(self) -> bool:
        """Whether a key was pressed in the meantime."""

    def meter(self, level_db: float, clipped: bool) -> None:
        """Show a level."""

    def count(self, text: str) -> None:
        """Show a short text for a moment."""


class Comparison(Protocol):
    """Compares a take with those that were kept."""

    def problem(self, samples: Samples, word: tuple[float, float], speaker: str) -> TakeProblem | None:
        """The problem of a take that disagrees with the others."""


@dataclass(frozen=True)
class Take:
    """A take that was cut, its check, the word in it (seconds), and whether sound was lost."""

    samples: Samples
    check: TakeCheck
    rate: int
    lost: bool


@dataclass
class Recorder:
    """Records one speaker from a source; `play` plays a take back, None without playback; `live` is False for a file."""

    source: Source
    screen: Screen
    takes: TakeFolder
    phrase: str
    speaker: Speaker
    device: str
    channel: int = 1
    live: bool = True
    play: Callable[[Samples], None] | None = None
    comparison: Comparison | None = None
    kept: list[Clip] = field(default_factory=list)

    def record_takes(self, number: int) -> None:
        """Record takes of the word until the speaker has that many, or ends it."""
        done = len(self.takes.clips(self.speaker.name))
        if done >= number:
            self.screen.say(f"{self.speaker.name} has {counted(done, 'take')} already; ask for more of them with --takes.")
        while done < number and not self.source.ended:
            self.screen.say(f"Take {done + 1} of {number}: say {self.phrase!r}.")
            take = self._take()
            if take.lost:
                self.screen.say("Sound was lost during this take; say it again.")
                continue
            if self.source.ended and take.check.word is None:
                break
            self._describe(take)
            if not self._decided(take):
                break
            done = len(self.takes.clips(self.speaker.name))

    def record_without_word(self) -> None:
        """Record a minute of the room, of reading and of talk; each may be skipped."""
        for kind, instruction in KINDS.items():
            there = [clip for clip in self.takes.clips(self.speaker.name) if clip.extra.get("kind") == kind]
            self.screen.say(instruction.format(word=self.phrase))
            sentences = to_read([self.phrase], len(there)) if kind == "reading" else []
            for sentence in sentences:
                self.screen.say(f"    {sentence}")
            already = f" ({counted(len(there), 'recording')} of it already)" if there else ""
            self.screen.say(f"Enter begins{already}, and ends it before the minute is over; s skips it, q ends.")
            while (key := self.screen.key()) not in ("enter", "s", "q"):
                pass
            if key == "q" or self.source.ended:
                break
            if key == "enter":
                self._minute(kind, " ".join(sentences))

    def _minute(self, kind: str, prompt: str) -> None:
        """Record sound of a kind and keep it, unless there is something wrong with it."""
        captured = self._capture(lambda capture: capture.seconds >= MINUTE or self.screen.pressed())
        seconds = len(captured.samples) / SAMPLE_RATE
        problem = _problem_of(kind, captured)
        if seconds < SHORTEST_MINUTE:
            problem = f"Only {seconds:.1f} s were recorded; at least {SHORTEST_MINUTE:.0f} s are needed."
        if problem:
            self.screen.say(f"{problem} Not kept: start the command again to repeat it.")
            return
        more = {"kind": kind} | ({"prompt": prompt} if prompt else {})
        clip = self.takes.add(captured.samples, self.speaker, Circumstances(self.device, captured.rate, more))
        self.kept.append(clip)
        self.screen.say(f"Kept {seconds:.0f} s as {clip.path}.")

    def _take(self) -> Take:
        """Record a take, cut it to the word with up to a second around, and check it."""
        said = WordSaid(expected_seconds([self.phrase])[1] + TO_BEGIN)
        captured = self._capture(said)
        check = check_take(captured.samples, [self.phrase])
        samples = captured.samples
        if check.word is not None:
            first, last = cuts([check.word], len(samples))[0]
            samples = samples[max(first, 0) : last]
            share = captured.clipped_seconds / (check.word[1] - check.word[0])
            check = check_take(samples, [self.phrase], clipped=min(share, 1.0))
        if check.word is not None and self.comparison is not None:
            different = self.comparison.problem(samples, check.word, self.speaker.name)
            check = check.with_problem(different) if different else check
        return Take(samples, check, captured.rate, captured.lost)

    def _capture(self, stop: Callable[[Capture], bool]) -> Captured:
        """Count down, and record until `stop`."""
        since = 0.0
        if self.live:
            drain(self.source)
            for count in range(COUNTS, 0, -1):
                self.screen.count(f"{count} ...")
                time.sleep(COUNT_SECONDS)
            since = time.monotonic() - BEFORE
        captured = record(self.source, channel=self.channel, stop=stop, meter=self.screen.meter, log=self.screen.say, since=since)
        if self.live:
            self.screen.pressed()  # a key that was pressed too early decides nothing
        return captured

    def _describe(self, take: Take) -> None:
        check = take.check
        if check.word is not None:
            above = "" if check.snr_db is None else f", {check.snr_db:.0f} dB above the background"
            said = f"{check.word[1] - check.word[0]:.2f} s at {check.level_db:.0f} dBFS{above}"
            self.screen.say(f"  {said}{': good.' if check.ok else '.'}")
        for problem in check.problems:
            self.screen.say(f"  {problem}")
        self._play(take)

    def _play(self, take: Take) -> None:
        if self.play is None:
            return
        try:
            self.play(take.samples)
        except MicrophoneError as error:
            self.play = None
            self.screen.say(f"{error} Takes are recorded without playback.")

    def _decided(self, take: Take) -> bool:
        """Keep or repeat a take as the speaker decides; False to end."""
        good = take.check.ok
        self.screen.say(f"  Enter keeps it, {KEYS}." if good else f"  Enter repeats it, k keeps it all the same, {KEYS}.")
        while True:
            key = self.screen.key()
            if key == "k" or (key == "enter" and good):
                if self._keep(take):
                    return True
            elif key in ("enter", "r"):
                return True
            if key == "q":
                return False
            if key == "p":
                self._play(take)
            if key == "u":
                self._undo()

    def _keep(self, take: Take) -> bool:
        """Keep a take; False, with the reason, where it cannot be written: it is still there to be kept."""
        try:
            clip = self.takes.add(take.samples, self.speaker, Circumstances(self.device, take.rate), take.check.word)
        except (SpeechtlError, OSError) as error:
            reason = os_sentence(error) if isinstance(error, OSError) else str(error)
            self.screen.say(f"  The take was not kept: {reason} Press k to try again.")
            return False
        self.kept.append(clip)
        self.screen.say(f"  Kept as {clip.path}.")
        return True

    def _undo(self) -> None:
        """Remove the last take of this session."""
        if not self.kept:
            self.screen.say("  No take was kept since the start.")
            return
        clip = self.kept.pop()
        self.takes.remove(clip)
        self.screen.say(f"  Removed {clip.path}.")


def _problem_of(kind: str, captured: Captured) -> str:
    """What is wrong with sound of a kind; an empty text where nothing is."""
    if captured.lost:
        return "Sound was lost during this recording."
    if not np.any(captured.samples):
        return "The recording is silent. Is the microphone muted?"
    if kind != "room" and not has_word(captured.samples):
        return "No speech was found in the recording."
    return ""


def ask_speaker(screen: Screen, takes: TakeFolder, name: str | None) -> Speaker:
    """The speaker by name, with consent and licence as given before, or asked for once; raises `SpeechtlError` without consent."""
    while True:
        try:
            name = speaker_name(name if name is not None else screen.ask("Who speaks? (a name, or speaker-1)"))
            break
        except SpeechtlError as error:
            screen.say(str(error))
            name = None
    if (known := takes.speaker(name)) is not None:
        return known
    screen.say(f"The recordings are kept in {takes.folder}, for {CONSENT}, which may be given to others.")
    if screen.ask(f"Does {name} agree? (yes or no)").casefold() not in ("y", "yes"):
        raise SpeechtlError(f"Nothing is recorded without the consent of {name}.")
    licence = screen.ask("Licence of the recordings (SPDX, such as CC0-1.0 or CC-BY-4.0; Enter: not published)", OWN_LICENCE)
    return Speaker(name, CONSENT, licence)
