"""What the channels of a recording say about how to mix and to scale them, found while it is read."""

from __future__ import annotations

import numpy as np

CANCELS = 0.25  # of the power that channels with nothing in common have on average: a correlation of -0.75
LOST = 0.1  # of all power, in blocks in which channels cancel: from here on one channel is taken
FLOATS_REACH = 8.0  # beyond any float that is in units of full scale: an overshoot stays below
DEPTHS = (8, 16, 24, 32)  # bits of integers that are kept as floats
BLOCK_S = 0.05  # in which an offset is taken out


class Channels:
    """Peak of all samples, the power of the channels, and how much of it their average loses, without offsets."""

    def __init__(self):
        self.peak = 0.0
        self.powers = np.zeros(0)  # of each channel
        self.unrelated = 0.0  # power that their average would have if they had nothing in common
        self.cancelled = 0.0  # of it, that of the blocks in which they cancel

    def add(self, block: np.ndarray, rate_hz: int) -> None:
        """The next samples `[samples, channels]`; their number of channels may change."""
        self.peak = max(self.peak, float(block.max(initial=0.0)), -float(block.min(initial=0.0)))
        count = block.shape[1]
        if count == 1 or not len(block):
            return
        size = min(len(block), max(1, int(BLOCK_S * rate_hz)))
        parts = block[: len(block) // size * size].reshape(-1, size, count)
        parts = parts - parts.mean(axis=1, keepdims=True)
        powers = np.einsum("nsc,nsc->nc", parts, parts, dtype=np.float64)
        mean, unrelated = parts.mean(axis=2), powers.sum(axis=1) / count**2
        self.powers = np.pad(self.powers, (0, max(0, count - len(self.powers))))
        self.powers[:count] += powers.sum(axis=0)
        average = np.einsum("ns,ns->n", mean, mean, dtype=np.float64)
        self.unrelated += float(unrelated.sum())
        self.cancelled += float(unrelated[average < CANCELS * unrelated].sum())

    def best(self) -> int:
        """The loudest channel if they cancel, be it in a part of the recording; -1 if they can be averaged."""
        return int(np.argmax(self.powers)) if self.cancelled > LOST * self.unrelated else -1

    def depth(self) -> int:
        """Bits of the integers that the samples are, 0 if they are in units of full scale, -1 if they are neither."""
        if self.peak <= FLOATS_REACH:
            return 0
        return next((bits for bits in DEPTHS if self.peak <= 2.0**bits), -1)

    def scale(self) -> float:
        """The power of two that brings the samples to units of full scale."""
        depth = self.depth()
        exponent = np.frexp(self.peak)[1] if depth < 0 else max(0, depth - 1)
        return float(2.0 ** -int(exponent))

    def notes(self) -> tuple[str, ...]:
        """What is unusual, and what is made of it, for people; channels are counted from 1."""
        notes = []
        if self.best() >= 0:
            notes.append(f"channels cancel out when averaged: channel {self.best() + 1} is used")
        if self.depth():
            read = f"read as {self.depth()}-bit integers" if self.depth() > 0 else "scaled down to full scale"
            notes.append(f"float samples reach {self.peak:.0f}: {read}")
        return tuple(notes)
