"""Conversion of uploads, one file after the other, as `translate` converts a folder of one file."""

from __future__ import annotations

import dataclasses
import functools
import os
import posixpath
import shutil
import zipfile
from collections.abc import Callable, Sequence

from models.errors import UserError
from pipelines.beam import filesystem
from pipelines.data import long_lists, source_files
from pipelines.data.file_table import FileEntry
from pipelines.data.ignored_files import TRANSLATIONS
from pipelines.inference.file_translator import FileTranslator, Item
from pipelines.jobs.foreign_files import FAILURES
from pipelines.jobs.translation_plan import TranslationPlan
from pipelines.web.limits import Limits
from pipelines.web.uploads import Upload


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Outcome of a conversion.

    Attributes:
      translations: lines of `translations.jsonl`; `output` is the path of the result in the output folder.
      failures: lines of `failures.jsonl`.
    """

    translations: list[dict]
    failures: list[dict]


def convert_files(
    translator: FileTranslator,
    uploads: Sequence[Upload],
    output_dir: str,
    limits: Limits,
    show_progress: Callable[[int], None] = lambda done: None,
) -> Outcome:
    """Convert files; a file that cannot be converted is listed with the reason and does not stop the others.

    Args:
      translator: model and options.
      uploads: files with names of their own.
      output_dir: folder for the results, `translations.jsonl` and `failures.jsonl`.
      limits: of each file.
      show_progress: called with the number of files that are done.
    """
    by_name = {upload.name: upload for upload in uploads}
    outcome = Outcome([], [])
    plan = TranslationPlan((FileEntry(name, 0) for name in by_name), "", translator.suffix, output_dir)
    for done, row in enumerate(plan.rows()):
        show_progress(done)
        try:
            facts = _convert_file(translator, by_name[row["path"]], row, output_dir, limits)
            outcome.translations.append({**row, "source": translator.source, "target": translator.target, **facts})
        except Exception as error:  # decoders raise errors of many types
            outcome.failures.append(source_files.failure_row(translator.source, row["path"], error))
    show_progress(len(by_name))
    long_lists.write_list(output_dir, TRANSLATIONS, outcome.translations)
    long_lists.write_list(output_dir, FAILURES, outcome.failures)
    return outcome


def _convert_file(translator: FileTranslator, upload: Upload, row: dict, output_dir: str, limits: Limits) -> dict:
    """Convert a file; return its entries for `translations.jsonl`."""
    if upload.error is not None:
        raise upload.error
    if "reason" in row:
        raise UserError(row["reason"])
    with open(upload.path, "rb") as source:
        limits.check_content(source, translator.spec.kind)
        target = posixpath.join(output_dir, row["output"])
        (facts,) = translator.translate_files([Item(source, functools.partial(filesystem.new_file, target))])
    if isinstance(facts, Exception):
        raise facts
    return facts


def write_archive(folder: str, path: str) -> None:
    """Write the files below a folder to a zip archive, uncompressed: samples and PNG do not shrink."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for parent, _, names in sorted(os.walk(folder)):
            for name in sorted(names):
                file = os.path.join(parent, name)
                archive.write(file, os.path.relpath(file, folder))


def keep_files(uploads: Sequence[Upload], output_dir: str, keep_dir: str) -> None:
    """Copy sources and results to a new folder; nothing happens to files that are there.

    Args:
      uploads: the sources.
      output_dir: folder of the results.
      keep_dir: folder to create, with `sources` and `results`.
    """
    shutil.copytree(output_dir, os.path.join(keep_dir, "results"))
    for upload in (upload for upload in uploads if upload.error is None):
        target = os.path.join(keep_dir, "sources", upload.name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(upload.path, target)
