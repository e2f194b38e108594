"""Share of the samples of a recording that are clipped, measured while it is read."""

from __future__ import annotations

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
        at_peak = np.abs(block) >= self.peak * (1 - TOLERANCE)
        runs = np.lib.stride_tricks.sliding_window_view(at_peak, MIN_RUN, axis=0).all(axis=-1)
        in_run = np.zeros(at_peak.shape, bool)
        for offset in range(MIN_RUN):
            in_run[offset : offset + len(runs)] |= runs
        self.clipped += int(in_run.any(axis=1).sum())

    def share(self) -> float:
        """Return the share of clipped samples, 0 to 1; a sample counts if it is clipped in any channel."""
        return self.clipped / self.samples if self.samples else 0.0
