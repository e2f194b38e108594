"""Two hosts on one machine: network namespaces that are joined by a cable.

Each has its own host name and its own /tmp (if this checkout lies there, its own TMPDIR instead); every other folder is
shared, as a mounted disk would be. Root and iproute2 are needed.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

HEAD, WORKER = (f"{name}{os.getpid()}" for name in ("cfh", "cfw"))  # addresses 10.79.0.1 and 10.79.0.2
JOB_PORT, POOL_PORT = 18099, 15000
BEAM = [
    "--runner=PortableRunner",
    f"--job_endpoint=localhost:{JOB_PORT}",
    "--environment_type=EXTERNAL",
    f"--environment_config={WORKER}:{POOL_PORT}",
]
ENTER = """
hostname "$1"; PATH="$3:$PATH"; export PATH
mount --bind "$2/hosts" /etc/hosts
case "$PWD $3" in */tmp/*) TMPDIR="$2/$1"; export TMPDIR;; *) mount --bind "$2/$1" /tmp;; esac
shift 3; exec "$@"
"""


class Hosts:
    """Both hosts; `folder` is shared by them."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    def command(self, host: str, *arguments: str) -> list[str]:
        """The command line that runs a command on a host."""
        programs = os.path.dirname(sys.executable)  # the pool starts workers by the name `python`
        enter = ["unshare", "--mount", "--uts", "sh", "-e", "-c", ENTER, "sh", host, str(self.folder), programs]
        return ["ip", "netns", "exec", host, *enter, *arguments]

    def script(self, name: str, *arguments: str) -> subprocess.CompletedProcess:
        """Run one of the scripts on the head."""
        command = self.command(HEAD, sys.executable, "-m", f"pipelines.{name}", *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    def set_cable(self, state: str) -> None:
        """Pull the cable between the hosts (state "down") or plug it in ("up")."""
        _ip("-n", HEAD, "link", "set", "cfcable0", state)

    @contextlib.contextmanager
    def service(self, host: str, module: str, *arguments: str) -> Iterator[subprocess.Popen]:
        """Run a server on a host while the block runs."""
        with open(self.folder / f"{module}.log", "ab") as log:
            command = self.command(host, sys.executable, "-m", module, *arguments)
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()

    @contextlib.contextmanager
    def engine(self) -> Iterator[subprocess.Popen]:
        """Run a job service on the head and a pool of workers on the other host; yield the pool."""
        service = "apache_beam.runners.portability.local_job_service_main"
        pool = "apache_beam.runners.worker.worker_pool_main"
        with (
            self.service(HEAD, service, "-p", str(JOB_PORT)),
            self.service(WORKER, pool, f"--service_port={POOL_PORT}") as workers,
        ):
            for host, port in ((HEAD, JOB_PORT), (WORKER, POOL_PORT)):
                self._wait_for(host, port)
            yield workers

    def _wait_for(self, host: str, port: int) -> None:
        code = f"import socket; socket.create_connection(('localhost', {port}), 1)"
        for _ in range(120):
            if not subprocess.run(self.command(host, sys.executable, "-c", code), capture_output=True).returncode:
                return
            time.sleep(0.5)
        raise TimeoutError(f"no server on port {port} of {host}")


def unavailable() -> str:
    """Why there can be no such hosts here; empty if there can."""
    if os.geteuid() or not all(shutil.which(tool) for tool in ("ip", "unshare", "hostname")):
        return "network namespaces need root, iproute2 and util-linux"
    done = subprocess.run(["ip", "netns", "add", "cfprobe"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", "cfprobe"], capture_output=True)
    return done.stderr.strip()


@contextlib.contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Make both hosts while the block runs."""
    folder = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp"))
    hosts = f"127.0.0.1 localhost {socket.gethostname()}\n10.79.0.1 {HEAD}\n10.79.0.2 {WORKER}\n"
    (folder / "hosts").write_text(hosts)
    try:
        for host in (HEAD, WORKER):
            (folder / host).mkdir()
            _ip("netns", "add", host)
            _ip("-n", host, "link", "set", "lo", "up")
        _ip("link", "add", "cfcable0", "netns", HEAD, "type", "veth", "peer", "name", "cfcable1", "netns", WORKER)
        for n, host in enumerate((HEAD, WORKER)):
            _ip("-n", host, "addr", "add", f"10.79.0.{n + 1}/24", "dev", f"cfcable{n}")
            _ip("-n", host, "link", "set", f"cfcable{n}", "up")
        yield Hosts(folder)
    finally:
        for host in (HEAD, WORKER):
            subprocess.run(["ip", "netns", "del", host], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
