"""Options of other runners that are refused before a job starts; no network is needed."""

import socket
import urllib.error

import pytest
from apache_beam.utils import subprocess_server

from models.errors import UserError
from pipelines.beam import runner, runner_checks

FLINK, SPARK, PORTABLE = (f"--runner={name}Runner" for name in ("Flink", "Spark", "Portable"))


@pytest.fixture
def jar(tmp_path):
    (tmp_path / "server.jar").write_bytes(b"")
    return str(tmp_path / "server.jar")


@pytest.fixture
def port():
    with socket.create_server(("localhost", 0)) as server:
        yield server.getsockname()[1]


def check(*arguments):
    runner_checks.check_options(runner.parse_options(list(arguments)))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([PORTABLE], "--runner=PortableRunner: wanted --job_endpoint=HOST:PORT of a job service"),
        ([PORTABLE, "--job_endpoint=nowhere"], "--job_endpoint=nowhere; wanted HOST:PORT"),
        ([PORTABLE, "--job_endpoint=host:port"], "--job_endpoint=host:port; wanted HOST:PORT"),
        ([PORTABLE, "--job_endpoint=localhost:1"], "--job_endpoint=localhost:1: no job service answers there: "),
        ([FLINK, "--job_endpoint=localhost:1"], "--job_endpoint=localhost:1: no job service answers there: "),
        ([FLINK, "--flink_master=localhost:1"], "--flink_master=localhost:1: no Flink answers there: "),
        ([FLINK, "--flink_master=http://[::1]:1/x"], r"--flink_master=http://\[::1\]:1/x: no Flink answers there: "),
        ([FLINK, "--flink_master=cluster"], "--flink_master=cluster; wanted HOST:PORT"),
        ([FLINK, "--flink_job_server_jar=/no.jar"], "--flink_job_server_jar=/no.jar: no such file; wanted the job"),
        ([SPARK, "--spark_job_server_jar=/no.jar"], "--spark_job_server_jar=/no.jar: no such file; wanted the job"),
        ([SPARK, "--spark_master_url=spark://localhost:1"], "spark://localhost:1: no Spark answers there: "),
        ([SPARK, "--spark_submit_uber_jar"], "--spark_submit_uber_jar: wanted --spark_rest_url=http://HOST:PORT"),
        ([FLINK, "--environment_type=EXTERNAL"], "external_service_address is required for environment type EXTERNAL"),
        ([SPARK, "--environment_type=process"], "process_command is required for environment type PROCESS"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_with_which_no_job_can_start_are_refused(arguments, complaint):
    with pytest.raises(UserError, match=complaint) as refused:
        check(*arguments)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("runner_name", ["flink", "spark"])
def test_a_jar_that_cannot_be_had_is_one_line(runner_name, tmp_path, monkeypatch):
    def unreachable(*arguments, **options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(subprocess_server.JavaJarServer, "_download_jar_to_cache", unreachable)
    with pytest.raises(
        UserError, match=f"no route to host.*--{runner_name}_job_server_jar=PATH names the jar"
    ) as refused:
        check(f"--runner={runner_name}", f"--jar_cache_dir={tmp_path}")
    assert "\n" not in str(refused.value)


def test_a_job_server_needs_java_except_for_an_uber_jar(jar, port):
    flags = [FLINK, f"--flink_job_server_jar={jar}", f"--flink_master=localhost:{port}"]
    with pytest.raises(UserError, match="no program nojava, which runs the job server; wanted an installation of Java"):
        check(*flags, "--job_server_java_launcher=nojava")
    check(*flags, "--job_server_java_launcher=nojava", "--flink_submit_uber_jar")


def test_options_that_can_start_a_job_are_accepted(jar, port):
    java = "--job_server_java_launcher=true"  # any program
    check(PORTABLE, f"--job_endpoint=localhost:{port}", "--environment_type=EXTERNAL", "--environment_config=host:1")
    for master in ("[local]", "[auto]", f"localhost:{port}", f"http://localhost:{port}"):
        check(FLINK, f"--flink_job_server_jar={jar}", f"--flink_master={master}", java)
    for master in ("local[4]", "yarn", "k8s://https://host:1", f"spark://localhost:{port},other:7077"):
        check(SPARK, f"--spark_job_server_jar={jar}", f"--spark_master_url={master}", java)
    check()
