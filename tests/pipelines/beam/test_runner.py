"""Options of Beam that a job changes, and what is said when a job service fails."""

import grpc
import pytest
from apache_beam.options.pipeline_options import PortableOptions

from models.errors import UserError
from pipelines.beam import local_workers, runner

PORTABLE = ["--runner=PortableRunner", "--job_endpoint=localhost:1"]


@pytest.mark.parametrize(
    ("argument", "expected_s"),
    [((), runner.JOB_TIMEOUT_S), (("--job_server_timeout=60",), 60), (("--job_server_timeout=300",), 300)],
)
def test_the_time_of_a_job_on_a_job_service_is_not_limited_by_default(argument, expected_s):
    timeouts = []

    def build(pipeline, *, isolated):
        timeouts.append(pipeline.options.view_as(PortableOptions).job_server_timeout)

    runner.run(build, runner.parse_options([*PORTABLE, *argument, "--dry_run=True"]))
    assert timeouts == [expected_s], "Beam's own job service ends the stream of a job's states by then"


class _Disconnected(grpc.RpcError, grpc.Call):
    """What gRPC raises; its text has several lines, and the last one is >."""

    def __init__(self):
        super().__init__("<_MultiThreadedRendezvous of RPC that terminated with:\n\tstatus = UNAVAILABLE\n>")

    def code(self):
        return grpc.StatusCode.UNAVAILABLE

    def details(self):
        return "Socket closed"

    add_callback = cancel = initial_metadata = is_active = time_remaining = trailing_metadata = None


@pytest.mark.parametrize(
    ("error", "reason", "attempts"),
    [
        (_Disconnected(), "UNAVAILABLE: Socket closed", [False]),
        (RuntimeError(f"RuntimeError: {local_workers.LOST}."), "a worker was killed, crashed", [False, True, True]),
    ],
)
def test_failures_of_a_job_service_are_one_line_and_lost_workers_replaced(monkeypatch, capsys, error, reason, attempts):
    isolated_attempts = []

    def fail(*_):
        raise error

    def build(pipeline, *, isolated):
        isolated_attempts.append(isolated)

    monkeypatch.setattr(runner, "_execute", fail)
    with pytest.raises(UserError, match=f"PortableRunner failed: {reason}.*; the same command goes on") as failed:
        runner.run(build, runner.parse_options(PORTABLE))
    assert isolated_attempts == attempts
    assert "\n" not in str(failed.value)
    assert capsys.readouterr().err.count("the job goes on in new ones") == len(attempts) - 1


@pytest.mark.parametrize(
    ("arguments", "size", "mode", "processes"),
    [
        ([], 1, "in_memory", 1),
        ([], runner.PROCESSES_FROM_BYTES, "multi_processing", 3),
        (["--direct_num_workers=1"], runner.PROCESSES_FROM_BYTES, "in_memory", 1),
        (["--direct_num_workers=2"], runner.PROCESSES_FROM_BYTES, "multi_processing", 2),
        (["--direct_num_workers=2"], 1, "multi_processing", 2),
        (["--direct_running_mode=multi_threading"], 1, "multi_threading", 3),
        (["--direct_running_mode=multi_threading", "--direct_num_workers=2"], 1, "multi_threading", 2),
    ],
)
def test_a_large_job_has_a_process_for_each_core_unless_a_number_is_stated(
    monkeypatch, arguments, size, mode, processes
):
    monkeypatch.setattr(runner.parallel, "core_count", lambda: 3)
    parsed = runner.parse_options(arguments)
    runner._local_runner(parsed, size)
    direct = parsed.view_as(runner.DirectOptions)
    assert (direct.direct_running_mode, direct.direct_num_workers) == (mode, processes)
