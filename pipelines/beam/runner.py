"""Where a Beam job runs: options, the engine of this machine, and failures of a job in one line."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import warnings
from collections.abc import Callable, Mapping

from models.errors import UserError
from pipelines import config, console
from pipelines.beam import filesystem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the Google clients announce the Python versions they will drop
    logging.disable(logging.WARNING)
    import apache_beam as beam
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    logging.disable(logging.NOTSET)

PROCESSES_FROM_BYTES = 64 << 20  # below, starting worker processes costs more than it saves
OF_THIS_MACHINE = ("DirectRunner", "FnApiRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner")
USER_ERROR = re.compile(r"models\.errors\.UserError: (.*?)(?: \[while running '|$)", re.MULTILINE)
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
        raise UserError(f"Beam has no option --{unknown[0]}; {config.nearest(unknown[0], known)}")
    return parsed


def is_local(parsed: PipelineOptions) -> bool:
    """Whether the job runs by the engine of this process and its children."""
    return parsed.view_as(StandardOptions).runner is None


def is_dry_run(parsed: PipelineOptions) -> bool:
    """Whether the job is only to be built."""
    return str(parsed.get_all_options().get("dry_run")).lower() == "true"


def runs_elsewhere(parsed: PipelineOptions) -> bool:
    """Whether workers may run on other machines, where local paths mean other files or none."""
    runner = (parsed.view_as(StandardOptions).runner or OF_THIS_MACHINE[0]).rpartition(".")[2]
    loopback = str(parsed.get_all_options().get("environment_type")).upper() == "LOOPBACK"
    return runner not in OF_THIS_MACHINE and not loopback


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
        values = {**parsed.get_all_options(), "default_sdk_harness_log_level": "ERROR"}
        info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=JobServiceHandle.encode_pipeline_options(values))
        runner = fn_runner.FnApiRunner(provision_info=fn_runner.ExtendedProvisionInfo(info))
    else:
        _need_job_server(parsed)
    pipeline = beam.Pipeline(runner, parsed)
    build(pipeline)
    try:
        console.interruptible(lambda: pipeline.run().wait_until_finish())
    except Exception as error:
        if said := USER_ERROR.search(f"{type(error).__module__}.{type(error).__name__}: {error}"):
            raise UserError(said[1]) from None
        if is_local(parsed):
            raise
        raise UserError(_failed_elsewhere(parsed, error)) from error


def _need_job_server(parsed: PipelineOptions) -> None:
    """Refuses a runner whose job server is a jar that is not there and would be downloaded.

    Raises:
      UserError: says which option names it.
    """
    values = parsed.get_all_options()
    runner = values["runner"].rpartition(".")[2]
    option = {"FlinkRunner": "flink_job_server_jar", "SparkRunner": "spark_job_server_jar"}.get(runner)
    if option is None or values.get("job_endpoint"):
        return
    jar = values.get(option)
    if jar and not filesystem.is_remote(jar) and not os.path.isfile(jar):
        raise UserError(
            f"--{option}={jar}: there is no such file; wanted the job server's jar of Beam {beam.__version__}"
        )


def _failed_elsewhere(parsed: PipelineOptions, error: Exception) -> str:
    """Why a job on another engine did not end well, in one line: the last exception that its traceback names."""
    lines = TYPE_AND_MESSAGE.findall(str(error)) or str(error).strip().splitlines() or [type(error).__name__]
    runner = parsed.view_as(StandardOptions).runner
    return f"the job on {runner} failed: {type(error).__name__}: {lines[-1].strip()[:400]}"
