"""Parameters of the audio front end, with the mel filter bank and analysis window that they define."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from models.config_fields import option
from models.errors import UserError
from models.features import mel_scale


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioSpec:
    """The front end, complete: two equal specs give the same features for the same file."""

    sample_rate_hz: int = option(16000, "sample rate in Hz to which every recording is resampled")
    n_fft: int = option(1024, "FFT size in samples; even")
    hop_length: int = option(256, "hop length in samples between frames")
    win_length: int = option(1024, "window length in samples, centred in the frame; at most n_fft")
    window: str = option("hann", "name of a SciPy window")
    n_mels: int = option(80, "number of mel bands (Slaney scale and area normalisation, as in librosa)")
    fmin_hz: float = option(40.0, "lower edge of the first mel band in Hz")
    fmax_hz: float = option(7600.0, "upper edge of the last mel band in Hz; at most half the sample rate")
    floor: float = option(1e-4, "smallest mel magnitude; smaller values are raised to it before the logarithm")
    level_db: float = option(
        -23.0, "RMS level in dB re full scale to which the active part of a recording is normalised"
    )

    def __post_init__(self):
        for name in ("sample_rate_hz", "n_fft", "hop_length", "win_length", "n_mels", "floor"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name}={getattr(self, name)}; wanted a positive number")
        if not (self.level_db <= 0 and math.isfinite(self.level_db)):
            raise UserError(f"level_db={self.level_db}; wanted 0 or less, dB re full scale")
        if not self.floor <= 1:
            raise UserError(f"floor={self.floor}; wanted at most 1")
        if self.n_fft % 2:
            raise UserError(f"n_fft={self.n_fft}; wanted an even number; near it: {self.n_fft + 1}")
        if self.win_length > self.n_fft:
            raise UserError(f"win_length={self.win_length}; wanted at most n_fft={self.n_fft}")
        if self.hop_length > self.win_length // 2:
            raise UserError(
                f"hop_length={self.hop_length}; wanted at most half of win_length={self.win_length}, "
                "or the spectrogram cannot be inverted"
            )
        if not 0 <= self.fmin_hz < self.fmax_hz <= self.sample_rate_hz / 2:
            raise UserError(
                f"fmin_hz={self.fmin_hz}, fmax_hz={self.fmax_hz}; "
                f"wanted 0 <= fmin < fmax <= {self.sample_rate_hz / 2} Hz (half the sample rate)"
            )
        if not mel_matrix(self).max(axis=1).all():
            raise UserError(
                f"n_mels={self.n_mels}: some bands are narrower than a bin of n_fft={self.n_fft}; "
                "wanted fewer mels or a longer n_fft"
            )
        try:
            window(self)
        except ValueError as error:  # SciPy has no window of this name
            raise UserError(f"window={self.window}: {error}") from None

    @classmethod
    def at(cls, sample_rate_hz: int, **changes) -> AudioSpec:
        """Return the default front end for a sample rate, with `changes` applied.

        A frame lasts 32 to 64 ms (a power of two in samples) and a hop a quarter of it. The lengths derive from
        `n_fft` and the upper band edge from the rate, unless `changes` sets them.

        >>> AudioSpec.at(8000).n_fft, AudioSpec.at(8000).hop_length, AudioSpec.at(22050).n_fft
        (512, 128, 1024)
        """
        n_fft = changes.get("n_fft") or 1 << int(0.064 * sample_rate_hz).bit_length() - 1
        defaults = {
            "n_fft": n_fft,
            "hop_length": max(1, n_fft // 4),
            "win_length": n_fft,
            "fmax_hz": round(0.475 * sample_rate_hz, 1),
        }
        return cls(sample_rate_hz=sample_rate_hz, **{**defaults, **changes})

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return self.sample_rate_hz / self.hop_length

    @property
    def log_floor(self) -> float:
        """Log-mel value of a silent bin."""
        return float(np.log(np.float32(self.floor)))

    def frames(self, samples: int) -> int:
        """Return the number of frames of `samples` samples (centred framing)."""
        return 1 + samples // self.hop_length


@functools.lru_cache(maxsize=16)
def mel_matrix(spec: AudioSpec) -> np.ndarray:
    """Mel filter bank `[mels, n_fft // 2 + 1]`, float32; Slaney (1998) as in librosa."""
    return mel_scale.filter_bank(spec.sample_rate_hz, spec.n_fft, spec.n_mels, spec.fmin_hz, spec.fmax_hz)


@functools.lru_cache(maxsize=16)
def band_centres(spec: AudioSpec) -> np.ndarray:
    """Centres of mass of the mel bands `[mels]` in Hz."""
    bank = mel_matrix(spec)
    return bank @ np.linspace(0, spec.sample_rate_hz / 2, bank.shape[1]) / bank.sum(axis=1)


def band_edges_hz(spec: AudioSpec) -> np.ndarray:
    """Edges of the mel bands in Hz, `[mels + 2]`; those but the first and the last are the peaks of the bands."""
    return mel_scale.band_edges_hz(spec.n_mels, spec.fmin_hz, spec.fmax_hz)


@functools.lru_cache(maxsize=16)
def window(spec: AudioSpec) -> np.ndarray:
    """Periodic analysis window, zero-padded on both sides to `n_fft` samples, float32."""
    unpadded = _periodic_window(spec.window, spec.win_length)
    before = (spec.n_fft - spec.win_length) // 2
    return np.pad(unpadded, (before, spec.n_fft - spec.win_length - before)).astype(np.float32)


def _periodic_window(name: str, length: int) -> np.ndarray:
    if name == "hann":  # the default, without loading scipy.signal, which is slow
        return np.hanning(length + 1)[:-1]
    import scipy.signal

    return scipy.signal.get_window(name, length)
