"""Selects how the channels of a recording are mixed and scaled, from statistics collected while it is read."""

from __future__ import annotations

import numpy as np

from models.features.clipping import ClippingMeter

CANCELLATION_SHARE = 0.25  # power of the average over that of uncorrelated channels; below: a correlation of -0.75
MAX_CANCELLED_SHARE = 0.1  # of all power, in blocks in which channels cancel; above, one channel is used
MAX_FLOAT_PEAK = 8.0  # no float recording in units of full scale overshoots this far
DEPTHS = (8, 16, 24, 32)  # bits of integers that are stored as floats
BLOCK_S = 0.05  # the offset is removed per block of this length


class ChannelMeter:
    """Duration, clipping, peak of all samples, power of each channel, and power lost when channels are averaged.

    Powers are those without offsets. `source_notes` holds notes for users by the decoder.
    """

    def __init__(self):
        self.source_notes: tuple[str, ...] = ()
        self.seconds, self.clipping = 0.0, ClippingMeter()
        self.powers = np.zeros(0)  # of each channel
        self.uncorrelated = 0.0  # power that the average would have if the channels were uncorrelated
        self.cancelled = 0.0  # the part of `uncorrelated` in blocks in which the channels cancel

    def add(self, block: np.ndarray, rate_hz: int) -> None:
        """Add the next samples `[samples, channels]`; the number of channels may change."""
        self.seconds += len(block) / rate_hz
        self.clipping.add(block)
        count = block.shape[1]
        if count == 1 or not len(block):
            return
        size = min(len(block), max(1, int(BLOCK_S * rate_hz)))
        parts = block[: len(block) // size * size].reshape(-1, size, count)
        parts = parts - parts.mean(axis=1, keepdims=True)
        powers = np.einsum("nsc,nsc->nc", parts, parts, dtype=np.float64)
        mean, uncorrelated = parts.mean(axis=2), powers.sum(axis=1) / count**2
        self.powers = np.pad(self.powers, (0, max(0, count - len(self.powers))))
        self.powers[:count] += powers.sum(axis=0)
        mean_power = np.einsum("ns,ns->n", mean, mean, dtype=np.float64)
        self.uncorrelated += float(uncorrelated.sum())
        self.cancelled += float(uncorrelated[mean_power < CANCELLATION_SHARE * uncorrelated].sum())

    @property
    def peak(self) -> float:
        """The largest absolute value of all samples."""
        return self.clipping.peak

    def selected_channel(self) -> int:
        """Return the loudest channel if the channels cancel in part of the recording, else -1 (average all)."""
        return int(np.argmax(self.powers)) if self.cancelled > MAX_CANCELLED_SHARE * self.uncorrelated else -1

    def depth(self) -> int:
        """Return the bits of integer samples, 0 for floats in units of full scale, or -1 for any other scale."""
        if self.peak <= MAX_FLOAT_PEAK:
            return 0
        return next((bits for bits in DEPTHS if self.peak <= 2.0**bits), -1)

    def scale(self) -> float:
        """Return the power of two that brings the samples to units of full scale."""
        depth = self.depth()
        exponent = np.frexp(self.peak)[1] if depth < 0 else max(0, depth - 1)
        return float(2.0 ** -int(exponent))

    def channel_notes(self) -> tuple[str, ...]:
        """Return notes for users on channels that cancel; channels are counted from 1."""
        channel = self.selected_channel()
        return (f"channels cancel out when averaged: channel {channel + 1} is used",) if channel >= 0 else ()

    def scale_notes(self) -> tuple[str, ...]:
        """Return notes for users on samples in other units than full scale."""
        if not self.depth():
            return ()
        read = f"read as {self.depth()}-bit integers" if self.depth() > 0 else "scaled down to full scale"
        return (f"float samples reach {self.peak:.0f}: {read}",)
