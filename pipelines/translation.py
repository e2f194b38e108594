"""A folder through a model: what `translate` does, for scripts that do it too."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import sys
from collections.abc import Sequence

from models.errors import UserError
from pipelines import console, corpus, records, sources, transforms
from pipelines.conversion import Conversion, Converter

MOST_SAID = 20  # files unlike the training data that are named on stderr; `translations.jsonl` has them all


def translate(*, pattern: str, output_dir: str, beam_arguments: Sequence[str] = (), **asked) -> dict | None:
    """Translates the files of a glob or folder.

    Args:
      pattern: the files.
      output_dir: where results go, and `translations.jsonl` and `failures.jsonl` beside them.
      beam_arguments: Beam's options.
      asked: the fields of a :class:`Conversion`.

    Returns:
      How many translations and failures there were; None for a dry run.

    Raises:
      UserError: nothing could be done, and why.
    """
    made = transforms.options(list(beam_arguments))
    conversion = Conversion(**asked)
    converter = Converter(conversion)  # says what is wrong before any work begins
    paths = tuple(corpus.globs_of(pattern, converter.spec.kind))
    files = sorted({path for each in paths for path in transforms.match(each)})
    if not files:
        there = any(transforms.match(each) for each in corpus.globs_of(pattern))
        what = f"files, but none of a kind that this run is of ({converter.spec.kind})" if there else "no file matches"
        raise UserError(f"--input={pattern}: {what}")
    inputs = sources.Domain(converter.source, paths, corpus.root_of(paths))
    job = transforms.Translate(conversion, inputs, output_dir, converter.suffix)
    _refuse_overwriting(job, files)
    if transforms.is_dry_run(made):
        transforms.run(job.build, made)
        return None
    transforms.clear_rows(output_dir)
    with console.tally(transforms.is_local(made)) as tally:
        progress = console.Progress(f"translate to {conversion.target}", len(files), "files")
        with console.watched(progress, tally.count):
            transforms.run(dataclasses.replace(job, tally=tally.folder).build, made)
    return _finish(output_dir)


def _refuse_overwriting(job: transforms.Translate, files: Sequence[str]) -> None:
    """Raises UserError where the output folder is a file, or a result would take the place of one of the inputs."""
    console.need_folder("output_dir", job.output_dir)
    inputs = {os.path.realpath(path): path for path in files}
    for result in (posixpath.join(job.output_dir, job.result_of(path)) for path in files):
        if hit := inputs.get(os.path.realpath(result)):
            raise UserError(f"--output_dir={job.output_dir}: {hit} would be overwritten; take another folder")


def _finish(output_dir: str) -> dict:
    counts = {}
    found = {}
    for name in ("translations", "failures"):
        found[name] = sorted(transforms.rows(output_dir, name), key=lambda row: row["path"])
        with transforms.new_file(posixpath.join(output_dir, f"{name}.jsonl")) as file:
            file.write(records.lines(found[name]).encode())
        counts[name] = len(found[name])
    for row in [row for row in found["translations"] if "unlike" in row][:MOST_SAID]:
        print(f"warning: {row['path']}: {row['unlike']}", file=sys.stderr)
    transforms.clear_rows(output_dir)
    if not counts["translations"]:
        first = found["failures"][0]
        raise UserError(f"no file could be translated; the first: {first['path']}: {first['reason']}")
    return counts
