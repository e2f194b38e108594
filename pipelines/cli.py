"""The command line of the scripts: flags, one-line errors, exit codes.

The exit code is 0 on success, 1 on an internal error (a traceback), 2 on a user error (one line on stderr), and 130 on
an interrupt; `main` may return others. A script passes its flags and its `main`; only the scripts import absl's flags.
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
PATH_FLAGS = {
    "cache_dir",
    "data_dir",
    "flag_outliers_with",
    "input",
    "inverter",
    "keep",
    "labels",
    "list",
    "output_dir",
    "reject_outliers_with",
    "run_dir",
    "sample_weights",
    "warm_start",
    "weights",
}  # the others that name files expand a leading ~ where they are listed
POLL_S = 1.0  # seconds between two questions for the failure of work that does not end
TF_FILE_MODULE = "tensorflow/python/lib/io/file_io.py"
VOCODER_PREFIX = "vocoder:"  # a value of --inverter: the prefix and a path


def parser(flags, script: str, summary: str, example: str) -> Callable[[list[str]], list[str]]:
    """Return a parser for `absl.app.run` that leaves the arguments after a bare ``--`` to Beam.

    Args:
      flags: the script's `absl.flags.FLAGS`.
      script: its module, such as "pipelines.train".
      summary: the first line of ``--help``.
      example: a working command, for ``--help``.

    Returns:
      A function from argv to ``[program, *arguments after the bare --]``.
    """

    def parse(argv: list[str]) -> list[str]:
        own, beam = _split_beam_arguments(argv[1:])
        if not set(own).isdisjoint(("--help", "-h", "-help", "--helpfull")):
            print(f"{summary}\n\nExample:\n  {example}\n\n{_help(flags, script)}")
            raise SystemExit(0)
        try:
            rest = flags([argv[0], *own], known_only=True)[1:]
        except Exception as error:  # absl's classes of errors, which only scripts may import
            raise SystemExit(print_error(str(error).replace("flag --", "--"))) from None
        if rest:
            raise SystemExit(print_error(_unknown_argument_message(rest[0], flags)))
        try:
            _expand_paths(flags)
        except UserError as error:
            raise SystemExit(print_error(str(error))) from None
        return [argv[0], *beam]

    return parse


def _expand_paths(flags) -> None:
    """Expand a leading ``~`` in the values of path flags; shells do not expand it in ``--flag=~/x``."""
    for name in PATH_FLAGS & set(flags):
        value = flags[name].value
        flags[name].value = [_expand_path(path) for path in value] if isinstance(value, list) else _expand_path(value)


def _expand_path(path: str | None) -> str | None:
    if path and path.startswith(VOCODER_PREFIX):
        return VOCODER_PREFIX + path_patterns.expand_user(path.removeprefix(VOCODER_PREFIX))
    return path_patterns.expand_user(path) if path else path


def _split_beam_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    index = arguments.index("--")
    return arguments[:index], arguments[index + 1 :]


def _help(flags, script: str) -> str:
    modules = flags.flags_by_module_dict()
    lines = []
    for flag in (flag for module in modules if _is_script_module(module, script) for flag in modules[module]):
        default = "" if flag.default in (None, [], "") else f" [{flag.default}]"
        lines.append(f"  --{flag.name}{default}\n      {flag.help}")
    return "\n".join(lines)


def _is_script_module(module: str, script: str) -> bool:
    return module == script or os.path.basename(module).removesuffix(".py") == script.rpartition(".")[2]


def _unknown_argument_message(argument: str, flags) -> str:
    if not argument.startswith("-"):
        return f"{argument}: wanted --flag=value; Beam's options follow after a bare --"
    name = argument.lstrip("-").partition("=")[0]
    closest = difflib.get_close_matches(name, list(flags), n=1)
    return f"no flag is called --{name}; " + (f"did you mean --{closest[0]}?" if closest else "see --help")


def print_error(message: str) -> int:
    """Print a user error as one line on stderr; return its exit code."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def require_flags(flags, *names: str) -> None:
    """Raise UserError if a required flag is missing."""
    for name in names:
        if not flags[name].value:
            raise UserError(f"--{name} is missing; see --help")


def require_folder(flag: str, path: str) -> None:
    """Raise UserError if the path of an output folder is something else."""
    if os.path.exists(path) and not os.path.isdir(path):
        raise UserError(f"--{flag}={path} is a file; wanted a folder")


def create_output_folder(flag: str, path: str) -> None:
    """Create the output folder of a flag, before any work begins.

    Stores such as `gs://` have no folders, and are not asked whether they can be written to.

    Raises:
      UserError: the path is a file, or the folder cannot be created or written to.
    """
    if "://" in path:
        return
    require_folder(flag, path)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UserError(f"--{flag}={path} cannot be created: {error.strerror or error}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"--{flag}={path} cannot be written to: permission denied")


def create_folder_of_file(flag: str, path: str) -> None:
    """Create the folder of the output file of a flag, before any work begins.

    Raises:
      UserError: the path is a folder, or its folder cannot be created or written to.
    """
    if os.path.isdir(path):
        raise UserError(f"--{flag}={path} is a folder; wanted a file")
    create_output_folder(flag, os.path.dirname(path) or ".")


def refuse_extra_arguments(argv: list[str]) -> None:
    """Raise UserError if arguments follow the bare ``--`` of a script that runs no Beam job."""
    if argv[1:]:
        raise UserError(f"{argv[1]}: this script takes no Beam options after --")


def handle_errors(main: Callable[[list[str]], int | None]) -> Callable[[list[str]], None]:
    """Wrap `main`: user errors become one line and exit code 2, an interrupt exit code 130."""

    def run(argv: list[str]) -> None:
        logging.set_verbosity(logging.ERROR)  # hides TensorFlow's warnings
        try:
            sys.exit(main(argv) or 0)
        except USER_ERRORS as error:
            sys.exit(print_error(str(error)))
        except Exception as error:
            if not _is_file_access_error(error):
                raise
            sys.exit(print_error(str(getattr(error, "message", error))))
        except KeyboardInterrupt as interrupt:
            print("interrupted", file=sys.stderr, flush=True)
            if isinstance(interrupt, WorkInterrupted):
                _kill_process_tree(130)
            sys.exit(130)

    return run


def _is_file_access_error(error: Exception) -> bool:
    """Return whether TensorFlow could not read or write a file; its errors are not `OSError`."""
    frames = traceback.extract_tb(error.__traceback__)
    return hasattr(error, "error_code") and any(frame.filename.endswith(TF_FILE_MODULE) for frame in frames)


class WorkInterrupted(KeyboardInterrupt):
    """An interrupt while the work of :func:`run_interruptible` is still running."""


def _kill_process_tree(code: int) -> None:
    """End this process and its child processes at once, without waiting for running threads."""
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # hides errors about processes that have ended
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(code)


def run_interruptible(work: Callable[[], None], *, failure: Callable[[], Exception | None] = lambda: None) -> None:
    """Run `work` in a thread, so that an interrupt ends the caller at once, whatever the work is doing.

    Args:
      work: what to run.
      failure: polled while the work runs; an error that it returns ends the caller like an interrupt, and is raised.

    Raises:
      WorkInterrupted: there was an interrupt; the work runs until the process ends.
    """
    outcome: concurrent.futures.Future = concurrent.futures.Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # raised again in the caller
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        while not concurrent.futures.wait([outcome], timeout=POLL_S).done:
            if error := failure():
                raise error
        outcome.result()
    except KeyboardInterrupt:
        raise WorkInterrupted from None
