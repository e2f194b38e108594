"""Counters of a job: right at the end on every local runner, shown while it runs, and never a false zero."""

import itertools
import re
import threading
import time

import apache_beam as beam
import pytest

from pipelines.beam import job_counters, runner
from pipelines.beam.job_counters import JobCounters
from pipelines.progress import Progress, poll_progress

ELEMENTS = 40
TWO_PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
IN_ONE = ["--direct_running_mode=in_memory"]


class _Count(beam.DoFn):
    """Counts elements, one in `seconds`."""

    def __init__(self, seconds):
        self.seconds = seconds

    def process(self, element):
        import time

        from pipelines.beam.job_counters import counter

        time.sleep(self.seconds)
        counter("even" if element % 2 == 0 else "odd").inc()
        yield element, 1


def _build(seconds):
    def build(pipeline, *, isolated):
        assert not isolated
        spread = pipeline | beam.Create(range(ELEMENTS)) | beam.Reshuffle()
        counted = spread | "First" >> beam.ParDo(_Count(seconds)) | beam.GroupByKey()
        _ = counted | beam.Map(lambda pair: pair[0]) | "Second" >> beam.ParDo(_Count(seconds))

    return build


def _totals_during(arguments, seconds):
    """The totals that a job reports while it runs, and the last one."""
    counters, over, totals = JobCounters(), threading.Event(), []

    def watch():
        while not over.wait(0.05):
            totals.append(counters.total("even", "odd"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        runner.run(_build(seconds), runner.parse_options(arguments), counters=counters)
    finally:
        over.set()
        thread.join()
    return totals, counters.total("even", "odd")


@pytest.mark.parametrize("arguments", [IN_ONE, TWO_PROCESSES], ids=["in process", "two processes"])
def test_totals_grow_while_a_local_job_runs_and_are_exact_at_its_end(arguments):
    totals, final = _totals_during(arguments, 0.1)
    assert final == 2 * ELEMENTS
    reported = [total for total in totals if total is not None]
    assert reported == sorted(reported) and 0 < reported[0] and reported[-1] <= final
    assert len({total for total in reported if total < ELEMENTS}) > 2  # during the first stage
    assert len({total for total in reported if ELEMENTS < total < final}) > 2  # and during the second


@pytest.mark.parametrize("name", ["FnApiRunner", "BundleBasedDirectRunner"])
def test_a_runner_that_reports_at_its_end_only_shows_no_count_before(name):
    totals, final = _totals_during([f"--runner={name}"], 0.01)
    assert final == 2 * ELEMENTS and set(totals[:-1]) <= {None}


class _Result:
    """The result of a job on a runner whose metrics fail or are empty."""

    def __init__(self, found):
        self.found = found

    def metrics(self):
        return self

    def query(self, _):
        if isinstance(self.found, Exception):
            raise self.found
        return {"counters": self.found}


@pytest.mark.parametrize("found", [[], NotImplementedError()], ids=["nothing", "error"])
def test_a_job_without_metrics_shows_elapsed_time_and_no_count(found, capsys):
    counters = JobCounters()
    with poll_progress(Progress("work", 6000, "files", interval_s=0), lambda: counters.total("even")):
        counters.finish(_Result(found))
        time.sleep(0.6)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1 and all(re.fullmatch(r"work: \d s elapsed", line) for line in lines)


def test_a_failed_query_keeps_the_totals_before_it():
    answers = iter([{"even": 3}, RuntimeError(), {}, {"even": 5}])
    counters = JobCounters()

    def query():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    counters.connect(query, 0.0)
    assert [counters.total("even", "odd") for _ in range(4)] == [3, 3, 3, 5]


def test_a_remote_job_is_queried_at_intervals(monkeypatch):
    now, queries = itertools.count(0.0, 4.0), []
    monkeypatch.setattr(job_counters.time, "monotonic", lambda: next(now))
    counters = JobCounters()
    counters.connect(lambda: queries.append(1) or {"even": len(queries)}, 10.0)
    assert counters.total("even") == 1 and len(queries) == 1
    for _ in range(8):
        counters.total("even")
    assert 2 <= len(queries) <= 5


def test_the_requester_of_beam_is_restored_after_a_run():
    before = job_counters.fn_runner.ProgressRequester
    runner.run(_build(0), runner.parse_options([]), counters=JobCounters())
    assert job_counters.fn_runner.ProgressRequester is before
