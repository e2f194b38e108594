"""HTML of the answers to the page: messages, sources and results, failures of a batch."""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import io
import math
from collections.abc import Sequence

import jinja2
import numpy as np
import soundfile

from models.features import audio, image
from models.features.audio import AudioSpec
from pipelines.reporting import media, plots

SHOWN_SECONDS = 30  # of a recording in a spectrogram
SMALL_PIXELS = 128  # pictures below this width are enlarged without interpolation


@dataclasses.dataclass(frozen=True)
class Example:
    """A source or a result.

    Attributes:
      caption: heading.
      address: of the recording or picture, relative to the page, or a data URL.
      spectrogram: data URL; empty for a picture.
      name: file name under which it is saved; empty if it is not offered.
      is_small: whether a picture is enlarged without interpolation.
    """

    caption: str
    address: str
    spectrogram: str = ""
    name: str = ""
    is_small: bool = False

    @property
    def is_picture(self) -> bool:
        """Whether it is a picture."""
        return not self.spectrogram


@functools.cache
def read_resource(name: str) -> str:
    """Return the text of a file of this package."""
    return importlib.resources.files("pipelines.web").joinpath(name).read_text()


@functools.cache
def _macros():
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(read_resource("answer.html")).module


def message(text: str, *, is_error: bool = False) -> str:
    """Render a line about the conversion."""
    return str(_macros().message(text, is_error))


def examples(parts: Sequence[Example], notes: Sequence[str] = ()) -> str:
    """Render sources and results beside each other, and remarks on the files."""
    return str(_macros().examples(parts, notes))


def batch(address: str, name: str, failures: Sequence[dict]) -> str:
    """Render the link to an archive of results, and the lines of `failures.jsonl` as a table."""
    return str(_macros().batch(address, name, failures))


def picture_png(file: str, spec: image.ImageSpec) -> bytes:
    """Return a picture as the model reads it, as PNG."""
    out = io.BytesIO()
    image.write(out, image.read(file, spec))
    return out.getvalue()


def write_source(file: str, spec: AudioSpec, wav_path: str) -> None:
    """Write a recording as the model reads it: one channel at the model's rate, scaled down where it would clip."""
    meter = audio.measure_level(file, spec)
    with soundfile.SoundFile(wav_path, "w", spec.sample_rate_hz, 1, "PCM_16", format="WAV") as wav_file:
        for part in audio.blocks(file, spec, channel=meter.channel):
            wav_file.write(part / max(1.0, meter.peak))


def plot_spectrogram(file: str, spec: AudioSpec) -> str:
    """Return the log-mels of the first `SHOWN_SECONDS` of a recording, at the model's level, as a PNG data URL."""
    gain = audio.measure_level(file, spec).gain()
    parts = audio.segments(file, spec, gain, math.ceil(SHOWN_SECONDS * spec.frame_rate_hz))
    plot = plots.plot_log_mels({"": next(parts, np.zeros((1, spec.n_mels)))}, spec)
    return media.data_uri("image/png", plot)
