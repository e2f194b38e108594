"""Progress lines, counters over processes, and durations."""

import io
import re
import sys
import threading

import pytest

from pipelines import progress
from pipelines.progress import Progress, format_duration, poll_progress


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_progress_shows_rate_and_time_left_of_this_process(clock, capsys):
    progress = Progress("train", 100, "steps", start=40)
    clock.now += 10
    progress.show(60, "loss 3")
    assert capsys.readouterr().err == "train: 60/100 steps, 2/s, 20 s left  loss 3\n"


def test_progress_of_unknown_length_shows_no_time_left(clock, capsys):
    progress = Progress("read", None, "files")
    progress.close()
    assert capsys.readouterr().err == "read: 0 files, 0/s\n"


@pytest.mark.parametrize(("terminal", "lines"), [(False, 4), (True, 100)])
def test_progress_prints_less_often_to_a_file_than_to_a_terminal(clock, monkeypatch, terminal, lines):
    spoken = io.StringIO()
    spoken.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", spoken)
    progress = Progress("train", 100, "steps", interval_s=15)
    for step in range(100):
        progress.show(step)
        clock.now += 0.5
    assert len(re.findall("train: ", spoken.getvalue())) == lines
    assert ("\r" in spoken.getvalue()) is terminal


@pytest.mark.parametrize(("seconds", "warnings"), [(progress.STALLED_S - 1, 0), (progress.STALLED_S + 1, 1)])
def test_a_job_that_does_nothing_for_long_gets_a_warning_with_what_to_do(clock, monkeypatch, capsys, seconds, warnings):
    steps, ended = [(0, 0), (500, 0), (10, 1), (seconds, 1), (0.5, 1), (500, None), (500, None)], threading.Event()

    def count():
        if not steps:
            ended.set()
            return None
        passed, done = steps.pop(0)
        clock.now += passed
        return done

    monkeypatch.setattr(progress, "POLL_S", 0.001)
    with poll_progress(Progress("work", 5, "files"), count):
        assert ended.wait(30)
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(lines) == warnings and all("work: no files done for 10 min" in line for line in lines)


def test_a_watched_block_ends_with_the_last_count_and_no_thread(clock, capsys):
    done, before = [], threading.active_count()
    with poll_progress(Progress("work", 5, "files"), lambda: len(done)):
        assert threading.active_count() == before + 1
        done.extend("12345")
        clock.now += 5
    assert threading.active_count() == before
    assert capsys.readouterr().err.splitlines()[-1] == "work: 5/5 files, 1/s, 0 s left"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (75, "1 min 15 s"), (3599.9, "1 h 0 min"), (7300, "2 h 1 min")],
)
def test_durations_are_rounded_before_they_are_split(seconds, said):
    assert format_duration(seconds) == said
