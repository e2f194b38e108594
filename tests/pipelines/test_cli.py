"""Command lines: flags, help, one line for a user's error, a traceback for a fault."""

import os
import re
import signal
import struct
import threading

import numpy as np
import pytest
from absl import flags

from models.errors import UserError
from pipelines import cli, config

EXAMPLE = "python -m pipelines.toy --size=3"


@pytest.fixture
def toy():
    """A script's flags, and its parser of argv."""
    made = flags.FlagValues()
    flags.DEFINE_integer("size", 1, "How big.", flag_values=made, module_name="pipelines.toy")
    flags.DEFINE_enum("kind", None, ["audio", "image"], "Of what.", flag_values=made, module_name="pipelines.toy")
    flags.DEFINE_bool("logtostderr", False, "Another module's.", flag_values=made, module_name="absl.logging")
    return made, cli.parser(made, "pipelines.toy", "Does little.", EXAMPLE)


def test_arguments_after_bare_dashes_are_left_to_beam(toy):
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


def test_help_after_bare_dashes_is_left_to_beam(toy):
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
def test_an_error_of_the_user_is_one_line(capsys, fails, code, line):
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


def test_an_error_in_interruptible_work_is_raised():
    with pytest.raises(ValueError, match="three"):
        cli.run_interruptible(lambda: int("three"))


@pytest.mark.parametrize("value", ["~no_such_user_9/x", "vocoder:~no_such_user_9/x"])
def test_a_home_directory_that_nobody_has_is_no_name_of_a_folder(tmp_path, monkeypatch, capsys, value):
    monkeypatch.chdir(tmp_path)
    given = flags.FlagValues()
    flags.DEFINE_string("inverter", None, "", flag_values=given)
    with pytest.raises(SystemExit) as caught:
        cli.parser(given, "toy", "", "")(["toy", f"--inverter={value}"])
    assert caught.value.code == 2 and "the home directory of ~no_such_user_9 is unknown" in capsys.readouterr().err
    (tmp_path / "~no_such_user_9").mkdir()
    cli.parser(given, "toy", "", "")(["toy", f"--inverter={value}"])
    assert given.inverter == value


def test_an_output_folder_is_created_or_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    cli.create_output_folder("output_dir", str(tmp_path / "a" / "b"))
    cli.create_output_folder("output_dir", str(tmp_path / "a" / "b"))
    cli.create_folder_of_file("weights", str(tmp_path / "c" / "weights.csv"))
    assert (tmp_path / "a" / "b").is_dir() and (tmp_path / "c").is_dir() and not list((tmp_path / "c").iterdir())
    cli.create_folder_of_file("weights", "weights.csv")
    cli.create_output_folder("output_dir", "gs://bucket/x")
    for path, reason in (("file", "is a file"), ("file/x", "cannot be created: Not a directory")):
        with pytest.raises(UserError, match=f"--output_dir={tmp_path / path} {reason}"):
            cli.create_output_folder("output_dir", str(tmp_path / path))
    with pytest.raises(UserError, match="--weights=.*/a is a folder; wanted a file"):
        cli.create_folder_of_file("weights", str(tmp_path / "a"))
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may write everywhere
    with pytest.raises(UserError, match="cannot be written to: permission denied"):
        cli.create_output_folder("output_dir", str(tmp_path))
