"""Active speech level of a recording, read at once or in parts, and the gain that brings it to a target level."""

from __future__ import annotations

import numpy as np

ACTIVE_RANGE_DB = 20.0  # blocks further below the loud ones do not count as speech
TOLERANCE_DB = 6.0  # a recording further below the target level gets a note
MAX_GAIN_DB = 40.0  # so that noise alone is not amplified to the level of speech


def block_powers(y: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Mean squares of consecutive 20 ms blocks of `y` (the last one may be shorter), float64."""
    size = block_samples(sample_rate_hz)
    starts = np.arange(0, len(y), size)
    sums = np.add.reduceat(np.square(y, dtype=np.float64), starts) if len(y) else np.zeros(0)
    return sums / np.minimum(size, len(y) - starts)


def block_samples(sample_rate_hz: int) -> int:
    """Return the number of samples of a block of 20 ms."""
    return max(1, sample_rate_hz // 50)


def active_power(powers: np.ndarray) -> float:
    """Mean power of the blocks that contain speech; 0 for silence.

    After ITU-T P.56: pauses are excluded, because recordings with long pauses would otherwise be amplified too much.
    A block is active if it is within `ACTIVE_RANGE_DB` of the 95th percentile, which single clicks do not affect.

    >>> float(active_power(np.array([0.0, 0.0, 0.25, 0.25])))
    0.25
    """
    if not len(powers):
        return 0.0
    active = powers[(powers >= loud_power(powers) * 10 ** (-ACTIVE_RANGE_DB / 10)) & (powers > 0)]
    return float(active.mean()) if len(active) else 0.0


def active_level_db(powers: np.ndarray) -> float | None:
    """Return :func:`active_power` in dB re full scale; None for silence."""
    power = active_power(powers)
    return float(10 * np.log10(power)) if power > 0 else None


def loud_power(powers: np.ndarray) -> float:
    """Return the 95th percentile of the powers of blocks, of which there is at least one."""
    return float(np.sort(powers)[len(powers) - 1 - len(powers) // 20])


def level_gain(powers: np.ndarray, level_db: float) -> float:
    """Gain factor that brings the active part of a recording to `level_db`, limited to +-`MAX_GAIN_DB`.

    The gain of silence is 1.

    >>> round(level_gain(np.array([0.01]), -23.0), 4)
    0.7079
    """
    power = active_power(powers)
    if power <= 0:
        return 1.0
    gain_db = level_db - 10 * np.log10(power)
    return float(10 ** (np.clip(gain_db, -MAX_GAIN_DB, MAX_GAIN_DB) / 20))


class LevelMeter:
    """Measures :func:`level_gain` of a recording that arrives in parts; stores one number per 20 ms.

    Attributes:
      spec: the front end; its sample rate and level are used.
      samples: number of samples added.
      peak: the largest absolute value, scaled.
      scale: factor that brings the samples to units of full scale; 1 for nearly all files.
      channel: the channel measured; -1 for the average of all.
      source_seconds: duration in seconds before resampling.
      clipped: share of clipped samples before resampling, see :class:`models.features.clipping.ClippingMeter`.
      notes: notes for users on what is unusual about the recording and how it is handled.
    """

    def __init__(self, spec):
        self.spec, self.samples, self.peak = spec, 0, 0.0
        self.scale, self.channel, self.source_seconds, self.clipped, self.notes = 1.0, -1, 0.0, 0.0, ()
        self.partial_block, self.powers = np.zeros(0, np.float32), []

    def add(self, part: np.ndarray) -> None:
        """Add the next samples."""
        self.samples += len(part)
        self.peak = max(self.peak, self.scale * float(max(part.max(initial=0.0), -part.min(initial=0.0))))
        self.partial_block = np.concatenate([self.partial_block, part])
        end = len(self.partial_block) - len(self.partial_block) % block_samples(self.spec.sample_rate_hz)
        self.powers.append(block_powers(self.partial_block[:end], self.spec.sample_rate_hz))
        self.partial_block = self.partial_block[end:]

    def describe(
        self, *, channel: int, scale: float, source_seconds: float, clipped: float, notes: tuple[str, ...]
    ) -> None:
        """Set the attributes of the same names; adds notes on the level."""
        self.peak *= scale / self.scale
        self.channel, self.scale, self.source_seconds, self.clipped = channel, scale, source_seconds, clipped
        self.notes = (*notes, *self._level_notes())

    def _level_notes(self) -> tuple[str, ...]:
        """Notes on an unusual level."""
        level_db = active_level_db(self.scaled_powers())
        if level_db is None:
            return ("nothing sounds: silence, or what is below hearing",)
        if level_db + MAX_GAIN_DB >= self.spec.level_db - TOLERANCE_DB:
            return ()
        return (f"of {level_db:.0f} dB re full scale: raised by {MAX_GAIN_DB:.0f} dB, too quiet all the same",)

    def scaled_powers(self) -> np.ndarray:
        """Return the mean squares of all blocks of 20 ms, scaled."""
        powers = np.concatenate([*self.powers, block_powers(self.partial_block, self.spec.sample_rate_hz)])
        return self.scale**2 * powers

    def gain(self) -> float:
        """Gain factor that brings the samples to the spec's level, including the scale."""
        return self.scale * level_gain(self.scaled_powers(), self.spec.level_db)

    def power(self) -> float:
        """:func:`active_power` of the samples, scaled."""
        return active_power(self.scaled_powers())
