"""Jobs on a job service of one host and workers of another."""

import shutil
import subprocess
import threading
import time

import numpy as np
import psutil
import pytest
import soundfile
import two_hosts
from preprocessing import contents, rows
from testbed import poison, poisoned_environment, script, voice, write_voices

pytestmark = pytest.mark.skipif(bool(two_hosts.unavailable()), reason=two_hosts.unavailable())


@pytest.fixture(scope="module")
def hosts(speech_run):
    with two_hosts.two_hosts() as made:
        write_voices(made.folder, 12)
        shutil.copytree(speech_run, made.folder / "run")
        yield made


def preprocess_flags(hosts, out):
    domains = [f"--domain={name}={hosts.folder}/{name}" for name in ("low", "high")]
    return [*domains, f"--data_dir={hosts.folder}/{out}", "--set=n_fft=256", "--set=n_mels=32"]


def translate_flags(hosts, folder, out):
    flags = [f"--run_dir={hosts.folder}/run", f"--input={hosts.folder}/{folder}", "--target=high"]
    return [*flags, f"--output_dir={hosts.folder}/{out}"]


def test_records_and_translations_have_the_bytes_of_a_local_job(hosts):
    with hosts.engine():
        flags = {"preprocess": preprocess_flags, "translate": lambda *where: translate_flags(where[0], "low", where[1])}
        for name in flags:
            done = hosts.script(name, *flags[name](hosts, f"{name}-far"), "--shared_paths", "--", *two_hosts.BEAM)
            assert done.returncode == 0, done.stderr
            near = script(name, *flags[name](hosts, f"{name}-near"))
            assert near.returncode == 0, near.stderr
            far, expected = (contents(hosts.folder / f"{name}-{where}") for where in ("far", "near"))
            assert far == expected and far
            assert "0/" not in done.stderr, "a runner without metrics shows no count"


@pytest.mark.slow
def test_a_job_whose_worker_is_killed_goes_on_in_a_new_one(hosts):
    (hosts.folder / "long").mkdir()
    y = np.tile(voice(110.0, 1.0, 8000, seed=0), 12)
    for n in range(24):
        soundfile.write(hosts.folder / "long" / f"{n}.wav", np.roll(y, 999 * n), 8000)
    flags = translate_flags(hosts, "long", "killed")
    beam = ["--shared_paths", "--", *two_hosts.BEAM]

    def kill_worker():
        while not list((hosts.folder / "killed").glob("*.wav")):
            time.sleep(0.05)
        subprocess.run(["pkill", "-9", "-f", r"SdkHarness\("], check=False)

    with hosts.engine():
        killer = threading.Thread(target=kill_worker, daemon=True)
        killer.start()
        done = hosts.script("translate", *flags, *beam)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "warning: a worker process was killed or crashed; the job goes on in new ones" in done.stderr
    assert "of them were up to date" in done.stdout
    near = script("translate", *translate_flags(hosts, "long", "near"))
    assert near.returncode == 0
    assert contents(hosts.folder / "killed") == contents(hosts.folder / "near")


@pytest.mark.slow
def test_a_job_whose_worker_is_killed_before_it_connects_ends_in_one_line(hosts):
    flags = [*preprocess_flags(hosts, "silent"), "--shared_paths", "--", *two_hosts.BEAM]

    def kill_worker(pool):
        while not (workers := psutil.Process(pool.pid).children(recursive=True)):
            time.sleep(0.02)
        for worker in workers:
            worker.kill()

    with hosts.engine() as pool:
        threading.Thread(target=kill_worker, args=(pool,), daemon=True).start()
        done = hosts.script("preprocess", *flags, "--worker_timeout_s=20")
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.splitlines()[-1] == (
            "error: the job on PortableRunner failed: its workers have not responded for 20 s, the limit of "
            "--worker_timeout_s, and it was cancelled; the same command goes on from what is done"
        )
        again = hosts.script("preprocess", *flags)
    assert again.returncode == 0, again.stderr
    assert not (hosts.folder / "silent" / ".crossfade-work").exists()


@pytest.mark.slow
def test_a_file_that_crashes_workers_fails_alone(hosts, monkeypatch):
    shutil.copytree(hosts.folder / "low", hosts.folder / "poisoned")
    poison(hosts.folder / "poisoned" / "clip_03.wav")
    for name, value in poisoned_environment(hosts.folder / "site").items():
        monkeypatch.setenv(name, value)
    flags = [f"--domain=low={hosts.folder}/poisoned", f"--data_dir={hosts.folder}/crashed", "--shared_paths"]
    with hosts.engine():
        done = hosts.script("preprocess", *flags, "--", *two_hosts.BEAM)
    assert done.returncode == 0, done.stderr
    (failure,) = rows(hosts.folder / "crashed", "failures.jsonl")
    assert failure["path"].endswith("clip_03.wav")
    assert failure["reason"] == "the worker process died while reading this file (signal 11)"
