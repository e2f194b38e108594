"""Where a Beam job runs: options, the engine of this machine, and failures of a job in one line."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping

from models.errors import UserError
from pipelines import cli, config
from pipelines.beam import filesystem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the Google clients announce the Python versions they will drop
    logging.disable(logging.WARNING)
    import apache_beam as beam
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions, TestOptions
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    logging.disable(logging.NOTSET)

PROCESSES_FROM_BYTES = 64 << 20  # below, starting worker processes costs more than it saves
OF_THIS_MACHINE = ("DirectRunner", "FnApiRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner")
JOB_SERVER_JARS = {"FlinkRunner": "flink_job_server_jar", "SparkRunner": "spark_job_server_jar"}
DRY, NOT_DRY = ("true", "yes", "1"), ("", "false", "no", "0")
DRY_RUNNERS = ("DataflowRunner",)
ANSWER_S = 10.0  # within which a job service has to accept a connection
OF_THE_SYSTEM = "OSError|PermissionError|FileNotFoundError|FileExistsError|NotADirectoryError|IsADirectoryError"
USERS_ERROR = re.compile(rf"\b(?:UserError|{OF_THE_SYSTEM}): (.*?)(?: \[while running '|$)", re.MULTILINE)
TYPE_AND_MESSAGE = re.compile(r"^[\w.]*(?:Error|Exception|Timeout)\b.*$", re.MULTILINE)


def options(arguments: list[str]) -> PipelineOptions:
    """Beam's options, of what follows the bare ``--``.

    Raises:
      UserError: one that Beam does not know, or a value that it does not take.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if not argument.startswith("-") and ("=" in before or not before.startswith("--")):
            raise UserError(f"{argument}: wanted --option=value after the bare --")
    complaints = io.StringIO()
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(complaints):
            parsed = PipelineOptions(arguments)
            known, given = (parsed.get_all_options(retain_unknown_options=keep) for keep in (False, True))
    except SystemExit:
        raise UserError(f"Beam: {complaints.getvalue().rpartition('error: ')[2]}") from None
    finally:
        logging.disable(logging.NOTSET)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise UserError(f"Beam has no option --{unknown[0]}; {config.suggest(unknown[0], known)}")
    standard = parsed.view_as(StandardOptions)
    standard.runner = standard.runner and _runner_named(standard.runner)
    _settle_dry_run(parsed.view_as(TestOptions))
    return parsed


def _settle_dry_run(found: TestOptions) -> None:
    """Makes yes or no of ``--dry_run``, of which Beam takes any text for yes, ``False`` too.

    Raises:
      UserError: it is neither.
    """
    text = str(found.dry_run or "").lower()
    if text not in (*DRY, *NOT_DRY):
        raise UserError(f"--dry_run={found.dry_run}; wanted true or false")
    found.dry_run = "True" if text in DRY else None


def _runner_named(name: str) -> str:
    """A runner as Beam spells it, which takes capitals for small letters and a name without ``Runner`` too."""
    known = StandardOptions.KNOWN_RUNNER_NAMES
    short = [each for each in known if each.lower() in (name.lower(), f"{name.lower()}runner")]
    if not short and "." not in name:
        raise UserError(f"Beam has no runner {name}; {config.suggest(name, known)}")
    return short[0] if short else name


def is_local(parsed: PipelineOptions) -> bool:
    """Whether the job runs by the engine of this process and its children."""
    return parsed.view_as(StandardOptions).runner is None


def is_dry_run(parsed: PipelineOptions) -> bool:
    """Whether the job is only to be built."""
    return bool(parsed.view_as(TestOptions).dry_run)


def runs_elsewhere(parsed: PipelineOptions) -> bool:
    """Whether workers may run on other machines, where local paths mean other files or none."""
    loopback = str(parsed.get_all_options().get("environment_type")).upper() == "LOOPBACK"
    return _runner_class(parsed) not in OF_THIS_MACHINE and not loopback


def _runner_class(parsed: PipelineOptions) -> str:
    """The name of the runner's class, without the modules of one that is not Beam's own."""
    return (parsed.view_as(StandardOptions).runner or OF_THIS_MACHINE[0]).rpartition(".")[2]


def check_paths(parsed: PipelineOptions, paths: Mapping[str, str], *, shared: bool) -> list[str]:
    """Refuses local paths of a job whose workers run elsewhere, before anything starts.

    Args:
      parsed: Beam's options.
      paths: by flag, the paths that workers read and write; empty ones do not count.
      shared: whether the user says that local paths are the same on every worker.

    Returns:
      Warnings, in place of the refusal where the job is only built.

    Raises:
      UserError: one of them is local.
    """
    if shared or not runs_elsewhere(parsed):
        return []
    local = [f"{flag}={path}" for flag, path in paths.items() if path and not filesystem.is_remote(path)]
    if not local:
        return []
    runner = parsed.view_as(StandardOptions).runner
    message = (
        f"{', '.join(local)}: local, and workers of {runner} may run on other machines; wanted paths that they reach, "
        "such as gs://BUCKET/..., or --shared_paths where local paths are the same on every worker"
    )
    if is_dry_run(parsed):
        return [message]
    raise UserError(message)


def run(build: Callable[[beam.Pipeline], None], parsed: PipelineOptions, *, work_bytes: int = 0) -> None:
    """Runs a job where the options say; here, if they name no runner.

    Here by `FnApiRunner`: `DirectRunner` would first download another engine. Its processes get the options by hand,
    because it drops them.

    Args:
      build: applies the transforms.
      parsed: see :func:`options`.
      work_bytes: bytes to go through; from `PROCESSES_FROM_BYTES` on, one process a core.

    Raises:
      UserError: the job could not be started, or it met something that the user has to change.
    """
    runner = None  # the one that the options name
    if is_local(parsed):
        direct = parsed.view_as(DirectOptions)
        if work_bytes >= PROCESSES_FROM_BYTES and direct.direct_running_mode == "in_memory":
            direct.direct_running_mode, direct.direct_num_workers = "multi_processing", os.cpu_count() or 1
        values = {**parsed.get_all_options(), "default_sdk_harness_log_level": "CRITICAL"}
        info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=JobServiceHandle.encode_pipeline_options(values))
        runner = fn_runner.FnApiRunner(provision_info=fn_runner.ExtendedProvisionInfo(info))
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # what it logs of a failure is raised here as well
    pipeline = _pipeline(runner, parsed)
    build(pipeline)
    if is_dry_run(parsed) and _runner_class(parsed) not in DRY_RUNNERS:
        return  # others know no such option and would run
    workers = is_local(parsed) and parsed.view_as(DirectOptions).direct_running_mode == "multi_processing"
    try:
        with _worker_output_kept() if workers else contextlib.nullcontext():
            cli.run_interruptible(lambda: pipeline.run().wait_until_finish())
    except Exception as error:
        if messages := USERS_ERROR.findall(f"{type(error).__name__}: {error}"):  # Beam keeps the text of a worker's
            raise UserError(messages[-1]) from None
        if is_local(parsed):
            raise
        raise UserError(_failed_elsewhere(parsed, error)) from error


def check(parsed: PipelineOptions) -> None:
    """Refuses options by which no job could start, before anything is written or deleted.

    Raises:
      UserError: no such runner, an option that it misses, a job server that is not there or does not answer.
    """
    if is_local(parsed):
        return
    _pipeline(None, parsed)
    values, runner = parsed.get_all_options(), _runner_class(parsed)
    if endpoint := values.get("job_endpoint"):
        _need_answer(endpoint)
        return
    if runner == "PortableRunner":
        raise UserError("--runner=PortableRunner: wanted --job_endpoint=HOST:PORT of a job service")
    option = JOB_SERVER_JARS.get(runner, "")
    jar = values.get(option)
    if jar and not filesystem.is_remote(jar) and not os.path.isfile(jar):
        raise UserError(
            f"--{option}={jar}: there is no such file; wanted the job server's jar of Beam {beam.__version__}"
        )


@contextlib.contextmanager
def _worker_output_kept() -> Iterator[None]:
    """Keeps what worker processes print on stderr, and shows it where the job ends by a fault.

    They announce Python versions when they start, and print every traceback that is raised here too. This process goes
    on to print to the real stderr.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept, os.fdopen(os.dup(2), "w", buffering=1) as real:
        own, sys.stderr = sys.stderr, real
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception as error:
            if not USERS_ERROR.search(f"{type(error).__name__}: {error}"):
                kept.seek(0)
                real.write(kept.read().decode(errors="replace"))
            raise
        finally:
            real.flush()
            os.dup2(real.fileno(), 2)
            sys.stderr = own


def _pipeline(runner, parsed: PipelineOptions) -> beam.Pipeline:
    try:
        return beam.Pipeline(runner, parsed)
    except (ValueError, ImportError) as error:  # what the runner's own checks say
        raise UserError(f"Beam: {error}") from None


def _need_answer(endpoint: str) -> None:
    """Refuses a job service that does not answer: Beam would wait for it for ever."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--job_endpoint={endpoint}; wanted HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise UserError(f"--job_endpoint={endpoint}: no job service answers there: {error.strerror or error}") from None


def _failed_elsewhere(parsed: PipelineOptions, error: Exception) -> str:
    """Why a job on another engine did not end well, in one line: the last exception that its traceback names."""
    lines = TYPE_AND_MESSAGE.findall(str(error)) or str(error).strip().splitlines() or [type(error).__name__]
    runner = parsed.view_as(StandardOptions).runner
    option = JOB_SERVER_JARS.get(_runner_class(parsed))
    if option and "job server jar" in lines[-1]:
        lines[-1] += f"; without a network, --{option}=PATH names the jar"
    return f"the job on {runner} failed: {type(error).__name__}: {lines[-1].strip()[:600]}"
