"""The translations that a run offers, and translators for them that share loaded models."""

from __future__ import annotations

import functools

from models.errors import UserError
from pipelines.inference import exported_model
from pipelines.inference.file_translator import FileTranslator, TranslationOptions

BUILT_IN_INVERTERS = ("auto", "griffin_lim", "source_phase")


class RunTranslators:
    """Directions and inverters of a run.

    Args:
      run_dir: the run.
      inverter: the first inverter of the list; may be a "vocoder:RUN".

    Attributes:
      kind: "audio" or "image".
      spec: of the records that the run was trained on.
      directions: (source, target) domains.
      inverters: names, the default first; empty for pictures.

    Raises:
      UserError: there is no complete export, the run does not translate, or the inverter does not match.
    """

    def __init__(self, run_dir: str, inverter: str = "auto"):
        exported_model.use_one_thread_per_operation()  # so that results have the bytes of `translate`
        self.run_dir = run_dir
        self.load_model = functools.cache(exported_model.Model)
        model = self.load_model(run_dir)
        self.spec, self.kind = model.spec, model.spec.kind
        self.directions = model.require_directions()
        self.inverters = list(dict.fromkeys((inverter, *BUILT_IN_INVERTERS))) if self.kind == "audio" else []
        self.translator = functools.cache(self._create_translator)
        source, target = self.directions[0]
        sources = self.sources(target)
        self.translator(target, source if len(sources) > 1 else None, inverter)  # raises before the page is served

    def targets(self) -> list[str]:
        """Return the domains to which the run translates."""
        return list(dict.fromkeys(target for _, target in self.directions))

    def sources(self, target: str) -> list[str]:
        """Return the domains from which the run translates to `target`."""
        return [source for source, candidate in self.directions if candidate == target]

    def _create_translator(self, target: str, source: str | None, inverter: str) -> FileTranslator:
        if self.inverters and inverter not in self.inverters:  # a path from the page is never loaded
            raise UserError(f"inverter {inverter}; wanted one of {', '.join(self.inverters)}")
        options = TranslationOptions(self.run_dir, target, source, inverter)
        return FileTranslator(options, load_model=self.load_model)
