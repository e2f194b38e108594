"""Answers to the page: the conversion of one file and of a batch."""

from __future__ import annotations

import dataclasses
import os
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from models.errors import UserError
from pipelines.cli import USER_ERRORS
from pipelines.data.ignored_files import IgnoredFiles
from pipelines.reporting import media
from pipelines.web import answer_html, convert_files, uploads
from pipelines.web.answer_html import Example
from pipelines.web.limits import Limits
from pipelines.web.run_translators import RunTranslators
from pipelines.web.uploads import Upload
from pipelines.web.workspace import Workspace

ARCHIVE_NAME = "converted.zip"
NOUNS = {"audio": "recording", "image": "picture"}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the page shows after a conversion.

    Attributes:
      message: HTML of a line about it.
      content: HTML of the results; empty after an error.
    """

    message: str
    content: str = ""


@dataclasses.dataclass(frozen=True)
class Choice:
    """Choices of the user: domains and inverter."""

    target: str
    source: str | None
    inverter: str = ""


@dataclasses.dataclass(frozen=True)
class Converter:
    """Converts uploads and deletes them.

    Attributes:
      translators: of the run.
      workspace: temporary files.
      limits: of a conversion.
      keep_dir: folder in which sources and results are kept; empty to keep none.
    """

    translators: RunTranslators
    workspace: Workspace
    limits: Limits
    keep_dir: str = ""

    def convert_one(self, file: dict | None, choice: Choice) -> Answer:
        """Convert a file; return source and result.

        Args:
          file: the upload: `path` on the server and `orig_name`; None if there is none.
          choice: the choices of the user.
        """
        return _answer_errors(lambda: self._convert_one(file, choice))

    def convert_batch(self, files: Sequence[dict], choice: Choice, show_progress: Callable[[int, int], None]) -> Answer:
        """Convert files and the content of archives; return an archive of the results and the list of failures.

        Args:
          files: uploads as in :meth:`convert_one`.
          choice: the choices of the user.
          show_progress: called with the number of files that are done and the number of all.
        """
        return _answer_errors(lambda: self._convert_batch(files, choice, show_progress))

    def _convert_one(self, file: dict | None, choice: Choice) -> Answer:
        noun = NOUNS[self.translators.kind]
        if not file:
            raise UserError(f"choose a {noun} first")
        with self.workspace.conversion() as folder:
            (upload,) = self._take_uploads([file], folder)
            output_dir = os.path.join(folder, "results")
            outcome = self._convert([upload], choice, output_dir)
            if outcome.failures:
                raise UserError(f"{upload.name}: {outcome.failures[0]['reason']}")
            (row,) = outcome.translations
            location = self._keep([upload], output_dir)
            show = self._show_picture if self.translators.kind == "image" else self._show_recording
            content = answer_html.examples(show(upload, row, output_dir, folder), row.get("notes", ()))
        text = f"{upload.name}: converted from {row['source']} to {row['target']}{location}"
        return Answer(answer_html.message(text), content)

    def _convert_batch(self, files: Sequence[dict], choice: Choice, show_progress: Callable) -> Answer:
        kind = self.translators.kind
        with self.workspace.conversion() as folder:
            received = self._take_uploads(files, folder)
            unpacked_dir, output_dir = (os.path.join(folder, name) for name in ("unpacked", "results"))
            os.mkdir(unpacked_dir)
            ignored = IgnoredFiles()
            expanded = uploads.expand_archives(received, unpacked_dir, self.limits, ignored)
            selected = uploads.select_files(expanded, kind, ignored)
            ignored_text = f"; ignored: {ignored.summary()}" if ignored.counts else ""
            if not selected:
                raise UserError(f"choose {NOUNS[kind]}s, or an archive of them, first{ignored_text}")
            outcome = self._convert(selected, choice, output_dir, lambda done: show_progress(done, len(selected)))
            location = self._keep(selected, output_dir)
            archive = os.path.join(folder, ARCHIVE_NAME)
            convert_files.write_archive(output_dir, archive)
            content = answer_html.batch(self.workspace.publish(archive, ARCHIVE_NAME), ARCHIVE_NAME, outcome.failures)
        counts = f"{len(outcome.translations)} of {len(selected)} files converted to {choice.target}"
        return Answer(answer_html.message(f"{counts}{ignored_text}{location}"), content)

    def _take_uploads(self, files: Sequence[dict], folder: str) -> list[Upload]:
        """Move uploads to a folder. Files of the same name and content are one upload, which is moved once."""
        received_dir = os.path.join(folder, "received")
        os.mkdir(received_dir)
        paths: dict[str, str] = {}
        for path in (file["path"] for file in files if file["path"] not in paths):
            paths[path] = os.path.join(received_dir, str(len(paths)))
            self.workspace.take_upload(path, paths[path])
        self.limits.check_bytes(sum(map(os.path.getsize, paths.values())), "the uploaded files")
        return [Upload(uploads.relative_name(file["orig_name"]), paths[file["path"]]) for file in files]

    def _convert(self, selected: Sequence[Upload], choice: Choice, output_dir: str, *show_progress: Callable):
        run = self.translators
        has_choice = len(run.sources(choice.target)) > 1  # otherwise the page hides the source
        source = choice.source if has_choice else None
        translator = run.translator(choice.target, source, choice.inverter)
        return convert_files.convert_files(translator, selected, output_dir, self.limits, *show_progress)

    def _keep(self, selected: Sequence[Upload], output_dir: str) -> str:
        """Keep sources and results if that is set; return the end of a sentence that states where."""
        if not self.keep_dir:
            return ""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        convert_files.keep_files(selected, output_dir, os.path.join(self.keep_dir, name))
        return f"; kept in {os.path.join(self.keep_dir, name)}"

    def _show_picture(self, upload: Upload, row: dict, output_dir: str, folder: str) -> list[Example]:
        spec, name = self.translators.spec.features, row["output"]
        with open(os.path.join(output_dir, name), "rb") as result:
            pngs = answer_html.picture_png(upload.path, spec), result.read()
        source, result = (media.data_uri("image/png", png) for png in pngs)
        is_small = spec.width < answer_html.SMALL_PIXELS
        return [
            Example(f"Source ({row['source']})", source, is_small=is_small),
            Example(f"Result ({row['target']})", result, name=os.path.basename(name), is_small=is_small),
        ]

    def _show_recording(self, upload: Upload, row: dict, output_dir: str, folder: str) -> list[Example]:
        spec, name = self.translators.spec.features, os.path.basename(row["output"])
        paths = os.path.join(folder, "source.wav"), os.path.join(output_dir, row["output"])
        answer_html.write_source(upload.path, spec, paths[0])
        spectrograms = [answer_html.plot_spectrogram(path, spec) for path in paths]
        source, result = (self.workspace.publish(path, name) for path in paths)
        shown = f", first {answer_html.SHOWN_SECONDS} s shown" if row["seconds"] > answer_html.SHOWN_SECONDS else ""
        return [
            Example(f"Source ({row['source']}{shown})", source, spectrograms[0]),
            Example(f"Result ({row['target']}{shown})", result, spectrograms[1], name),
        ]


def _answer_errors(convert: Callable[[], Answer]) -> Answer:
    """Return the answer, or the error as one: its line for a user error, a note for a bug, with the traceback here."""
    try:
        return convert()
    except USER_ERRORS as error:
        text = str(error)
    except Exception:
        traceback.print_exc(file=sys.stderr)
        text = "an internal error; the terminal of the server has the details"
    return Answer(answer_html.message(" ".join(text.split()), is_error=True))
