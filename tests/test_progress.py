"""Stages tell how far they are, also while one step takes long."""

import io
import itertools
import re
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechtl import progress as module
from speechtl.progress import Lines, Tally, duration, progress, tracked

SILENT_AT_MOST = 15.0  # seconds


class FakeClock:
    """A clock that the test moves, with the lines that were said and when."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.said: list[tuple[float, str]] = []
        self.lines = Lines(lambda text: self.said.append((self.now, text)), lambda: self.now)

    def work(self, seconds: float) -> None:
        """Let a step take so long, while the thread that watches wakes as often as it asks to."""
        end = self.now + seconds
        while self.now + (due := max(self.lines.tick(), 0.1)) < end:
            self.now += due
        self.now = end

    def longest_silence(self, begun: float) -> float:
        times = [begun, *(at for at, _ in self.said), self.now]
        return max(after - before for before, after in itertools.pairwise(times))


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(module, "_Watch", QuietWatch)
    return FakeClock()


class QuietWatch:
    """No thread: the test moves the clock itself."""

    def __init__(self, lines: Lines) -> None:
        pass

    def end(self) -> None:
        pass


STEP = st.tuples(st.sampled_from(["advance", "open", "close"]), st.floats(0.0, 400.0))


@given(steps=st.lists(STEP, min_size=1, max_size=12))
def test_no_fifteen_seconds_pass_without_a_line_while_a_stage_is_open(steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_Watch", QuietWatch)
        clock = FakeClock()
        begun = clock.now
        with clock.lines.stage("outermost") as advance:
            inner = []
            for number, (what, seconds) in enumerate(steps):
                clock.work(seconds)
                if what == "open":
                    inner.append(clock.lines.open(f"stage {number}"))
                elif what == "close" and inner:
                    clock.lines.close(inner.pop())
                else:
                    advance(number, len(steps))
            clock.work(5.0)
            assert clock.longest_silence(begun) <= SILENT_AT_MOST


def test_a_line_names_the_stage_and_says_how_many_are_done_and_the_time_left(clock):
    with clock.lines.stage("reading recordings") as advance:
        for done in range(5):
            advance(done, 10)
            clock.now += 6.0
    assert clock.said[-1][1] == "reading recordings: 4 of 10, about 36 s left"


def test_what_an_earlier_call_did_says_nothing_of_the_speed(clock):
    with clock.lines.stage("training, step") as advance:
        advance(900, 1000)
        clock.now += 20.0
        advance(910, 1000)
    assert clock.said[-1][1] == "training, step: 910 of 1000, about 3 min left"


def test_a_step_that_takes_long_is_told_of_with_how_long(clock):
    with clock.lines.stage("exporting") as advance:
        advance(1, 4)
        clock.work(25.0)
    assert [text for _, text in clock.said] == ["exporting: 1 of 4", "exporting: still 1 of 4, 20 s since the last step"]
    with clock.lines.stage("loading"):
        clock.work(11.0)
    assert clock.said[-1][1] == "loading: at work, 5 s so far"


def test_what_came_before_the_first_stage_shortens_the_wait_for_its_line(clock):
    clock.now += 60.0
    with clock.lines.stage("loading"):
        clock.work(6.0)
    assert clock.said == [(1065.0, "loading: at work, 5 s so far")]


def test_the_innermost_stage_is_told_of_and_the_outer_one_after_it(clock):
    with clock.lines.stage("outer"):
        with clock.lines.stage("inner"):
            clock.work(11.0)
        clock.work(11.0)
    assert [text.split(":")[0] for _, text in clock.said] == ["inner", "outer"]


def test_quick_work_says_nothing(capsys):
    assert list(tracked("counting", "abc", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_thread_tells_of_a_call_that_does_not_return_and_ends_with_the_stage(monkeypatch, capsys):
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.2)
    with progress("waiting"):
        time.sleep(0.5)
    assert "waiting: at work" in capsys.readouterr().err
    assert not [thread for thread in threading.enumerate() if thread.name == "speechtl-progress"]


def test_every_item_of_several_threads_is_counted_once():
    seen = []
    tally = Tally(lambda done, total: seen.append((done, total)), 200)
    threads = [threading.Thread(target=lambda: list(tally(range(50)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [(number, 200) for number in range(1, 201)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_stages_within_stages_are_bars_of_one_display(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("outer") as outer, progress("inner") as inner:
        outer(1, 2)
        inner(3, 4)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "outer" in shown
    assert "1/2" in shown


@pytest.mark.parametrize("title", ["[red]x", "[/]", "[bold]a[/bold] :smile:", "a\x1b[2Jb\nc"])
def test_on_a_terminal_a_title_is_text_and_no_markup(monkeypatch, title):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "150")
    with progress(title) as advance:
        advance(1, 2)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert title.replace("\x1b", "\\x1b").replace("\n", "\\x0a") in shown


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "5 s"), (89.0, "89 s"), (120.0, "2 min"), (5400.0, "1.5 h")])
def test_times_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_on_a_terminal_what_belongs_to_standard_output_stays_there(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress("outer"):
        print("result")
    assert capsys.readouterr().out == "result\n"
