"""The script: user errors in one line, and all temporary files deleted at its end."""

import glob
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request

import pytest
from testbed import ROOT, script


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ((), "--run_dir is missing"),
        (("--run_dir=nothing", "--port=0"), "nothing is not a run: it has no config.json"),
        (("--run_dir=nothing", "--port=70000"), "--port=70000: 70000 is not an integer in the range [0, 65535]"),
        (("--run_dir=nothing", "--keep=README.md"), "--keep=README.md is a file; wanted a folder"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_2(flags, line):
    done = script("listen", *flags)
    assert done.returncode == 2 and line in done.stderr and done.stderr.count("\n") == 1


def test_gradio_that_is_missing_is_one_line(in_new_process):
    in_new_process(
        "import sys; sys.modules['gradio'] = None\n"
        "import pytest, pipelines.web.server as server\n"
        "with pytest.raises(ValueError, match='pip install'): server.serve(server.ServerOptions(run_dir='x'))"
    )


@pytest.mark.slow
def test_no_file_remains_when_the_script_is_stopped(picture_run, tmp_path):
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'crossfade[listen]'")
    command = [sys.executable, "-m", "pipelines.listen", f"--run_dir={picture_run}", "--port=0"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().split()[-3]
            with urllib.request.urlopen(address, timeout=20) as page:  # noqa: S310
                assert b"Crossfade" in page.read()
            assert glob.glob(f"{tmp_path}/crossfade-listen-*")
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 130
    assert not glob.glob(f"{tmp_path}/crossfade-listen-*") and tempfile.gettempdir() != str(tmp_path)
