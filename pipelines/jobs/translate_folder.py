"""A folder through a model: what `translate` does, for scripts that do it too."""

from __future__ import annotations

import json
import os
import posixpath
import sys
from collections.abc import Iterable, Iterator, Sequence

from models.errors import UserError
from pipelines import path_patterns
from pipelines.beam import filesystem, rows, runner
from pipelines.beam.job_counters import JobCounters
from pipelines.data import file_listing, front_end, ignored_files, tfrecord
from pipelines.data.ignored_files import TRANSLATIONS
from pipelines.inference.file_translator import FileTranslator, TranslationOptions
from pipelines.jobs import result_names, translate_job
from pipelines.progress import Progress, poll_progress

FAILURES = "failures.jsonl"
RESULT_KEYS = {"path", "output", "source", "target"}  # of a line of `TRANSLATIONS`
MAX_WARNINGS = 20  # files unlike the training data that are named on stderr; `translations.jsonl` has them all


def translate(
    *, pattern: str, output_dir: str, beam_arguments: Sequence[str] = (), shared_paths: bool = False, **fields
) -> dict | None:
    """Translates the files of a glob or folder.

    Args:
      pattern: the files.
      output_dir: where results go, and `translations.jsonl` and `failures.jsonl` beside them.
      beam_arguments: Beam's options.
      shared_paths: whether local paths are the same on every worker of a runner that is not this machine.
      fields: the fields of a :class:`TranslationOptions`.

    Returns:
      How many translations and failures there were; None for a dry run.

    Raises:
      UserError: nothing could be done, and why.
    """
    parsed = runner.parse_options(list(beam_arguments))
    output_dir, options = path_patterns.expand_user(output_dir), TranslationOptions(**fields)
    for warning in runner.check_paths(parsed, _worker_paths(options, pattern, output_dir), shared=shared_paths):
        print(f"warning: {warning}", file=sys.stderr)
    translator = FileTranslator(options)  # says what is wrong before any work begins
    listed = _list_inputs(pattern, translator.spec.kind, output_dir)
    plan = list(result_names.plan_results(listed.paths, listed.root, translator.suffix, output_dir))
    _refuse_overwriting(plan, listed.paths, output_dir)
    batches = list(translate_job.make_batches(plan, {entry.path: entry.size for entry in listed.files}))
    job = translate_job.TranslateJob(options, translator.source, output_dir, len(batches))
    if runner.is_dry_run(parsed):
        runner.run(job.build, parsed)
        return None
    runner.check_options(parsed)
    filesystem.create_output_folder("output_dir", output_dir)
    with filesystem.folder_lock("output_dir", output_dir):
        _refuse_foreign_files(plan, output_dir)
        rows.mark_owned(output_dir, [])
        rows.clear(output_dir, keep_claim=True)
        filesystem.delete_partial_files(
            output_dir, (posixpath.dirname(row["output"]) for row in plan if "output" in row)
        )
        rows.write_work(output_dir, translate_job.WORK_NAME, batches)
        progress, counters = Progress(f"translate to {options.target}", len(plan), "files"), JobCounters()
        with poll_progress(progress, lambda: counters.total(translate_job.TRANSLATED, translate_job.FAILED)):
            runner.run(job.build, parsed, counters=counters)
        return _write_results(output_dir)


def _worker_paths(options: TranslationOptions, pattern: str, output_dir: str) -> dict[str, str]:
    """All paths that workers read and write, by flag."""
    vocoder = options.inverter.partition(":")[2]
    detector = options.screen
    paths = {"--run_dir": options.run_dir, "--input": pattern, "--output_dir": output_dir}
    return paths | {"--inverter=vocoder:RUN": vocoder, "--flag_outliers_with": detector}


def _list_inputs(pattern: str, kind: str, output_dir: str) -> file_listing.Listing:
    """The files to translate; says what is left out.

    Raises:
      UserError: there are none.
    """
    listed = file_listing.list_files([pattern], front_end.known_suffixes(kind), output_dir=output_dir)
    if not listed.files and ignored_files.ENDING in listed.left_out.counts:
        met = listed.left_out.described()
        raise UserError(f"--input={pattern}: files, but none of a kind that this run is of ({kind}): {met}")
    file_listing.require_files(f"--input={pattern}: no file matches", listed)
    file_listing.print_ignored(pattern, listed)
    return listed


def _refuse_overwriting(plan: Iterable[dict], inputs: Sequence[str], output_dir: str) -> None:
    """Raises UserError where a result would take the place of one of the inputs."""
    if filesystem.is_remote(output_dir):
        known = {path: path for path in inputs}
        results = (posixpath.join(output_dir, row["output"]) for row in plan if "output" in row)
    else:
        known = {os.path.realpath(path): path for path in inputs if not filesystem.is_remote(path)}
        results = (os.path.realpath(os.path.join(output_dir, row["output"])) for row in plan if "output" in row)
    for result in results:
        if hit := known.get(result):
            raise UserError(f"--output_dir={output_dir}: {hit} would be overwritten; take another folder")


def _refuse_foreign_files(plan: Iterable[dict], output_dir: str) -> None:
    """Raises UserError where a result would take the place of a file, and no `translate` wrote to the folder before.

    That one did is said by its list of results, or by the mark that one leaves which does not end well.
    """
    if rows.owned_domains(output_dir) == [] or _is_translations_file(posixpath.join(output_dir, TRANSLATIONS)):
        return
    names = [TRANSLATIONS, FAILURES, *(row["output"] for row in plan if "output" in row)]
    if filesystem.is_remote(output_dir):
        folder = f"{output_dir.rstrip('/')}/"
        there = {path.removeprefix(folder) for path, _ in filesystem.list_prefix(folder)}
        hit = next((name for name in names if name in there), None)
    else:
        hit = next((name for name in names if os.path.lexists(os.path.join(output_dir, name))), None)
    if hit:
        raise UserError(
            f"--output_dir={output_dir}: {hit} is there, and no translate wrote it; wanted a folder without files of "
            "the names of results"
        )


def _is_translations_file(path: str) -> bool:
    """Whether a file is a list of results as :func:`_finish` writes it; an empty one tells of failures alone."""
    if not filesystem.exists(path):
        return False
    with filesystem.open_file(path) as file:
        first = file.readline()
    try:
        return not first or RESULT_KEYS <= json.loads(first).keys()
    except (ValueError, AttributeError):
        return False


def _write_results(output_dir: str) -> dict:
    """Writes `translations.jsonl` and `failures.jsonl` from the rows of the workers; the number of each."""
    counts, first = {}, {}

    def counted(name: str) -> Iterator[dict]:
        named = 0
        for row in rows.read_rows(output_dir, name, order=translate_job.SORT_KEYS):
            counts[name] = counts.get(name, 0) + 1
            first.setdefault(name, row)
            if "unlike" in row and (named := named + 1) <= MAX_WARNINGS:
                print(f"warning: {row['path']}: {row['unlike']}", file=sys.stderr)
            yield row

    for name in ("translations", "failures"):
        with filesystem.new_file(posixpath.join(output_dir, f"{name}.jsonl")) as file:
            file.writelines(line.encode() for line in tfrecord.json_lines(counted(name)))
    rows.clear(output_dir)
    if not counts:
        raise UserError(f"--output_dir={output_dir}: the workers left no results there; do they see the same folder?")
    if not counts.get("translations"):
        failure = first["failures"]
        raise UserError(f"no file could be translated; the first: {failure['path']}: {failure['reason']}")
    return {name: counts.get(name, 0) for name in ("translations", "failures")}
