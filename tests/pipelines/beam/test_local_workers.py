"""Worker processes that are killed."""

import pytest

JOB = """
import os, signal, sys, textwrap
import apache_beam as beam
from pipelines.beam import local_workers, runner
from models.errors import UserError

local_workers.GRACE_S = 3.0

marker, deaths = sys.argv[1], int(sys.argv[2])

def process(n):
    done = sum(name.startswith("death") for name in os.listdir(marker))
    if n == 7 and done < deaths:
        open(os.path.join(marker, f"death {done}"), "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    open(os.path.join(marker, f"result {n}"), "w").close()

def build(pipeline, *, isolated):
    print("isolated:", isolated)
    pipeline | beam.Create(range(20)) | beam.Reshuffle() | beam.Map(process)

options = runner.parse_options(["--direct_num_workers=2", "--direct_running_mode=multi_processing"])
try:
    runner.run(build, options)
except UserError as error:
    print("refused:", error)
print("stderr is as before", file=sys.stderr)
"""


@pytest.mark.parametrize(("deaths", "ends"), [(1, True), (99, False)])
def test_a_job_goes_on_in_new_workers_and_gives_up_in_one_line(tmp_path, in_new_process, deaths, ends):
    printed = in_new_process(f"{JOB}\nimport threading; print(threading.excepthook)", tmp_path, deaths)
    assert ("refused: worker processes were killed or crashed again and again" in printed) is not ends
    assert [line for line in printed.splitlines() if "isolated" in line][:2] == ["isolated: False", "isolated: True"]
    assert "Traceback" not in printed and "on_thread_exception" not in printed
    if ends:
        assert all((tmp_path / f"result {n}").exists() for n in range(20))
