"""Share of the samples of a recording that are clipped, measured while it is read."""

from __future__ import annotations

import functools

import numpy as np

MIN_RUN = 3  # consecutive samples at the peak; fewer are the crest of a wave
TOLERANCE = 1e-3  # relative distance from the peak, for resampled or dithered recordings
MIN_PEAK = 0.01  # below, the steps of integer samples alone make runs


class ClippingMeter:
    """Counts samples in runs of at least `MIN_RUN` samples at the peak of the recording, of either sign.

    Clipped samples have the largest magnitude of their recording, even if it was scaled down after it had been clipped.
    A run is counted up to the end of the block that it is in. Clipping that a lossy codec has smoothed is not detected.
    """

    def __init__(self):
        self.peak, self.samples, self.clipped = 0.0, 0, 0

    def add(self, block: np.ndarray) -> None:
        """Add the next samples `[samples, channels]`."""
        self.samples += len(block)
        peak = max(float(block.max(initial=0.0)), -float(block.min(initial=0.0)))
        if peak > self.peak * (1 + TOLERANCE):
            self.clipped = 0  # those of a lower level are not clipped
        self.peak = max(self.peak, peak)
        if peak < self.peak * (1 - TOLERANCE) or self.peak < MIN_PEAK or len(block) < MIN_RUN:
            return
        threshold = self.peak * (1 - TOLERANCE)
        in_run = [_in_runs(np.flatnonzero(np.abs(channel) >= threshold)) for channel in block.T]
        self.clipped += len(functools.reduce(np.union1d, in_run))

    def share(self) -> float:
        """Return the share of clipped samples, 0 to 1; a sample counts if it is clipped in any channel."""
        return self.clipped / self.samples if self.samples else 0.0


def _in_runs(indices: np.ndarray) -> np.ndarray:
    """Those of ascending indices that belong to at least `MIN_RUN` consecutive ones.

    >>> _in_runs(np.array([0, 2, 3, 4, 6, 7])).tolist()
    [2, 3, 4]
    """
    runs = np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)
    return np.concatenate([run if len(run) >= MIN_RUN else run[:0] for run in runs])
