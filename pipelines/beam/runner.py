"""Execution of Beam jobs: pipeline options, the local runner, and failures reported in one line."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator

import grpc

from models.errors import UserError
from pipelines import cli, config, parallel
from pipelines.beam import local_workers
from pipelines.beam.heartbeat import NO_HEARTBEAT, Heartbeat, HeartbeatWatch, WorkerOptions, WorkersSilent
from pipelines.beam.job_counters import QUERY_S, JobCounters, LocalRunner, query_counters

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the Google clients warn of Python versions that they will not support
    logging.disable(logging.WARNING)
    import apache_beam as beam
    from apache_beam.options.pipeline_options import (
        DirectOptions,
        PipelineOptions,
        StandardOptions,
        TestOptions,
    )
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    logging.disable(logging.NOTSET)
PROCESSES_FROM_BYTES = 64 << 20  # for less, starting worker processes takes longer than it saves
JOB_TIMEOUT_S = 365 * 86400  # Beam's default is 300: on its own job service, that limits the time of the whole job
DEFAULTS = (f"--job_server_timeout={JOB_TIMEOUT_S}", "--direct_num_workers=0")  # other than Beam's; 0 for automatic
LOCAL_RUNNERS = ("DirectRunner", "FnApiRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner")
JOB_SERVER_JARS = {"FlinkRunner": "flink_job_server_jar", "SparkRunner": "spark_job_server_jar"}
JOB_SERVICE_RUNNERS = ("PortableRunner", "FlinkRunner", "SparkRunner")
TRUE_VALUES, FALSE_VALUES = ("true", "yes", "1"), ("", "false", "no", "0")
DRY_RUNNERS = ("DataflowRunner",)
WORKER_RETRIES = 2  # of a job whose worker processes ended
TAKEN_UP = (
    "the last job there did not finish; files are now read in child processes, so that one that crashes or hangs fails "
    "alone"
)
SYSTEM_ERRORS = "OSError|PermissionError|FileNotFoundError|FileExistsError|NotADirectoryError|IsADirectoryError"
USER_ERRORS = "UserError|WriteError"  # names of classes, as they are in what Beam raises of a worker
USER_ERROR = re.compile(rf"\b(?:{USER_ERRORS}|{SYSTEM_ERRORS}): (.*?)(?: \[while running '|$)", re.MULTILINE)
TYPE_AND_MESSAGE = re.compile(r"^[\w.]*(?:Error|Exception|Timeout)\b.*$", re.MULTILINE)


def parse_options(arguments: list[str]) -> PipelineOptions:
    """Parse Beam's pipeline options, which follow the bare ``--``.

    Raises:
      UserError: Beam does not have an option, or rejects its value.
    """
    for previous, argument in zip(["", *arguments], arguments, strict=False):
        if not argument.startswith("-") and ("=" in previous or not previous.startswith("--")):
            raise UserError(f"{argument}: wanted --option=value after the bare --")
    errors = io.StringIO()
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(errors):
            parsed = PipelineOptions([*DEFAULTS, *arguments])
            known_options, user_options = (
                parsed.get_all_options(retain_unknown_options=retain) for retain in (False, True)
            )
    except SystemExit:
        raise UserError(f"Beam: {errors.getvalue().rpartition('error: ')[2]}") from None
    finally:
        logging.disable(logging.NOTSET)
    unknown = sorted(set(user_options) - set(known_options))
    if unknown:
        raise UserError(f"Beam has no option --{unknown[0]}; {config.suggest(unknown[0], known_options)}")
    standard = parsed.view_as(StandardOptions)
    standard.runner = standard.runner and _runner_name(standard.runner)
    _normalize_dry_run(parsed.view_as(TestOptions))
    return parsed


def _normalize_dry_run(options: TestOptions) -> None:
    """Normalize ``--dry_run`` to true or None; Beam treats every text as true, even ``False``.

    Raises:
      UserError: the value is neither true nor false.
    """
    text = str(options.dry_run or "").lower()
    if text not in (*TRUE_VALUES, *FALSE_VALUES):
        raise UserError(f"--dry_run={options.dry_run}; wanted true or false")
    options.dry_run = "True" if text in TRUE_VALUES else None


def _runner_name(name: str) -> str:
    """Return a runner's name in Beam's spelling; case and the suffix ``Runner`` are optional."""
    known_names = StandardOptions.KNOWN_RUNNER_NAMES
    matches = [runner for runner in known_names if runner.lower() in (name.lower(), f"{name.lower()}runner")]
    if not matches and "." not in name:
        raise UserError(f"Beam has no runner {name}; {config.suggest(name, known_names)}")
    return matches[0] if matches else name


def is_local(parsed: PipelineOptions) -> bool:
    """Whether the job runs in this process and its children."""
    return parsed.view_as(StandardOptions).runner is None


def is_dry_run(parsed: PipelineOptions) -> bool:
    """Whether the job is only built, not run."""
    return bool(parsed.view_as(TestOptions).dry_run)


def is_distributed(parsed: PipelineOptions) -> bool:
    """Whether workers may run on other machines, where local paths name other files or none."""
    loopback = str(parsed.get_all_options().get("environment_type")).upper() == "LOOPBACK"
    return runner_class(parsed) not in LOCAL_RUNNERS and not loopback


def runner_class(parsed: PipelineOptions) -> str:
    """Return the class name of the runner, without the module of a custom runner."""
    return (parsed.view_as(StandardOptions).runner or LOCAL_RUNNERS[0]).rpartition(".")[2]


def worker_timeout_s(parsed: PipelineOptions) -> float:
    """Return the timeout of heartbeats, see :class:`Heartbeat`; 0 for runners that notice the loss of a worker."""
    watched = is_distributed(parsed) and runner_class(parsed) in JOB_SERVICE_RUNNERS
    return parsed.view_as(WorkerOptions).worker_timeout_s if watched else 0.0


def run(
    build: Callable[..., None],
    parsed: PipelineOptions,
    *,
    work_bytes: int = 0,
    counters: JobCounters | None = None,
    isolated: bool = False,
    heartbeat: Heartbeat = NO_HEARTBEAT,
) -> None:
    """Run a job on the runner of the options, or on this machine if they name none.

    If a worker process is killed or crashes, the job starts again, with `isolated`, and goes on from what is done.

    Args:
      build: applies the transforms to a pipeline, its argument; the keyword argument `isolated` is whether workers read
        files in child processes, so that a file that crashes the process fails alone.
      parsed: Beam's options, from :func:`options`.
      work_bytes: total size of the input files; from `PROCESSES_FROM_BYTES` on, a local job uses one process per core,
        unless the options state their number.
      counters: receives the counters of the job, while it runs if the runner reports them, and at its end.
      isolated: whether workers read files in child processes from the beginning, as after an unfinished job.
      heartbeat: of the job; if its workers write none for too long, the job is cancelled.

    Raises:
      UserError: the job cannot be started, or it failed for a reason that the user can change.
    """
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # the errors that it logs are also raised here
    if isolated:
        print(f"warning: {TAKEN_UP}", file=sys.stderr)
    for attempt in range(1 + WORKER_RETRIES):
        runner = _local_runner(parsed, work_bytes) if is_local(parsed) else None  # None: the one that the options name
        pipeline = new_pipeline(runner, parsed)
        build(pipeline, isolated=isolated or attempt > 0)
        if is_dry_run(parsed) and runner_class(parsed) not in DRY_RUNNERS:
            return  # other runners ignore the option and would run
        workers = is_local(parsed) and parsed.view_as(DirectOptions).direct_running_mode == "multi_processing"
        watch = HeartbeatWatch(heartbeat)
        work = functools.partial(_execute, pipeline, counters or JobCounters(), watch)
        try:
            watched = local_workers.captured_stderr(_is_expected) if workers else contextlib.nullcontext(watch)
            with watched as active:
                cli.run_interruptible(work, failure=active.failure)
            return
        except Exception as error:
            if local_workers.is_lost(error) and attempt < WORKER_RETRIES:
                print("warning: a worker process was killed or crashed; the job goes on in new ones", file=sys.stderr)
                continue
            _raise_reason(parsed, error, workers)


def _is_expected(error: Exception) -> bool:
    """Whether the user gets one line instead of what the worker processes have printed."""
    return local_workers.is_lost(error) or bool(USER_ERROR.search(f"{type(error).__name__}: {error}"))


def _raise_reason(parsed: PipelineOptions, error: Exception, workers: bool) -> None:
    """Raise why a job failed: in one line, unless it is a fault of this program."""
    if messages := USER_ERROR.findall(f"{type(error).__name__}: {error}"):  # Beam includes that of a worker
        raise UserError(messages[-1]) from None
    if workers and local_workers.is_lost(error):
        raise UserError(
            "worker processes were killed or crashed again and again, perhaps out of memory; what is done is kept, and "
            "the same command goes on from there, with less memory after -- --direct_num_workers=1"
        ) from None
    if is_local(parsed):
        raise error
    raise UserError(_remote_failure(parsed, error)) from error


def _local_runner(parsed: PipelineOptions, work_bytes: int) -> LocalRunner:
    """Return the runner of this machine; sets the number of processes in the options, unless they state one.

    A number above 1 without a mode means processes: threads of one interpreter would wait for each other.
    `DirectRunner` would first download another engine, so this is an `FnApiRunner`. It does not pass the options on to
    its worker processes; the provision information does.
    """
    direct = parsed.view_as(DirectOptions)
    if direct.direct_num_workers == 0:
        large = work_bytes >= PROCESSES_FROM_BYTES or direct.direct_running_mode != "in_memory"
        direct.direct_num_workers = parallel.core_count() if large else 1
    if direct.direct_num_workers > 1 and direct.direct_running_mode == "in_memory":
        direct.direct_running_mode = "multi_processing"
    values = {**parsed.get_all_options(), "default_sdk_harness_log_level": "CRITICAL"}
    info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=JobServiceHandle.encode_pipeline_options(values))
    return LocalRunner(fn_runner.ExtendedProvisionInfo(info))


def _execute(pipeline: beam.Pipeline, counters: JobCounters, watch: HeartbeatWatch) -> None:
    """Run a pipeline to its end. The local runner blocks in `run`, others in `wait_until_finish`."""
    if isinstance(pipeline.runner, LocalRunner):
        counters.connect(pipeline.runner.counters, 0.0)
    with _hidden_job_messages():
        result = pipeline.run()
        if not isinstance(pipeline.runner, LocalRunner):
            counters.connect(functools.partial(query_counters, result), QUERY_S)
            watch.begin(result)
        result.wait_until_finish()
    counters.finish(result)


@contextlib.contextmanager
def _hidden_job_messages() -> Iterator[None]:
    """Hide what Beam logs of the messages of a job service: tracebacks, whose last line is also raised."""
    root = logging.getLogger()

    def is_shown(record: logging.LogRecord) -> bool:
        return record.module != "portable_runner"

    root.addFilter(is_shown)
    try:
        yield
    finally:
        root.removeFilter(is_shown)


def new_pipeline(runner, parsed: PipelineOptions) -> beam.Pipeline:
    """Return an empty pipeline for a runner, or for that of the options if it is None.

    Raises:
      UserError: the runner misses an option.
    """
    try:
        return beam.Pipeline(runner, parsed)
    except (ValueError, ImportError) as error:  # from the runner's own checks
        raise UserError(f"Beam: {' '.join(str(error).split())}") from None


def _remote_failure(parsed: PipelineOptions, error: Exception) -> str:
    """Return why a job on another runner failed, in one line: the last exception in the message."""
    runner = parsed.view_as(StandardOptions).runner
    if local_workers.is_lost(error):
        reason = "a worker was killed, crashed, or is no longer reached"
    elif isinstance(error, WorkersSilent):
        reason = str(error)
    elif isinstance(error, grpc.Call):  # of the connection to a job service
        reason = f"{error.code().name}: {error.details()}"
    else:
        lines = TYPE_AND_MESSAGE.findall(str(error)) or str(error).strip().splitlines() or [type(error).__name__]
        option = JOB_SERVER_JARS.get(runner_class(parsed))
        if option and "job server jar" in lines[-1]:
            lines[-1] += f"; without a network, --{option}=PATH names the jar"
        reason = f"{type(error).__name__}: {lines[-1].strip()[:600]}"
    return f"the job on {runner} failed: {reason}; the same command goes on from what is done"
