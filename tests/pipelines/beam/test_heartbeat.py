"""Heartbeats of workers, and jobs whose workers write none."""

import contextlib
import itertools
import threading
import time

import pytest
import store
from apache_beam.runners.runner import PipelineState

from models.errors import UserError
from pipelines import cli
from pipelines.beam import filesystem, heartbeat, rows, runner

INTERVAL_S = 0.05
TIMEOUT_S = heartbeat.INTERVALS * INTERVAL_S
PORTABLE = ["--runner=PortableRunner", "--job_endpoint=localhost:1"]
POOL = [*PORTABLE, "--environment_type=EXTERNAL", "--environment_config=worker:1"]


@pytest.fixture(params=["local", "store"])
def folder(request, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "OBJECTS", {})
    return str(tmp_path / "out") if request.param == "local" else "store://bucket/out"


@pytest.fixture
def beats(folder):
    return rows.heartbeat(folder, rows.begin_job(folder), TIMEOUT_S)


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(INTERVAL_S / 5)


def test_a_process_writes_files_with_new_names_while_it_works(beats):
    names = set()

    def observe():
        listed = beats.paths()
        names.update(listed)
        assert len(listed) <= 2, "the file before is deleted when a new one is there"
        return len(names) >= 3

    with beats.working(), beats.working():
        wait_for(observe)
    wait_for(lambda: not heartbeat._WRITERS[beats]._due.is_set())
    time.sleep(2 * INTERVAL_S)
    last = beats.paths()
    time.sleep(4 * INTERVAL_S)
    assert beats.paths() == last and len(last) == 1


def test_work_between_two_heartbeats_is_noticed(beats):
    with beats.working():
        pass
    wait_for(beats.paths)
    wait_for(lambda: not heartbeat._WRITERS[beats]._due.is_set())
    first = beats.paths()
    with beats.working():
        pass
    wait_for(lambda: beats.paths() - first)


def test_all_threads_of_a_process_share_one_writer(beats):
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(beats.working())
        assert [thread.name for thread in threading.enumerate()].count("heartbeat") >= 1
        assert len({id(heartbeat._writer(beats)) for _ in range(5)}) == 1


def test_an_error_in_the_work_ends_its_heartbeats(beats):
    with pytest.raises(RuntimeError), beats.working():
        raise RuntimeError
    wait_for(lambda: not heartbeat._WRITERS[beats]._due.is_set())


def test_a_job_that_another_one_replaced_writes_none(folder, beats):
    with beats.working():
        wait_for(beats.paths)
        rows.clear(folder)
        later = rows.begin_job(folder)
        time.sleep(4 * INTERVAL_S)
        assert not beats.paths()
        assert filesystem.list_folder(rows.work_folder(folder)) == [rows._token_path(folder, later)]


def test_a_heartbeat_at_the_end_of_the_job_is_removed_by_its_writer(folder, beats, monkeypatch):
    write_text = filesystem.write_text

    def end_job_and_write(path, text):
        rows.clear(folder)
        write_text(path, text)

    monkeypatch.setattr(filesystem, "write_text", end_job_and_write)
    heartbeat._Writer(beats).write()
    assert not filesystem.list_folder(rows.work_folder(folder))
    assert not filesystem.exists(rows.work_folder(folder))


def test_errors_of_a_file_system_end_no_heartbeats(beats, monkeypatch):
    write_text, failures = filesystem.write_text, iter([OSError("full"), RuntimeError("unreachable")])

    def fail_twice(path, text):
        for error in failures:
            raise error
        write_text(path, text)

    monkeypatch.setattr(filesystem, "write_text", fail_twice)
    with beats.working():
        wait_for(beats.paths)


def test_a_heartbeat_that_cannot_be_written_leaves_no_file_of_an_earlier_one(beats, monkeypatch):
    writer = heartbeat._Writer(beats)
    writer.write()
    with monkeypatch.context() as full, pytest.raises(OSError):
        full.setattr(filesystem, "write_text", lambda *_: (_ for _ in ()).throw(OSError("full")))
        writer.write()
    first = beats.paths()
    writer.write()
    assert len(beats.paths()) == 1 and beats.paths() != first


def test_heartbeats_are_no_results_and_deleted_with_the_work_folder(folder, beats):
    heartbeat._Writer(beats).write()
    assert len(beats.paths()) == 1
    assert not list(rows.read_rows(folder, "heartbeat"))
    rows.clear(folder)
    assert not beats.paths() and not filesystem.exists(rows.work_folder(folder))


def test_one_listing_without_the_results_shows_all_heartbeats(monkeypatch):
    monkeypatch.setattr(store, "OBJECTS", {})
    beats = rows.heartbeat("store://bucket/out", rows.begin_job("store://bucket/out"), TIMEOUT_S)
    for _ in range(3):
        heartbeat._Writer(beats).write()
    store.OBJECTS["store://bucket/out/.crossfade-work/features/00/0"] = b""
    prefixes, list_objects = [], store.Store._list
    monkeypatch.setattr(
        store.Store, "_list", lambda self, prefix: prefixes.append(prefix) or list_objects(self, prefix)
    )
    assert len(beats.paths()) == 3
    assert prefixes == ["store://bucket/out/.crossfade-work/heartbeat-"]


def test_a_job_on_this_machine_pays_nothing():
    threads = threading.active_count()
    with heartbeat.NO_HEARTBEAT.working():
        assert heartbeat.NO_HEARTBEAT not in heartbeat._WRITERS and threading.active_count() <= threads
    watch = heartbeat.HeartbeatWatch(heartbeat.NO_HEARTBEAT, clock=iter([0.0, 1e9]).__next__)
    watch.begin(None)
    assert watch.failure() is None


class Job:
    """A result of a submission whose state only `cancel` changes."""

    def __init__(self, state=PipelineState.RUNNING):
        self.state, self._over = state, threading.Event()

    def cancel(self):
        self.state = PipelineState.CANCELLED
        self._over.set()

    def wait_until_finish(self):
        assert self._over.wait(60)
        raise RuntimeError("Pipeline job-1 failed in state CANCELLED: unknown error")


class Simulation:
    """A watch by a clock that only `advance` moves, with a timeout of 600 s."""

    def __init__(self, folder):
        self.now, self.job, self.numbers = 1000.0, Job(), itertools.count()
        self.beats = rows.heartbeat(folder, rows.begin_job(folder), 600.0)
        self.watch = heartbeat.HeartbeatWatch(self.beats, clock=lambda: self.now)
        self.watch.begin(self.job)

    def beat(self):
        filesystem.delete(sorted(self.beats.paths()))
        filesystem.write_text(f"{self.beats.prefix}{next(self.numbers):016x}", "")

    def advance(self, seconds, step=0.5):
        """The error after that time, or as soon as there is one."""
        end = self.now + seconds
        while self.now < end:
            self.now += min(step, end - self.now)
            if error := self.watch.failure():
                return error
        return None


@pytest.fixture
def simulation(folder):
    return Simulation(folder)


def test_a_job_without_any_heartbeat_is_cancelled_after_the_timeout(simulation):
    assert simulation.advance(599) is None and simulation.job.state == PipelineState.RUNNING
    error = simulation.advance(40)
    assert "its workers have not responded for 10 min 0 s, the limit of --worker_timeout_s" in str(error)
    assert simulation.job.state == PipelineState.CANCELLED


def test_every_heartbeat_begins_the_time_anew(simulation):
    for _ in range(4):
        simulation.beat()
        assert simulation.advance(560) is None
    assert simulation.advance(120)


def test_the_file_of_a_worker_that_is_gone_is_no_heartbeat(simulation):
    simulation.beat()
    assert simulation.advance(30) is None
    assert simulation.advance(630) and len(simulation.beats.paths()) == 1


def test_a_job_that_waits_for_machines_is_left(simulation):
    simulation.job.state = PipelineState.STARTING
    assert simulation.advance(5000) is None
    simulation.job.state = PipelineState.RUNNING
    assert simulation.advance(560) is None
    assert simulation.advance(60)


def test_the_time_of_a_launcher_that_was_suspended_does_not_count(simulation):
    simulation.beat()
    assert simulation.advance(100) is None
    assert simulation.advance(7200, step=7200) is None
    assert simulation.advance(400) is None
    simulation.beat()
    assert simulation.advance(560) is None


def test_nothing_is_concluded_when_the_folder_or_the_state_cannot_be_read(simulation, monkeypatch):
    def refuse(*_):
        raise OSError("stale")

    with monkeypatch.context() as unreachable:
        unreachable.setattr(filesystem, "list_folder", refuse)
        unreachable.setattr(filesystem, "list_prefix", refuse)
        assert simulation.advance(5000) is None
    with monkeypatch.context() as unreachable:
        unreachable.setattr(Job, "state", property(refuse, lambda *_: None), raising=False)
        assert simulation.advance(5000) is None
    assert simulation.advance(660)


def test_a_job_that_cannot_be_cancelled_is_given_up(simulation, monkeypatch):
    def refuse():
        raise RuntimeError("no such job")

    monkeypatch.setattr(simulation.job, "cancel", refuse)
    assert simulation.advance(660)


def test_the_folder_is_listed_at_the_interval_of_heartbeats(simulation, monkeypatch):
    listings, paths = [], heartbeat.Heartbeat.paths
    monkeypatch.setattr(heartbeat.Heartbeat, "paths", lambda self: listings.append(1) or paths(self))
    simulation.advance(300)
    assert len(listings) == 10


def test_a_job_that_stands_still_ends_in_one_line(beats, monkeypatch):
    job = Job()
    monkeypatch.setattr(cli, "POLL_S", INTERVAL_S)

    class Pipeline:
        runner = None

        def run(self):
            return job

    monkeypatch.setattr(runner, "new_pipeline", lambda *_: Pipeline())
    builds = []
    with pytest.raises(UserError) as failed:
        runner.run(lambda *_, isolated: builds.append(isolated), runner.parse_options(POOL), heartbeat=beats)
    assert str(failed.value) == (
        "the job on PortableRunner failed: its workers have not responded for 0 s, the limit of --worker_timeout_s, "
        "and it was cancelled; the same command goes on from what is done"
    )
    assert builds == [False] and job.state == PipelineState.CANCELLED


@pytest.mark.parametrize(
    ("options", "expected_s"),
    [
        (POOL, heartbeat.TIMEOUT_S),
        ([*POOL, "--worker_timeout_s=60"], 60.0),
        ([*POOL, "--worker_timeout_s=0"], 0.0),
        (["--runner=FlinkRunner"], heartbeat.TIMEOUT_S),
        (["--runner=SparkRunner", "--worker_timeout_s=90"], 90.0),
        ([*PORTABLE, "--environment_type=LOOPBACK"], 0.0),
        (["--runner=DataflowRunner", "--worker_timeout_s=90"], 0.0),
        (["--direct_num_workers=2"], 0.0),
        ([], 0.0),
    ],
)
def test_only_workers_on_a_job_service_write_heartbeats(options, expected_s):
    assert runner.worker_timeout_s(runner.parse_options(options)) == expected_s


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon"])
def test_a_timeout_that_is_no_time_is_refused(value):
    with pytest.raises(UserError, match=f"--worker_timeout_s: {value}; wanted seconds, 0 for no limit"):
        runner.parse_options([f"--worker_timeout_s={value}"])


@pytest.mark.parametrize(("timeout_s", "interval_s"), [(600.0, 30.0), (7200.0, 30.0), (60.0, 6.0)])
def test_a_worker_misses_many_heartbeats_before_it_is_given_up(timeout_s, interval_s):
    assert heartbeat.Heartbeat("a", "b", timeout_s).interval_s == interval_s
