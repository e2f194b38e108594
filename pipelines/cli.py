"""How the scripts speak: flags, one-line errors, exit codes, progress.

Exit 0 on success, 2 on a user's error (one line on stderr), 1 on a fault. A script hands in its
flags and its `main`; absl itself is imported by the scripts alone.
"""

from __future__ import annotations

import concurrent.futures
import difflib
import os
import sys
import threading
import traceback
from collections.abc import Callable

import psutil
from absl import logging

from models.errors import UserError
from pipelines import path_patterns

USER_ERRORS = (UserError, OSError)
PATH_FLAGS = {"data_dir", "run_dir", "output_dir", "input", "inverter", "sample_weights", "warm_start", "labels"}
PATH_FLAGS |= {"weights", "reject_outliers_with", "flag_outliers_with"}
FILE_ACCESS = "tensorflow/python/lib/io/file_io.py"
VOCODER = "vocoder:"  # begins a value of --inverter that goes on with a path


def parser(flags, script: str, summary: str, example: str) -> Callable[[list[str]], list[str]]:
    """A parser for `absl.app.run` that keeps what follows a bare ``--`` for Beam.

    Args:
      flags: the script's `absl.flags.FLAGS`.
      script: its module, such as "pipelines.train".
      summary: one line, shown first by ``--help``.
      example: a command that works.

    Returns:
      A function from argv to ``[program, *what follows the bare --]``.
    """

    def parse(argv: list[str]) -> list[str]:
        own, beam = _split(argv[1:])
        if not set(own).isdisjoint(("--help", "-h", "-help", "--helpfull")):
            print(f"{summary}\n\nExample:\n  {example}\n\n{_help(flags, script)}")
            raise SystemExit(0)
        try:
            rest = flags([argv[0], *own], known_only=True)[1:]
        except Exception as error:  # absl's own classes, which only scripts may import
            raise SystemExit(complain(str(error).replace("flag --", "--"))) from None
        if rest:
            raise SystemExit(complain(_unknown(rest[0], flags)))
        try:
            _expand_paths(flags)
        except UserError as error:
            raise SystemExit(complain(str(error))) from None
        return [argv[0], *beam]

    return parse


def _expand_paths(flags) -> None:
    """Replaces a leading ``~`` in the values of flags that name one path; shells leave it in ``--flag=~/x``."""
    for name in PATH_FLAGS & set(flags):
        value = flags[name].value
        if value and value.startswith(VOCODER):
            flags[name].value = VOCODER + path_patterns.expand_user(value.removeprefix(VOCODER))
        elif value:
            flags[name].value = path_patterns.expand_user(value)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _help(flags, script: str) -> str:
    mine = [flag for module, found in flags.flags_by_module_dict().items() if _is(module, script) for flag in found]
    lines = []
    for flag in mine:
        default = "" if flag.default in (None, [], "") else f" [{flag.default}]"
        lines.append(f"  --{flag.name}{default}\n      {flag.help}")
    return "\n".join(lines)


def _is(module: str, script: str) -> bool:
    return module == script or os.path.basename(module).removesuffix(".py") == script.rpartition(".")[2]


def _unknown(argument: str, flags) -> str:
    if not argument.startswith("-"):
        return f"{argument}: wanted --flag=value; Beam's options follow after a bare --"
    name = argument.lstrip("-").partition("=")[0]
    near = difflib.get_close_matches(name, list(flags), n=1)
    return f"no flag is called --{name}; " + (f"did you mean --{near[0]}?" if near else "see --help")


def complain(message: str) -> int:
    """Says what the user did wrong, in one line; the exit code for it."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def need(flags, *names: str) -> None:
    """Raises UserError unless these flags were given."""
    for name in names:
        if not flags[name].value:
            raise UserError(f"--{name} is missing; see --help")


def need_folder(flag: str, path: str) -> None:
    """Raises UserError where a file stands in the place of a folder to write to."""
    if os.path.isfile(path):
        raise UserError(f"--{flag}={path} is a file; wanted a folder")


def no_more(argv: list[str]) -> None:
    """Raises UserError where something followed the bare ``--`` of a script that starts no Beam job."""
    if argv[1:]:
        raise UserError(f"{argv[1]}: nothing may follow -- here")


def guarded(main: Callable[[list[str]], int | None]) -> Callable[[list[str]], None]:
    """`main` with user errors as one line and exit 2, and an interrupt as exit 130."""

    def run(argv: list[str]) -> None:
        logging.set_verbosity(logging.ERROR)  # TensorFlow tells of its own affairs
        try:
            sys.exit(main(argv) or 0)
        except USER_ERRORS as error:
            sys.exit(complain(str(error)))
        except Exception as error:
            if not _is_of_file_access(error):
                raise
            sys.exit(complain(str(getattr(error, "message", error))))
        except KeyboardInterrupt as interrupt:
            print("interrupted", file=sys.stderr, flush=True)
            if isinstance(interrupt, Abandoned):
                _end(130)
            sys.exit(130)

    return run


def _is_of_file_access(error: Exception) -> bool:
    """Whether TensorFlow could not read or write a file: its errors are no `OSError`."""
    frames = traceback.extract_tb(error.__traceback__)
    return hasattr(error, "error_code") and any(frame.filename.endswith(FILE_ACCESS) for frame in frames)


class Abandoned(KeyboardInterrupt):
    """An interrupt that left work of :func:`interruptible` behind."""


def _end(code: int) -> None:
    """Ends this process and the work's own ones, not by way of threads that are still at it."""
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # each would complain that the other is gone
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(code)


def interruptible(work: Callable[[], None]) -> None:
    """Does `work` in a thread, so that an interrupt ends this one at once and not within whatever the work is at.

    Raises:
      Abandoned: there was an interrupt; the work goes on until the process ends.
    """
    outcome: concurrent.futures.Future = concurrent.futures.Future()

    def done() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # what it is, the caller sees
            outcome.set_exception(error)

    threading.Thread(target=done, daemon=True).start()
    try:
        outcome.result()
    except KeyboardInterrupt:
        raise Abandoned from None
