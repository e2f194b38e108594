"""Scores of the rows of a direction on which its verdict rests: content, speaker, diversity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.features.spec import Spec
from models.metrics import content, speaker_embedding
from pipelines.evaluation.examples import Example


def content_errors(
    rows: Mapping[str, Sequence[Example]], sources: Sequence[Example], spec: Spec
) -> dict[str, np.ndarray]:
    """Return the content error of each result and its source, by row; NaN if there is one source only.

    Args:
      rows: row to the results of the sources, in their order. Rows of other sources are left out.
      sources: the sources.
      spec: of the records.
    """
    results = {name: row for name, row in rows.items() if name != "copy_synthesis"}
    if len(sources) < 2:
        return {name: np.full(len(sources), np.nan) for name in results}
    originals, distance = _contents(sources, spec), _content_distance(spec)
    return {name: content.content_errors(originals, _contents(row, spec), distance) for name, row in results.items()}


def speaker_similarities(
    rows: Mapping[str, Sequence[Example]], recordings: Sequence[np.ndarray], spec: Spec
) -> dict[str, np.ndarray]:
    """Return the cosine similarity of each result to the speaker of the recordings `[samples]`, by row.

    Empty if the results have no waveforms, as images have none.
    """
    if any(x.waveform is None for row in rows.values() for x in row):
        return {}
    rate_hz = spec.features.sample_rate_hz
    voice = speaker_embedding.embed_speaker(recordings, rate_hz)
    return {name: speaker_embedding.embed_all([x.waveform for x in row], rate_hz) @ voice for name, row in rows.items()}


def diversity(results: Sequence[Example], targets: Sequence[Example], spec: Spec) -> float:
    """Return the diversity of the results relative to that of held-out targets; NaN if either are fewer than two."""
    if min(len(results), len(targets)) < 2:
        return float("nan")
    return content.diversity(_contents(results, spec), _contents(targets, spec), _content_distance(spec))


def _contents(examples: Sequence[Example], spec: Spec) -> list[np.ndarray]:
    if spec.kind == "image":
        return [content.image_content(x.features) for x in examples]
    return [content.speech_content(x.features, spec.features) for x in examples]


def _content_distance(spec: Spec):
    return content.image_distance if spec.kind == "image" else content.speech_distance
