import threading

import numpy as np
import pytest

from speechtl.audio.evaluation.hours import processes
from speechtl.audio.evaluation.hours.parts import Part
from speechtl.audio.evaluation.hours.processes import WORTH_SECONDS, local
from speechtl.errors import SpeechtlError


@pytest.fixture
def parts(listed):
    return [Part(index, index, listed.lines(index, index + 1)) for index in range(6)]


def test_processes_hear_what_this_one_hears_also_when_one_is_killed(ears, parts, monkeypatch):
    with local(ears, 1, WORTH_SECONDS) as hear:
        expected = list(hear(parts))
    started, start = [], processes._Crew._start
    monkeypatch.setattr(processes._Crew, "_start", lambda crew: started.append(start(crew)) or started[-1])
    with local(ears, 2, 2 * WORTH_SECONDS) as hear:
        given = []
        for heard in hear(parts):
            if not given:
                started[0].kill()
            given.append(heard)
    given.sort(key=lambda heard: heard.number)
    assert [heard.number for heard in given] == [0, 1, 2, 3, 4, 5]
    for one, other in zip(given, expected, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.steps, other.steps)
    assert len(started) >= 2
    assert all(process.poll() is not None for process in started)


def test_a_part_that_kills_its_process_twice_ends_the_work(ears, parts, monkeypatch):
    monkeypatch.setattr(processes, "PROGRAM", "import os; os._exit(9)")
    with pytest.raises(SpeechtlError, match=r"was killed 2 times.*fewer --jobs"), local(ears, 2, 2 * WORTH_SECONDS) as hear:
        list(hear(parts))


def test_little_sound_is_heard_without_a_new_process(ears, parts):
    before = threading.active_count()
    with local(ears, 8, WORTH_SECONDS) as hear:
        next(hear(parts))
        assert threading.active_count() == before
