"""Audio and pictures as data URIs, small enough that a report of many files stays one file."""

from __future__ import annotations

import base64
import io
import math

import matplotlib
import numpy as np
import PIL.Image
import soundfile

from models.features import image
from models.features.audio_spec import AudioSpec, band_edges_hz

TICKS_HZ = (1000, 2000, 4000, 8000, 16000)
HIGHEST_DB = 10.0  # of the colour scale of spectrograms; the lowest is the floor of the front end


def data_uri(kind: str, data: bytes) -> str:
    """Return bytes as a data URI.

    >>> data_uri("image/png", b"abc")
    'data:image/png;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def encode_audio(waveform: np.ndarray, rate_hz: int) -> str:
    """Return samples `[samples]` as the data URI of a 16-bit FLAC file, scaled down if they exceed 1."""
    out = io.BytesIO()
    peak = max(1.0, float(np.abs(waveform).max(initial=0.0)))
    soundfile.write(out, waveform / peak, rate_hz, format="FLAC", subtype="PCM_16")
    return data_uri("audio/flac", out.getvalue())


def encode_image(pixels: np.ndarray) -> str:
    """Return an image `[height, width, channels]` in [-1, 1] as the data URI of a PNG file."""
    out = io.BytesIO()
    image.write(out, image.to_pixels(pixels))
    return data_uri("image/png", out.getvalue())


def encode_spectrogram(log_mels: np.ndarray, spec: AudioSpec) -> str:
    """Return log-mels `[frames, mels]` as the data URI of a PNG file with one pixel for each value.

    Low frequencies are at the bottom. Colours run from the floor of the front end to `HIGHEST_DB`.
    """
    lowest_db = 20 * math.log10(spec.floor)
    db = np.asarray(log_mels, np.float32).T[::-1] * (20 / math.log(10))
    indices = np.clip((db - lowest_db) / (HIGHEST_DB - lowest_db), 0, 1) * 255
    picture = PIL.Image.fromarray(indices.astype(np.uint8))
    palette = matplotlib.colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    picture.putpalette(palette.tobytes())
    out = io.BytesIO()
    picture.save(out, format="PNG", optimize=True)
    return data_uri("image/png", out.getvalue())


def frequency_ticks(spec: AudioSpec) -> list[tuple[float, str]]:
    """Return the height in a spectrogram, 0 to 1, and the label of some frequencies within the range of the mels."""
    edges = band_edges_hz(spec)
    positions = np.interp(TICKS_HZ, edges[1:-1], (np.arange(spec.n_mels) + 0.5) / spec.n_mels)
    inside = [n for n, hz in enumerate(TICKS_HZ) if edges[1] <= hz <= edges[-2]]
    return [(float(positions[n]), f"{TICKS_HZ[n] / 1000:g} kHz") for n in inside]
