"""The model card of an export: purpose, data, use, limits and results, as Markdown with YAML front matter.

The fields of the front matter are those of model cards on the Hugging Face Hub
(https://huggingface.co/docs/hub/model-cards).
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence

import jinja2

from models.features.spec import Spec
from models.vocoders import universal
from pipelines import files

FILE_NAME = "README.md"  # in the export
TASKS = {"audio": "audio-to-audio", "image": "image-to-image"}
TRANSLATIONS = ("translate_ab", "translate_ba", "translate_to")
RESULT_KEYS = ("target_rate", "relative_similarity", "content_error", "mcd_db", "ssim", "kid")


def render_card(run: Mapping, spec: Spec, signatures: Iterable[str], results: Mapping | None = None) -> str:
    """Return the model card of a run.

    Args:
      run: the content of `config.json`, of any version.
      spec: of its records.
      signatures: names of the signatures of its export.
      results: content of `metrics.json` of an evaluation; None if there was none.
    """
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        loader=jinja2.PackageLoader("pipelines.export"),
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - Markdown; pages escape it when they convert it
    )
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    names = sorted(signatures)
    holds_vocoder = "invert_griffin_lim" in names and spec.kind == "audio"  # exports of earlier versions have none
    return environment.get_template("model_card.md").render(
        run=run,
        spec=spec,
        task=TASKS[spec.kind],
        translates=any(name in TRANSLATIONS for name in names),
        signatures=names,
        vocoder=universal.find(spec.features) if holds_vocoder else None,
        results=_result_rows(results or {}),
        verdicts=[
            (direction, outcome["verdict"], outcome["reasons"])
            for direction, outcome in (results or {}).get("ways", {}).items()
        ],
    )


def _result_rows(results: Mapping) -> Sequence[tuple[str, str, float]]:
    """Direction, name and value of the main results of an evaluation."""
    return [
        (direction, key, float(outcome["rows"]["model"][key]))
        for direction, outcome in results.get("ways", {}).items()
        for key in RESULT_KEYS
        if key in outcome["rows"]["model"]
    ]


def write_card(run_dir: str, card: str) -> None:
    """Write a model card into the export of a run.

    Raises:
      OSError: it could not be written.
    """
    files.write(posixpath.join(files.current_folder(posixpath.join(run_dir, "export")), FILE_NAME), card.encode())
