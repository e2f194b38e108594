"""File lists of a report: the evaluated files of a direction, each as source, conversion, closed form and target."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from models import spectral
from models.features import audio
from models.features.spec import Spec
from pipelines.evaluation.examples import Example, read_waveform, shuffle_examples
from pipelines.evaluation.translation_quality import Direction
from pipelines.evaluation.verdict import BASELINES
from pipelines.reporting import glossary, media
from pipelines.reporting.file_list import File, FileList, Score, Version

MAX_FILES = 48  # of a direction
MAX_BYTES = 12_000_000  # of all file lists of a report


def make_file_list(
    direction: Direction,
    test: Mapping[str, Sequence[Example]],
    spec: Spec,
    higher_is_better: Mapping[str, bool],
    max_bytes: int,
) -> FileList:
    """Return the file list of a direction: half of it a random sample of the files, half those of the lowest scores.

    Args:
      direction: the direction.
      test: held-out examples by domain.
      spec: of the records.
      higher_is_better: scores by key, and whether low values are bad.
      max_bytes: size of the list, which bounds the number of files; there is one file in any case.
    """
    scores = direction.scores["model"]
    files: list[File] = []
    size = 0
    for index in _selection_order(direction)[:MAX_FILES]:
        versions = list(_versions(direction, index, test, spec))
        size += sum(version.size for version in versions)
        if files and size > max_bytes:
            break
        file_scores = {key: float(values[index]) for key, values in scores.items() if np.isfinite(values[index])}
        files.append(File(direction.examples["model"][index].id, versions, file_scores))
    present = [key for key in higher_is_better if any(key in file.scores for file in files)]
    columns = [Score(key, glossary.heading(key), higher_is_better[key]) for key in present]
    ticks = media.frequency_ticks(spec.features) if spec.kind == "audio" else ()
    return FileList(sorted(files, key=lambda file: file.name), columns, _describe(len(files), direction), ticks)


def decisive_score(direction: Direction) -> str:
    """Key of the score by which the worst files of a direction are selected: that on which its verdict rests most."""
    scores = direction.scores["model"]
    return "relative_similarity" if "relative_similarity" in scores else "target_log_odds"


def _selection_order(direction: Direction) -> list[int]:
    """Indices of a direction's files, alternating between a random sample and those of the lowest decisive score."""
    model = direction.examples["model"]
    indices = {x.id: n for n, x in enumerate(model)}
    worst = np.argsort(direction.scores["model"][decisive_score(direction)], kind="stable")
    sampled = [indices[x.id] for x in shuffle_examples(model)]
    return list(dict.fromkeys(itertools.chain.from_iterable(zip(sampled, map(int, worst), strict=True))))


def _describe(shown: int, direction: Direction) -> str:
    number = len(direction.examples["model"])
    if shown == number:
        return f"All {number} evaluated files of {direction.source}."
    heading = glossary.heading(decisive_score(direction))
    return (
        f"{shown} of {number} evaluated files of {direction.source}: half of them a random sample, half those of the "
        f"lowest {heading}. The table above is about all of them."
    )


def _versions(direction: Direction, index: int, test: Mapping[str, Sequence[Example]], spec: Spec) -> Iterator[Version]:
    """Yield source, conversion, best closed form if there is one, and parallel target or any other target."""
    source, targets = test[direction.source][index], test[direction.target]
    yield _version(f"source ({direction.source})", source, spec)
    yield _version(f"converted to {direction.target}", direction.examples["model"][index], spec)
    baselines = [name for name in BASELINES if name in direction.examples]
    if baselines:
        best = max(baselines, key=lambda name: direction.scores[name][decisive_score(direction)].mean())
        yield _version(f"closed form: {best}", direction.examples[best][index], spec)
    parallel = [x for x in targets if x.stem == source.stem]
    if parallel:
        yield _version(f"target ({direction.target})", parallel[0], spec, note=parallel[0].id)
    elif spec.kind == "audio":
        other = targets[index % len(targets)]
        yield _version(f"other sentence of {direction.target}", other, spec, note=other.id)


def _version(label: str, example: Example, spec: Spec, *, note: str = "") -> Version:
    """A version of a file: of speech its waveform, else the recording, else, if that is gone, its inverted features."""
    if spec.kind == "image":
        return Version(label, media.encode_image(example.features), note=note)
    waveform = example.waveform if example.waveform is not None else read_waveform(example, spec)
    if waveform is None:
        magnitude = spectral.mel_to_magnitude(example.features[None], spec.features)
        waveform = spectral.griffin_lim(magnitude, spec.features)[0].numpy()
    waveform = audio.normalize_level(waveform, spec.features)
    sound = media.encode_audio(waveform, spec.features.sample_rate_hz)
    return Version(label, media.encode_spectrogram(example.features, spec.features), sound, note)


def write_scores(directions: Sequence[Direction]) -> str:
    """Return the scores of every file of every row as CSV."""
    keys = dict.fromkeys(key for d in directions for scores in d.scores.values() for key in scores)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["source", "target", "row", "file", *keys])
    for direction in directions:
        for row, examples in direction.examples.items():
            columns = [direction.scores[row].get(key) for key in keys]
            for n, example in enumerate(examples):
                values = ["" if c is None or not np.isfinite(c[n]) else f"{float(c[n]):.6g}" for c in columns]
                writer.writerow([direction.source, direction.target, row, example.id, *values])
    return out.getvalue()
