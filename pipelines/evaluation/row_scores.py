"""Scores of the rows of a direction: speaker, content, diversity, distances to parallel targets and to the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.features.spec import Spec
from models.metrics import content, speaker_embedding, speech
from models.metrics import image as image_metrics
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
    rows: Mapping[str, Sequence[Example]], speaker: Sequence[Example], spec: Spec
) -> dict[str, np.ndarray]:
    """Return the cosine similarity of each result to the speaker of the given recordings, by row.

    Empty if the results have no waveforms, as images have none.
    """
    if any(x.waveform is None for row in rows.values() for x in row):
        return {}
    rate_hz = spec.features.sample_rate_hz
    voice = speaker_embedding.embed_speaker([x.waveform for x in speaker], rate_hz)
    return {
        name: np.array([speaker_embedding.embed(x.waveform, rate_hz) @ voice for x in row])
        for name, row in rows.items()
    }


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


def parallel_distortions(
    rows: Mapping[str, Sequence[Example]], targets: Sequence[Example], spec: Spec
) -> dict[str, np.ndarray]:
    """Return the MCD in dB of each result and its parallel target, by row; empty for images and without parallels."""
    if spec.kind == "image":
        return {}
    distortions = {}
    for name, row in rows.items():
        if pairs := _parallel_pairs(row, targets):
            mcd = [speech.mel_cepstral_distortion(x.features, y.features, spec.features) for x, y in pairs]
            distortions[name] = np.array(mcd)
    return distortions


def distance_to_source(results: Sequence[Example], sources: Sequence[Example]) -> float:
    """Return the mean log-spectral distance in dB of speech results to their sources."""
    pairs = zip(results, sources, strict=True)
    return float(np.mean([speech.log_spectral_distance(x.features, y.features) for x, y in pairs]))


def image_distances(results: Sequence[Example], targets: Sequence[Example]) -> dict[str, float]:
    """Return SSIM and mean absolute error to the parallel targets; empty without parallels."""
    pairs = _parallel_pairs(results, targets)
    if not pairs:
        return {}
    x, y = (np.stack([pair[n].features for pair in pairs]) for n in (0, 1))
    return {
        "ssim": float(np.mean(image_metrics.ssim(x, y))),
        "mean_absolute_error": float(np.mean(image_metrics.mean_absolute_error(x, y))),
    }


def _parallel_pairs(results: Sequence[Example], targets: Sequence[Example]) -> list[tuple[Example, Example]]:
    parallel = {x.stem: x for x in targets}
    return [(x, parallel[x.stem]) for x in results if x.stem in parallel]
