"""Translation of files by an exported model, each with its provenance.

Only the SavedModel is needed and no plugin code: the SavedModel holds its configuration, its domains and its context.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

from models.errors import UserError
from pipelines import files, parallel, stable_hash
from pipelines.beam import blas
from pipelines.data import fingerprint
from pipelines.inference import exported_model, outlier_detector, result_formats
from pipelines.inference.exported_model import Model
from pipelines.inference.image_translator import ImageTranslator
from pipelines.inference.inverters import Inverter
from pipelines.inference.speech_translator import SpeechTranslator
from pipelines.inference.translation_options import TranslationOptions

OPTIONS_OF_OTHER_KIND = {"audio": ("image_size",), "image": ("pitch", "keep_rate", "keep_channels")}


@dataclasses.dataclass(frozen=True)
class Item:
    """A file to translate.

    Attributes:
      source: binary file, open and seekable.
      create: opens the result: returns a context manager of a binary file.
    """

    source: BinaryIO
    create: Callable[[], contextlib.AbstractContextManager[BinaryIO]]


class FileTranslator:
    """Translates files, several at a time; the result of a file does not depend on the others.

    Args:
      options: model, domains, inverter and so on.
      load_model: function from a run to its model, for callers that keep loaded models.

    Attributes:
      source: domain of the files; None if unknown, for a model that translates any source.
      suffix: of results, such as ".wav" or ".png".
      inverter: what the inverter is, for logs; empty for images.
      settings: what results depend on besides their source: version, hash of the model, options.

    Raises:
      UserError: the model, the domains, the inverter or the statistics do not match the options.
    """

    def __init__(self, options: TranslationOptions, *, load_model: Callable[[str], Model] = Model):
        blas.use_one_thread()
        exported_model.use_one_thread_per_operation()
        self.model = model = load_model(options.run_dir)
        self.spec, self.target = model.spec, options.target
        self.source, translate_fn = model.translation(options.target, options.source)
        self.format = result_formats.choose(self.spec.kind, options.file_format)
        self.suffix = f".{self.format}"
        _check_kind(options, self.spec.kind)
        self.file_executor, chunk_executor = (
            concurrent.futures.ThreadPoolExecutor(parallel.core_count()) for _ in range(2)
        )
        if self.spec.kind == "audio":
            inverter = Inverter(options.inverter, model, load_model)
            self.inverter = inverter.description
            self.translator = SpeechTranslator(
                self.spec, translate_fn, model.context, inverter, chunk_executor, options, self.source
            )
        else:
            self.inverter = ""
            self.translator = ImageTranslator(self.spec.features, translate_fn, options.image_size)
        self.detector = None
        if run_dir := options.screen:
            self.detector = outlier_detector.Detector.load(run_dir, load_model(run_dir), kind=self.spec.kind)
        self.settings = _settings(options, self)

    def translate_files(self, items: list[Item]) -> list[dict | Exception]:
        """Translate files, as many at a time as there are cores.

        Returns:
          For each item its entries for `translations.jsonl`, or the error that prevented its translation.
        """
        return list(self.translations(items))

    def translations(self, items: list[Item]) -> Iterator[dict | Exception]:
        """Return an iterator of the results of :meth:`translate_files`, each as soon as it and those before it exist.

        All files are translated, even if the iterator is not read.
        """
        return self.file_executor.map(functools.partial(_result_or_error, self._translate_file), items)

    def provenance(self, source: BinaryIO) -> dict:
        """Return what the result of a file depends on: the hash of its bytes, and the settings."""
        return {"hash": stable_hash.file_digest(source), **self.settings}

    def reusable(self, result: BinaryIO, source: BinaryIO) -> dict | None:
        """Return the entries for `translations.jsonl` of an earlier result, or None if it would be another one now.

        Args:
          result: binary file of the earlier result.
          source: its source, open and seekable.
        """
        earlier = result_formats.read_provenance(result, self.spec.kind)  # empty if it is cut short
        return earlier["entries"] if self.provenance(source).items() <= earlier.items() else None

    def _translate_file(self, item: Item) -> dict:
        """Translate a file and write the result; return its entries for `translations.jsonl`."""
        provenance = self.provenance(item.source)
        common = {key: provenance[key] for key in ("hash", "model")}
        common["options"] = stable_hash.digest(json.dumps(provenance["options"], sort_keys=True).encode())
        if self.detector and (reason := self.detector.outlier_reason(item.source)):
            common["unlike"] = reason
        with tempfile.TemporaryFile() as complete:

            def write(content, *arguments) -> None:
                *shape, facts = arguments
                write_fn = result_formats.write_sound if self.spec.kind == "audio" else result_formats.write_image
                write_fn(complete, self.format, content, *shape, {**provenance, "entries": {**facts, **common}})

            facts = self.translator.translate(item.source, write)
            complete.seek(0)
            with item.create() as out:
                shutil.copyfileobj(complete, out)
        return {**facts, **common}


def _check_kind(options: TranslationOptions, kind: str) -> None:
    """Raise UserError for options that are not of this kind of files."""
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    for flag in OPTIONS_OF_OTHER_KIND[kind]:
        if (value := getattr(options, flag)) != defaults[flag]:
            text = f"--{flag}" if value is True else f"--{flag}={value}"
            raise UserError(f"{text}: the run was trained on files of the kind {kind}")


def _settings(options: TranslationOptions, translator: FileTranslator) -> dict:
    """What results depend on besides their source; no paths, so that another copy of a run gives equal results."""
    named = dataclasses.asdict(options)
    for flag in ("run_dir", "inverter", "screen"):
        del named[flag]
    named |= {"source": translator.source, "file_format": translator.format, "inverter": translator.inverter}
    if options.inverter.startswith("vocoder:"):
        named["inverter"] = f"vocoder:{fingerprint.model_hash(options.inverter.partition(':')[2])}"
    if options.screen:
        named["screen"] = stable_hash.digest(files.read(posixpath.join(options.screen, outlier_detector.JSON_FILE)))
    model = fingerprint.model_hash(options.run_dir)
    return {"crossfade": importlib.metadata.version("crossfade"), "model": model, "options": named}


def _result_or_error(function: Callable, *arguments):
    """Return the function's result, or the exception that it raises: one bad file must not end the batch."""
    try:
        return function(*arguments)
    except Exception as error:
        return error
