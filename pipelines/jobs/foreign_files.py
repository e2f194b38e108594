"""Refusal of an output directory in which `translate` would replace a file that it has not written."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import json
import posixpath

from models.errors import UserError
from pipelines import parallel
from pipelines.beam import filesystem, rows
from pipelines.data import ignored_files, long_lists
from pipelines.data.ignored_files import TRANSLATIONS
from pipelines.inference import result_formats
from pipelines.jobs.translation_plan import TranslationPlan

FAILURES = "failures.jsonl"
RESULT_KEYS = {"path", "output", "source", "target"}  # keys of every line of `TRANSLATIONS`


def refuse_foreign_files(plan: TranslationPlan, output_dir: str, kind: str) -> None:
    """Check that all files that a job would replace are results or lists of an earlier `translate`.

    A result is named by the list of an earlier `translate`, or states its provenance, which is read of files that no
    list names only.

    Args:
      plan: of the job.
      output_dir: its output directory.
      kind: "audio" or "image".

    Raises:
      UserError: a file is neither.
    """
    conflict = _foreign_list(output_dir) or _foreign_output(plan, output_dir, kind)
    if conflict:
        raise UserError(
            f"--output_dir={output_dir}: {conflict} exists and was not written by translate; wanted a folder "
            "without files that have the names of outputs"
        )


def _foreign_list(output_dir: str) -> str | None:
    """Return the name of a file where a list would be written, if no `translate` has written to the folder before.

    An earlier `translate` leaves its list of results, or a mark if it did not finish.
    """
    if rows.owned_domains(output_dir) == [] or _has_translations(output_dir):
        return None
    paths = itertools.chain.from_iterable(long_lists.list_parts(output_dir, name) for name in (TRANSLATIONS, FAILURES))
    return next(map(posixpath.basename, paths), None)


def _has_translations(folder: str) -> bool:
    """Whether a folder has a list of results as `translate` writes it; an empty one lists failures only."""
    if not long_lists.list_parts(folder, TRANSLATIONS):
        return False
    first = next(long_lists.read_lines(folder, TRANSLATIONS), b"")
    try:
        return not first or RESULT_KEYS <= json.loads(first).keys()
    except (ValueError, AttributeError):
        return False


def _foreign_output(plan: TranslationPlan, output_dir: str, kind: str) -> str | None:
    """Return an output of the plan that exists, is not listed and states no provenance; None if there is none."""
    names, values = itertools.tee(plan.unlisted_outputs(ignored_files.read_output_names(output_dir)))
    is_result = functools.partial(_is_result, output_dir, kind)
    with concurrent.futures.ThreadPoolExecutor(parallel.core_count()) as executor:
        checked = zip(names, parallel.map_ordered(executor, is_result, values), strict=True)
        return next((name for name, ours in checked if not ours), None)


def _is_result(output_dir: str, kind: str, name: str) -> bool:
    try:
        with filesystem.open_file(posixpath.join(output_dir, name)) as file:
            return result_formats.is_result(file, kind)
    except OSError:  # such as a broken link
        return False
