"""Checks, before anything is written or deleted, that everything is available that a job on another runner needs."""

from __future__ import annotations

import os
import shutil
import socket
import urllib.parse
from collections.abc import Iterable

import apache_beam as beam
from apache_beam.options.pipeline_options import JobServerOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES, FlinkJarJobServer
from apache_beam.runners.portability.job_server import JavaJarJobServer
from apache_beam.runners.portability.spark_runner import SparkJarJobServer

from models.errors import UserError
from pipelines.beam import filesystem, runner

CONNECT_TIMEOUT_S = 10.0  # timeout for connecting to a job service or a cluster
JOB_SERVERS = {"FlinkRunner": FlinkJarJobServer, "SparkRunner": SparkJarJobServer}
MASTERS = {"FlinkRunner": "flink_master", "SparkRunner": "spark_master_url"}  # options with the address of a cluster
UBER_JARS = {"FlinkRunner": "flink_submit_uber_jar", "SparkRunner": "spark_submit_uber_jar"}  # no Java is needed here


def check_paths(parsed: PipelineOptions, paths: Iterable[tuple[str, str]], *, shared: bool) -> list[str]:
    """Refuse local paths if the workers run on other machines, before the job starts.

    Args:
      parsed: Beam's options.
      paths: flags, each with a path that workers read or write; empty paths are skipped, and a flag may be repeated.
      shared: whether the user declares that local paths are the same on every worker.

    Returns:
      Warnings, instead of the error for a dry run.

    Raises:
      UserError: a path is local.
    """
    if shared or not runner.is_distributed(parsed):
        return []
    local = [f"{flag}={path}" for flag, path in paths if path and not filesystem.is_remote(path)]
    if not local:
        return []
    name = parsed.view_as(StandardOptions).runner
    message = (
        f"{', '.join(local)}: local paths, but workers of {name} may run on other machines; wanted remote paths, "
        "such as gs://BUCKET/..., or --shared_paths if local paths are the same on every worker"
    )
    if runner.is_dry_run(parsed):
        return [message]
    raise UserError(message)


def check_options(parsed: PipelineOptions) -> None:
    """Refuse options with which no job can start. The jar of a job server is downloaded if it is not there.

    Raises:
      UserError: there is no such runner, an option is missing, a job server does not exist or cannot be had, or a job
        service or cluster does not answer.
    """
    if runner.is_local(parsed):
        return
    runner.new_pipeline(None, parsed)
    values, name = parsed.get_all_options(), runner.runner_class(parsed)
    if endpoint := values.get("job_endpoint"):
        _check_answer(f"--job_endpoint={endpoint}", endpoint, "job service")
    elif name == "PortableRunner":
        raise UserError("--runner=PortableRunner: wanted --job_endpoint=HOST:PORT of a job service")
    elif name in JOB_SERVERS:
        _check_job_server(parsed, name, values)


def _check_job_server(parsed: PipelineOptions, name: str, values: dict) -> None:
    """Check the cluster, and what runs or becomes its job server on this machine."""
    uber_jar = values[UBER_JARS[name]]
    if uber_jar and name == "SparkRunner" and not values["spark_rest_url"]:
        raise UserError("--spark_submit_uber_jar: wanted --spark_rest_url=http://HOST:PORT of the cluster, too")
    _check_master(name, values[MASTERS[name]])
    _check_jar(parsed, name, values[runner.JOB_SERVER_JARS[name]])
    java = parsed.view_as(JobServerOptions).job_server_java_launcher
    if not uber_jar and not shutil.which(java):
        raise UserError(
            f"--runner={name}: no program {java}, which runs the job server; wanted an installation of Java, "
            "--job_server_java_launcher=PATH, or --job_endpoint=HOST:PORT of a job service"
        )


def _check_master(name: str, master: str) -> None:
    """Check the address of a cluster if it is one, and not the name of a cluster manager or of a local cluster."""
    scheme, separator, address = master.rpartition("://")
    is_address = scheme in ("", "http", "https") if name == "FlinkRunner" else scheme == "spark"
    if not is_address or master in MAGIC_HOST_NAMES or (separator and ":" not in address):
        return
    address = address.partition("/")[0].partition(",")[0]  # Spark: of several masters, the first
    _check_answer(f"--{MASTERS[name]}={master}", address, name.removesuffix("Runner"))


def _check_jar(parsed: PipelineOptions, name: str, jar: str | None) -> None:
    option = f"--{runner.JOB_SERVER_JARS[name]}"
    if jar and not filesystem.is_remote(jar) and not os.path.isfile(jar):
        raise UserError(f"{option}={jar}: no such file; wanted the job server's jar of Beam {beam.__version__}")
    server: JavaJarJobServer = JOB_SERVERS[name](parsed)
    try:
        server.local_jar(server.path_to_jar(), parsed.view_as(JobServerOptions).jar_cache_dir)
    except Exception as error:  # of the network, of many types
        raise UserError(f"{error}; without a network, {option}=PATH names the jar") from None


def _check_answer(flag: str, address: str, service: str) -> None:
    """Refuse an address that does not accept connections: Beam would wait for it for ever."""
    parts = urllib.parse.urlsplit(f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # no port
        host = port = None
    if not host or not port:
        raise UserError(f"{flag}; wanted HOST:PORT")
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise UserError(f"{flag}: no {service} answers there: {error.strerror or error}") from None
