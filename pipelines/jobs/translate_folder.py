"""Translation of a folder or glob by a trained model, as the script `translate` and others run it."""

from __future__ import annotations

import dataclasses
import posixpath
import sys
from collections.abc import Iterator, Sequence

from models.errors import UserError
from pipelines import cli, isolation, path_patterns
from pipelines.beam import filesystem, rows, runner, runner_checks
from pipelines.beam.job_counters import JobCounters
from pipelines.data import file_kinds, file_listing, ignored_files, long_lists
from pipelines.inference.file_translator import FileTranslator, TranslationOptions
from pipelines.jobs import foreign_files, translate_job
from pipelines.jobs.translation_plan import TranslationPlan
from pipelines.progress import Progress, poll_progress

MAX_WARNINGS = 20  # maximum number of outliers named on stderr; `translations.jsonl` lists all


def translate(
    *,
    pattern: str,
    output_dir: str,
    beam_arguments: Sequence[str] = (),
    shared_paths: bool = False,
    reuse: bool = True,
    file_timeout_s: float = isolation.TIMEOUT_S,
    **fields,
) -> dict | None:
    """Translate the files of a glob or folder.

    Args:
      pattern: glob, folder or file of the inputs.
      output_dir: output directory, also of `translations.jsonl` and `failures.jsonl`.
      beam_arguments: pipeline options of Beam.
      shared_paths: whether local paths are the same on every worker of a distributed runner.
      reuse: whether results that are up to date are left as they are: of the same input, model and options.
      file_timeout_s: longest time for a file in seconds, if files are read in child processes; 0 for no limit.
      fields: the fields of a :class:`TranslationOptions`.

    Returns:
      The numbers of translations, of those that were up to date, and of failures, by name; None for a dry run.

    Raises:
      UserError: an option is wrong, or no file can be translated.
    """
    parsed = runner.parse_options(list(beam_arguments))
    output_dir, options = path_patterns.expand_user(output_dir), TranslationOptions(**fields)
    paths = _worker_paths(options, pattern, output_dir)
    for warning in runner_checks.check_paths(parsed, paths.items(), shared=shared_paths):
        print(f"warning: {warning}", file=sys.stderr)
    translator = FileTranslator(options)  # raises before any work begins
    if translator.inverter:
        print(f"inverter: {translator.inverter}")
    plan = _plan(pattern, translator, output_dir)
    job = translate_job.TranslateJob(
        options, translator.source, output_dir, _batch_count(plan), reuse, file_timeout_s=file_timeout_s
    )
    if runner.is_dry_run(parsed):
        runner.run(job.build, parsed)
        return None
    runner_checks.check_options(parsed)
    cli.create_output_folder("output_dir", output_dir)
    with filesystem.folder_lock("output_dir", output_dir), translate_job.loaded(options, translator):
        return _run_job(job, plan, parsed, translator.spec.kind)


def _run_job(job: translate_job.TranslateJob, plan: TranslationPlan, parsed, kind: str) -> dict:
    """Run the job in a folder that is locked, and complete the folder; return what :func:`translate` returns."""
    foreign_files.refuse_foreign_files(plan, job.output_dir, kind)
    unfinished = rows.owned_domains(job.output_dir) is not None
    token = _begin(plan, job.output_dir)
    heartbeat = rows.heartbeat(job.output_dir, token, runner.worker_timeout_s(parsed))
    job = dataclasses.replace(job, token=token, heartbeat=heartbeat)
    progress, counters = Progress(f"translate to {job.options.target}", len(plan), "files"), JobCounters()
    with poll_progress(progress, lambda: counters.total(*translate_job.OUTCOMES)):
        runner.run(job.build, parsed, counters=counters, isolated=unfinished, heartbeat=heartbeat)
    _delete_partial_files(plan, job.output_dir)  # of workers that died
    return _write_results(job.output_dir)


def _plan(pattern: str, translator: FileTranslator, output_dir: str) -> TranslationPlan:
    """List the inputs and fix the outputs.

    Raises:
      UserError: there are no inputs, one of them would be overwritten, or is an archive where a folder must be.
    """
    listing = _list_inputs(pattern, translator.spec.kind, output_dir)
    plan = TranslationPlan(listing.files, listing.root, translator.suffix, output_dir)
    if source := plan.overwritten_input():
        raise UserError(f"--output_dir={output_dir}: the input {source} would be overwritten; wanted another folder")
    if archive := plan.archive_in_place_of_folder():
        raise UserError(
            f"--output_dir={output_dir}: {archive} is an archive there, and its results need a folder of that name; "
            "wanted another folder"
        )
    return plan


def _batch_count(plan: TranslationPlan) -> int:
    return sum(1 for _ in translate_job.make_batches(plan.rows_by_size()))


def _begin(plan: TranslationPlan, output_dir: str) -> str:
    """Mark the folder as ours, delete what an interrupted job left, and write the work; return the job's token.

    The plan of an interrupted job names its results, which listings ignore, and stays until the new one replaces it.
    """
    batches = translate_job.make_batches(plan.rows_by_size())
    if filesystem.is_remote(output_dir):
        batches = (_with_earlier(batch, plan) for batch in batches)
    rows.write_ownership(output_dir, [])
    rows.clear(output_dir, keep_ownership=True, keep_work=translate_job.WORK_NAME)
    _delete_partial_files(plan, output_dir)
    rows.write_work(output_dir, translate_job.WORK_NAME, batches)
    return rows.begin_job(output_dir)


def _outputs(plan: TranslationPlan) -> Iterator[str]:
    return (row["output"] for row in plan.rows() if "output" in row)


def _delete_partial_files(plan: TranslationPlan, output_dir: str) -> None:
    filesystem.delete_partial_files(output_dir, map(posixpath.dirname, _outputs(plan)))


def _with_earlier(batch: dict, plan: TranslationPlan) -> dict:
    """Return the batch with whether there is a result of each row."""
    key = translate_job.EARLIER_KEY
    return {"files": [row | {key: plan.exists(row["output"])} if "output" in row else row for row in batch["files"]]}


def _worker_paths(options: TranslationOptions, pattern: str, output_dir: str) -> dict[str, str]:
    """Return all paths that workers read and write, by flag."""
    vocoder = options.inverter.partition(":")[2]
    detector = options.screen
    paths = {"--run_dir": options.run_dir, "--input": pattern, "--output_dir": output_dir}
    return paths | {"--inverter=vocoder:RUN": vocoder, "--flag_outliers_with": detector}


def _list_inputs(pattern: str, kind: str, output_dir: str) -> file_listing.Listing:
    """List the files to translate; print what is ignored.

    Raises:
      UserError: there are none.
    """
    listing = file_listing.list_files([pattern], file_kinds.known_suffixes(kind), output_dir=output_dir)
    if not listing.files and ignored_files.EXTENSION in listing.ignored.counts:
        ignored = listing.ignored.summary()
        raise UserError(f"--input={pattern}: no {kind} file, the kind this run was trained on; ignored: {ignored}")
    file_listing.require_files(f"--input={pattern}: no file matches", listing)
    file_listing.print_ignored(pattern, listing)
    return listing


def _write_results(output_dir: str) -> dict:
    """Write `translations.jsonl` and `failures.jsonl` from the rows of the workers.

    Returns:
      The number of each, and of the results that were up to date.
    """
    counts, first = {"reused": 0}, {}

    def counted(name: str) -> Iterator[dict]:
        warnings = 0
        for row in rows.read_rows(output_dir, name, order=translate_job.SORT_KEYS):
            counts[name] = counts.get(name, 0) + 1
            counts["reused"] += row.pop(translate_job.REUSED_KEY, False)
            first.setdefault(name, row)
            if "unlike" in row and (warnings := warnings + 1) <= MAX_WARNINGS:
                print(f"warning: {row['path']}: {row['unlike']}", file=sys.stderr)
            yield row

    for name in ("translations", "failures"):
        long_lists.write_list(output_dir, f"{name}.jsonl", counted(name))
    rows.clear(output_dir)
    if not first:
        raise UserError(
            f"--output_dir={output_dir}: the workers wrote no results there; do all workers see the same folder?"
        )
    if not counts.get("translations"):
        failure = first["failures"]
        raise UserError(f"no file could be translated; the first failure: {failure['path']}: {failure['reason']}")
    return {name: counts.get(name, 0) for name in ("translations", "failures", "reused")}
