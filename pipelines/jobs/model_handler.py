"""`TranslationHandler`: an exported model for `RunInference` in a Beam pipeline of the user."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from apache_beam.io.filesystem import FileMetadata
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from models.errors import UserError
from pipelines.beam import filesystem
from pipelines.data import source_files
from pipelines.inference.translation_options import TranslationOptions

if TYPE_CHECKING:
    from pipelines.inference.file_translator import FileTranslator


@dataclasses.dataclass(frozen=True)
class Translation:
    """The translation of a file.

    Attributes:
      content: bytes of the result, as `translate` writes them to a file; empty if there is none.
      entries: what `translate` writes to `translations.jsonl` about the result.
      reason: why there is no result; empty if there is one.
    """

    content: bytes = b""
    entries: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    reason: str = ""


class TranslationHandler(ModelHandler[FileMetadata, PredictionResult, Any]):
    """Translates files, as `translate` does: elements come from `apache_beam.io.fileio.MatchFiles`.

    The inference of a `PredictionResult` is a :class:`Translation`. A file that cannot be translated has a reason and
    ends no batch. `RunInference` loads one model in each worker process. Recordings are translated in chunks of fixed
    length, so that the working memory of a file does not grow with its length; only its result does.

    Args:
      options: run, domains, inverter and so on.
      max_batch_bytes: size of the files of a batch; a larger file is a batch of its own. The results of a batch are in
        memory together.
      max_result_bytes: size of a result from which on it is refused with a reason.
    """

    def __init__(
        self, options: TranslationOptions, *, max_batch_bytes: int = 16 << 20, max_result_bytes: int = 256 << 20
    ):
        super().__init__()
        self.options, self.max_batch_bytes, self.max_result_bytes = options, max_batch_bytes, max_result_bytes

    def load_model(self) -> FileTranslator:
        """Return the translator, which the threads of a process share."""
        from pipelines.inference.file_translator import FileTranslator

        return FileTranslator(self.options)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Return the arguments of `beam.BatchElements`: batches of a size in bytes, not adapted to times."""
        return dict.fromkeys(("min_batch_size", "max_batch_size"), self.max_batch_bytes) | {"element_size_fn": _size}

    def get_num_bytes(self, batch: Sequence[FileMetadata]) -> int:
        """Return the size of the files of a batch, for the metrics of `RunInference`."""
        return sum(map(_size, batch))

    def get_metrics_namespace(self) -> str:
        """Return the namespace of the metrics of `RunInference`."""
        return "crossfade"

    def run_inference(
        self, batch: Sequence[FileMetadata], model: FileTranslator, inference_args: Mapping[str, Any] | None = None
    ) -> Iterator[PredictionResult]:
        """Yield the result of each file, in the order of the batch."""
        from pipelines.inference.file_translator import Item

        results: dict[str, _Result] = {}
        outcomes: dict[str, dict | Exception] = {}
        with contextlib.ExitStack() as stack:
            items = {}
            for path in dict.fromkeys(file.path for file in batch):
                results[path] = _Result(self.max_result_bytes)
                try:
                    source = stack.enter_context(filesystem.open_file(path))
                    items[path] = Item(source, lambda path=path: contextlib.nullcontext(results[path]))
                except Exception as error:  # file systems raise errors of many types
                    outcomes[path] = error
            outcomes |= zip(items, model.translate_files(list(items.values())), strict=True)
        for file in batch:
            outcome = outcomes[file.path]
            if isinstance(outcome, Exception):
                reason = source_files.failure_row(model.source, file.path, outcome)["reason"]
                yield PredictionResult(file, Translation(reason=reason), self.options.run_dir)
            else:
                content = results[file.path].getvalue()
                yield PredictionResult(file, Translation(content, outcome), self.options.run_dir)


def _size(file: FileMetadata) -> int:
    return max(1, file.size_in_bytes)


class _Result(io.BytesIO):
    """A result in memory, of limited size."""

    def __init__(self, max_bytes: int):
        super().__init__()
        self.max_bytes = max_bytes

    def write(self, content) -> int:
        if self.tell() + len(content) > self.max_bytes:
            raise UserError(f"its result has more than max_result_bytes={self.max_bytes}; wanted a shorter recording")
        return super().write(content)
