"""Columns of external metrics in the tables of speech directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.features import audio
from models.features.spec import Spec
from pipelines.evaluation import direction_table, external_metrics
from pipelines.evaluation.examples import Example, read_waveform, sample_examples
from pipelines.evaluation.external_metrics import Clip, ExternalMetric
from pipelines.evaluation.translation_quality import Direction
from pipelines.progress import Progress

MAX_CLIPS = 32  # of each row, over all directions; selected by a stable hash
MIN_CLIPS = 4  # of each row of a direction
MAX_SPEAKER_RECORDINGS = 16  # of the training split, per domain; selected by a stable hash


def add_external_scores(
    directions: Sequence[Direction],
    training: Mapping[str, Sequence[Example]],
    spec: Spec,
    metrics: Mapping[str, ExternalMetric],
) -> list[tuple[str, str]]:
    """Add the mean scores of external metrics to the rows of the tables of directions.

    The source of a result is the recording that was translated; for copy synthesis it is the parallel file of the
    source domain, because the row shows what a perfect translation would score.

    Args:
      directions: evaluated directions.
      training: examples of the training split by domain, whose recordings represent the speakers.
      spec: of the records.
      metrics: external metrics by name.

    Returns:
      Pairs of a heading and its definition, of the columns that were added.
    """
    speakers = {domain: _read_speaker(examples, spec) for domain, examples in training.items()}
    max_clips = max(MIN_CLIPS, MAX_CLIPS // max(1, len(directions)))
    infos, added = external_metrics.score_infos(metrics.values()), set()
    counts = (min(len(results), max_clips) for direction in directions for results in direction.examples.values())
    progress = Progress("external metrics", len(metrics) * sum(counts), "clips")
    for direction in directions:
        clips, positions = _make_clips(direction, speakers, spec, max_clips)
        scores = external_metrics.score_external(clips, metrics, lambda count: progress.show(progress.done + count))
        for key, values in scores.items():
            for row, results in direction.examples.items():
                of_row = np.full(len(results), np.nan)
                for (name, index), value in zip(positions, values, strict=True):
                    if name == row:
                        of_row[index] = value
                direction.scores[row][key] = of_row
                means, intervals = direction_table.summarize({key: of_row})
                direction.table[row] |= means
                direction.intervals.setdefault(row, {}).update(intervals)
                added.update(means)
    progress.close()
    return [(key.replace("_", " "), info.describe()) for key, info in infos.items() if key in added]


def _make_clips(
    direction: Direction, speakers: Mapping[str, tuple[np.ndarray, ...]], spec: Spec, max_clips: int
) -> tuple[list[Clip], list[tuple[str, int]]]:
    """Clips of a sample of the results of all rows, and the row of each clip with its position in the row."""
    originals = direction.examples["no_op"]
    recordings = {x.id: _read_recording(x, spec) for x in sample_examples(originals, max_clips)}
    parallel = {x.stem: recordings[x.id] for x in originals if x.id in recordings}
    clips, positions = [], []
    for row, results in direction.examples.items():
        indices = {x.id: n for n, x in enumerate(results)}
        for result in sample_examples(results, max_clips):
            source = parallel.get(result.stem) if row == "copy_synthesis" else recordings[result.id]
            waveform = result.waveform if result.waveform is not None else recordings[result.id]
            if waveform is not None:
                voices = (speakers[direction.source], speakers[direction.target])
                clips.append(Clip(waveform, spec.features.sample_rate_hz, source, *voices))
                positions.append((row, indices[result.id]))
    return clips, positions


def _read_speaker(examples: Sequence[Example], spec: Spec) -> tuple[np.ndarray, ...]:
    waveforms = (_read_recording(x, spec) for x in sample_examples(examples, MAX_SPEAKER_RECORDINGS))
    return tuple(y for y in waveforms if y is not None)


def _read_recording(example: Example, spec: Spec) -> np.ndarray | None:
    """Samples of an example's file at the level of the front end; None if the file cannot be read."""
    waveform = read_waveform(example, spec)
    return None if waveform is None else audio.normalize_level(waveform, spec.features)
