"""How the scripts speak: one line for what the user did wrong, a traceback for what we did."""

import io
import os
import re
import signal
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
from absl import flags
from testbed import ROOT, script

from pipelines import cli, config
from pipelines.progress import Progress, Tally, format_duration, poll_progress, tally

EXAMPLE = "python -m pipelines.toy --size=3"


@pytest.fixture
def toy():
    """A script's flags, and its parser of argv."""
    made = flags.FlagValues()
    flags.DEFINE_integer("size", 1, "How big.", flag_values=made, module_name="pipelines.toy")
    flags.DEFINE_enum("kind", None, ["audio", "image"], "Of what.", flag_values=made, module_name="pipelines.toy")
    flags.DEFINE_bool("logtostderr", False, "Another module's.", flag_values=made, module_name="absl.logging")
    return made, cli.parser(made, "pipelines.toy", "Does little.", EXAMPLE)


def test_what_follows_the_bare_dashes_is_left_for_beam(toy):
    made, parse = toy
    assert parse(["toy", "--size=3", "--", "--runner=x", "--size=4", "--", "y"]) == [
        "toy",
        "--runner=x",
        "--size=4",
        "--",
        "y",
    ]
    assert made.size == 3


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("--sise=3", "no flag is called --sise; did you mean --size?"),
        ("-knd=3", "no flag is called --knd; did you mean --kind?"),
        ("--runner=DataflowRunner", "no flag is called --runner; see --help"),
        ("--size=big", "--size=big: invalid literal"),
        ("--kind=video", "should be one of <audio|image>"),
        ("folder", "folder: wanted --flag=value; Beam's options follow after a bare --"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_2(toy, capsys, argument, complaint):
    with pytest.raises(SystemExit) as stopped:
        toy[1](["toy", argument])
    out, err = capsys.readouterr()
    assert stopped.value.code == 2 and out == ""
    assert complaint in err and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("asked", ["--help", "-h", "--helpfull"])
def test_help_shows_an_example_and_the_scripts_own_flags(toy, capsys, asked):
    with pytest.raises(SystemExit) as stopped:
        toy[1](["toy", "--size=big", asked])
    out, err = capsys.readouterr()
    assert stopped.value.code == 0 and err == ""
    assert out.startswith("Does little.") and EXAMPLE in out
    assert re.findall(r"^  --(\w+)", out, re.MULTILINE) == ["size", "kind"]
    assert "--size [1]\n      How big." in out


def test_help_after_the_bare_dashes_is_beams(toy):
    assert toy[1](["toy", "--", "--help"]) == ["toy", "--help"]


def ours():
    config.override(config.ImageSpec(), ["hieght=3"])


def no_file():
    with open("/no/such/file"):
        pass


def interrupted():
    raise KeyboardInterrupt


def abandoned():
    raise cli.WorkInterrupted


@pytest.mark.parametrize(
    ("fails", "code", "line"),
    [
        (ours, 2, "error: --set=hieght=3: no key is called 'hieght'; did you mean height?"),
        (no_file, 2, "error: [Errno 2] No such file or directory: '/no/such/file'"),
        (interrupted, 130, "interrupted"),
    ],
)
def test_what_the_user_can_mend_is_one_line(capsys, fails, code, line):
    with pytest.raises(SystemExit) as stopped:
        cli.handle_errors(lambda argv: fails())(["toy"])
    assert (stopped.value.code, capsys.readouterr().err) == (code, f"{line}\n")


def test_only_work_that_was_left_behind_is_ended_by_force(capsys, monkeypatch):
    ended = []
    monkeypatch.setattr(cli, "_kill_process_tree", ended.append)
    for fails in (interrupted, abandoned):  # other children, such as trainings of a sweep, save what they have first
        with pytest.raises(SystemExit):
            cli.handle_errors(lambda argv, fails=fails: fails())(["toy"])
        assert ended == [130] * (fails is abandoned)
    assert capsys.readouterr().err == "interrupted\n" * 2


@pytest.mark.parametrize("call", [(int, "three"), (np.frombuffer, b"123", np.int16), (struct.unpack, "I", b"")])
def test_a_fault_keeps_its_traceback_also_where_code_in_c_raises_it_under_our_frame(call):
    path = os.path.join(os.path.dirname(config.__file__), "toy.py")
    names = {"function": call[0], "arguments": call[1:]}
    exec(compile("def main(argv): return function(*arguments)", path, "exec"), names)  # a frame of this project
    with pytest.raises((ValueError, struct.error)):
        cli.handle_errors(names["main"])(["toy"])


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_the_exit_code_is_what_main_returns(returned, code):
    with pytest.raises(SystemExit) as stopped:
        cli.handle_errors(lambda argv: returned)(["toy"])
    assert stopped.value.code == code


def test_a_message_of_many_lines_becomes_one(capsys):
    assert cli.print_error("first\n   second\tthird") == 2
    assert capsys.readouterr().err == "error: first second third\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--data_dri=out"], "no flag is called --data_dri; did you mean --data_dir?"),
        (["--data_dir=out"], "--domain is missing"),
        (["--domain=a=x.wav", "--data_dir=out", "--", "--runer=x"], "Beam has no option --runer; did you mean runner?"),
    ],
    ids=["unknown", "missing", "beam"],
)
def test_preprocess_refuses_what_it_does_not_know(tmp_path, arguments, complaint):
    done = script("preprocess", *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert complaint in done.stderr and done.stderr.count("\n") == 1


def test_preprocess_help_shows_its_flags_and_an_example():
    done = script("preprocess", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m pipelines.preprocess --domain=" in done.stdout and "tfds:DATASET/SPLIT" in done.stdout
    shown = re.findall(r"^  --(\w+)", done.stdout, re.MULTILINE)
    assert {"domain", "data_dir", "kind", "set", "val_fraction", "split_by", "seed"} <= set(shown)
    assert not {"runner", "verbosity", "pdb"} & set(shown)


def test_an_interrupt_does_not_wait_for_the_work():
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # jobs in the background inherit that it is ignored
    over = threading.Event()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(cli.WorkInterrupted):
        cli.run_interruptible(lambda: over.wait(60))
    over.set()
    signal.signal(signal.SIGINT, before)


def test_what_goes_wrong_in_the_work_is_raised():
    with pytest.raises(ValueError, match="three"):
        cli.run_interruptible(lambda: int("three"))


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr("pipelines.progress.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_progress_tells_rate_and_time_left_of_what_it_did_itself(clock, capsys):
    progress = Progress("train", 100, "steps", start=40)
    clock.now += 10
    progress.show(60, "loss 3")
    assert capsys.readouterr().err == "train: 60/100 steps, 2/s, 20 s left  loss 3\n"


def test_progress_of_unknown_length_promises_nothing(clock, capsys):
    progress = Progress("read", None, "files")
    progress.close()
    assert capsys.readouterr().err == "read: 0 files, 0/s\n"


@pytest.mark.parametrize(("terminal", "lines"), [(False, 4), (True, 100)])
def test_progress_speaks_seldom_into_a_file_and_often_on_a_terminal(clock, monkeypatch, terminal, lines):
    spoken = io.StringIO()
    spoken.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", spoken)
    progress = Progress("train", 100, "steps", interval_s=15)
    for step in range(100):
        progress.show(step)
        clock.now += 0.5
    assert len(re.findall("train: ", spoken.getvalue())) == lines
    assert ("\r" in spoken.getvalue()) is terminal


def test_a_watched_block_ends_with_the_last_count_and_no_thread(clock, capsys):
    done, before = [], threading.active_count()
    with poll_progress(Progress("work", 5, "files"), lambda: len(done)):
        assert threading.active_count() == before + 1
        done.extend("12345")
        clock.now += 5
    assert threading.active_count() == before
    assert capsys.readouterr().err.splitlines()[-1] == "work: 5/5 files, 1/s, 0 s left"


def test_a_tally_adds_up_over_processes():
    with tally(local=True) as counter:
        for _ in range(3):
            Tally.add(counter.folder)
        code = "import sys; from pipelines import progress; progress.Tally.add(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, counter.folder], cwd=ROOT, check=True)
        assert counter.count() == 4
    Tally.add(counter.folder)  # a straggler finds the folder gone


def test_a_job_does_not_end_where_its_tally_finds_no_room(tmp_path):
    (tmp_path / str(os.getpid())).mkdir()  # in the place of the file: it cannot be written
    Tally.add(str(tmp_path))


def test_a_tally_of_another_machine_counts_nothing():
    with tally(local=False) as counter:
        Tally.add(counter.folder)
        assert counter.count() == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (75, "1 min 15 s"), (3599.9, "1 h 0 min"), (7300, "2 h 1 min")],
)
def test_durations_are_rounded_before_they_are_split(seconds, said):
    assert format_duration(seconds) == said


@pytest.mark.parametrize("value", ["~no_such_user_9/x", "vocoder:~no_such_user_9/x"])
def test_a_home_directory_that_nobody_has_is_no_name_of_a_folder(tmp_path, monkeypatch, capsys, value):
    monkeypatch.chdir(tmp_path)
    given = flags.FlagValues()
    flags.DEFINE_string("inverter", None, "", flag_values=given)
    with pytest.raises(SystemExit) as caught:
        cli.parser(given, "toy", "", "")(["toy", f"--inverter={value}"])
    assert caught.value.code == 2 and "no home directory of ~no_such_user_9 is known" in capsys.readouterr().err
    (tmp_path / "~no_such_user_9").mkdir()
    cli.parser(given, "toy", "", "")(["toy", f"--inverter={value}"])
    assert given.inverter == value
