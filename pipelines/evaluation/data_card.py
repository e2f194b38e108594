"""The data card of a report: numbers, durations, levels and F0 of the files of each domain and split."""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from models.errors import UserError
from models.features import f0_tracking
from models.features.spec import Spec
from pipelines.data import dataset
from pipelines.data.source_files import Source
from pipelines.evaluation.examples import Example, read_waveform, sample_examples
from pipelines.reporting import html_report

MAX_F0_FILES = 16  # of each domain, because the files are read again; selected by a stable hash
TEXT = {
    "audio": "Duration in hours and its median in seconds; median level of active speech in dB re full scale, before "
    "normalisation; median F0 in Hz.",
    "image": "Files of each domain and split.",
}


def make_section(
    training_dir: str, evaluated: dataset.Records, test: Mapping[str, Sequence[Example]]
) -> html_report.Section:
    """Return the section of a report.

    Args:
      training_dir: data directory of the run; left out if it is gone.
      evaluated: the records of the evaluation.
      test: held-out examples by domain, whose F0 is tracked if the records do not state it.
    """
    spec, headings, table = evaluated.spec, [], []
    f0 = _median_f0(spec, test) if spec.kind == "audio" else {}
    for data in _read_all(training_dir, evaluated):
        for domain, split in itertools.product(spec.domains, ("train", "val", "test")):
            if sources := data.sources_of(split, domain):
                cells = _describe_sources(sources, spec, f0.get(domain))
                headings = ["domain and split", *cells]
                table.append([f"{domain}, {split}", *cells.values()])
    return html_report.Section("Data", headings=headings, table=table, text=TEXT[spec.kind])


def _read_all(training_dir: str, evaluated: dataset.Records) -> Iterator[dataset.Records]:
    """Yield the records of the run, if they are others and still there, and those of the evaluation."""
    if training_dir != evaluated.data_dir:
        with contextlib.suppress(UserError):
            yield dataset.open_records(training_dir)
    yield evaluated


def _describe_sources(sources: Sequence[Source], spec: Spec, f0: float | None) -> dict[str, str]:
    """Cells of a row by heading."""
    cells = {"files": str(len(sources))}
    if spec.kind == "image":
        return cells
    lengths = [source.length for source in sources]
    levels = [spec.features.level_db - 20 * np.log10(source.gain) for source in sources if source.gain > 0]
    return {
        **cells,
        "hours": f"{sum(lengths) / 3600:.2f}",
        "median (s)": f"{statistics.median(lengths):.1f}",
        "level (dB)": f"{statistics.median(levels):.1f}" if levels else "-",
        "F0 (Hz)": f"{f0:.0f}" if f0 else "-",
    }


def _median_f0(spec: Spec, test: Mapping[str, Sequence[Example]]) -> dict[str, float]:
    """Median F0 of each domain in Hz: of the training split if the records state it, else of some held-out files."""
    stated = {name: float(np.exp(m.mean[0])) for name, m in spec.pitch.items() if m.count}
    return stated or {name: f0 for name, examples in test.items() if (f0 := _track_median_f0(examples, spec))}


def _track_median_f0(examples: Sequence[Example], spec: Spec) -> float | None:
    waveforms = (read_waveform(x, spec) for x in sample_examples(examples, MAX_F0_FILES))
    contours = [f0_tracking.track_f0(y, spec.features.sample_rate_hz) for y in waveforms if y is not None]
    voiced = np.concatenate([f0[np.isfinite(f0)] for f0 in contours]) if contours else np.zeros(0)
    return float(np.median(voiced)) if len(voiced) else None
