"""How loud a recording is where it sounds, whole or in parts, and the factor that brings it to a level."""

from __future__ import annotations

import numpy as np

ACTIVE_RANGE_DB = 20.0  # a block this far below the loud ones does not count as speech
UNHEARD_DB = 6.0  # that a recording may stay below the level without a word
MAX_GAIN_DB = 40.0  # noise alone must not be blown up to the level of speech


def block_powers(y: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Mean squares of consecutive 20 ms blocks of `y` (the last one may be shorter), float64."""
    size = _block_samples(sample_rate_hz)
    starts = np.arange(0, len(y), size)
    sums = np.add.reduceat(np.square(y, dtype=np.float64), starts) if len(y) else np.zeros(0)
    return sums / np.minimum(size, len(y) - starts)


def _block_samples(sample_rate_hz: int) -> int:
    return max(1, sample_rate_hz // 50)


def active_power(powers: np.ndarray) -> float:
    """Mean power of the blocks that hold speech; 0 where nothing sounds.

    After ITU-T P.56: pauses must not count, or a recording with long ones would come out loud. A
    block is active within `ACTIVE_RANGE_DB` of the 95th percentile, so that a click sets no scale.

    >>> float(active_power(np.array([0.0, 0.0, 0.25, 0.25])))
    0.25
    """
    if not len(powers):
        return 0.0
    loud = np.sort(powers)[len(powers) - 1 - len(powers) // 20]
    active = powers[(powers >= loud * 10 ** (-ACTIVE_RANGE_DB / 10)) & (powers > 0)]
    return float(active.mean()) if len(active) else 0.0


def level_gain(powers: np.ndarray, level_db: float) -> float:
    """The factor that brings a recording's active part to `level_db`, within +-`MAX_GAIN_DB`.

    Silence keeps its level: the factor is 1.

    >>> round(level_gain(np.array([0.01]), -23.0), 4)
    0.7079
    """
    power = active_power(powers)
    if power <= 0:
        return 1.0
    gain_db = level_db - 10 * np.log10(power)
    return float(10 ** (np.clip(gain_db, -MAX_GAIN_DB, MAX_GAIN_DB) / 20))


class LevelMeter:
    """:func:`level_gain` of a recording that arrives in parts, in constant memory but for a number every 20 ms.

    Attributes:
      spec: the front end, of which the rate and the level are used.
      samples: how many were added.
      peak: the largest absolute value, scaled.
      scale: factor that brings the samples to units of full scale; 1 but for odd files.
      channel: the channel that they are of; -1 for the average of all.
      notes: what is unusual about the recording and what was made of it, for people.
    """

    def __init__(self, spec):
        self.spec, self.samples, self.peak = spec, 0, 0.0
        self.scale, self.channel, self.notes = 1.0, -1, ()
        self.partial_block, self.powers = np.zeros(0, np.float32), []

    def add(self, part: np.ndarray) -> None:
        """The next samples."""
        self.samples += len(part)
        self.peak = max(self.peak, self.scale * float(np.abs(part).max(initial=0.0)))
        self.partial_block = np.concatenate([self.partial_block, part])
        whole = len(self.partial_block) - len(self.partial_block) % _block_samples(self.spec.sample_rate_hz)
        self.powers.append(block_powers(self.partial_block[:whole], self.spec.sample_rate_hz))
        self.partial_block = self.partial_block[whole:]

    def describe(self, *, channel: int, scale: float, notes: tuple[str, ...]) -> None:
        """Says how what was added is to be read: which channel it is, its scale, what is unusual about it."""
        self.peak *= scale / self.scale
        self.channel, self.scale = channel, scale
        self.notes = (*notes, *self._remarks())

    def _remarks(self) -> tuple[str, ...]:
        """What is unusual about the level of what was added."""
        power = self.power()
        if power <= 0:
            return ("nothing sounds: silence, or what is below hearing",)
        level_db = 10 * np.log10(power)
        if level_db + MAX_GAIN_DB >= self.spec.level_db - UNHEARD_DB:
            return ()
        return (f"of {level_db:.0f} dB re full scale: raised by {MAX_GAIN_DB:.0f} dB, too quiet all the same",)

    def _blocks(self) -> np.ndarray:
        powers = np.concatenate([*self.powers, block_powers(self.partial_block, self.spec.sample_rate_hz)])
        return self.scale**2 * powers

    def gain(self) -> float:
        """The factor that brings what was added to the spec's level, its scale included."""
        return self.scale * level_gain(self._blocks(), self.spec.level_db)

    def power(self) -> float:
        """The :func:`active_power` of what was added, scaled."""
        return active_power(self._blocks())
