"""Sources of a split as examples: which ones, which stretch of each, and the samples under it."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence

import numpy as np
import tensorflow as tf

from models.errors import UserError
from models.features import audio
from models.features.spec import Spec
from pipelines import files, stable_hash
from pipelines.data import dataset, source_features, source_files

MAX_SOURCES = 200  # of each domain and split; a stable hash of their ids chooses
MAX_FRAMES = 1024  # of each that are looked at, see `dataset.excerpts`


@dataclasses.dataclass
class Example:
    """A held-out source in one row: what it became.

    Attributes:
      id: of the source.
      stem: its name without domain and ending; equal stems are parallel.
      path: of the source file.
      features: as the judge hears them.
      waveform: samples at the spec's rate; None for pictures and for features never inverted.
      first: the sample of the file that the first frame is centred on.
      channel: that is looked at of a recording whose channels cancel; -1 for their average.
    """

    id: str
    stem: str
    path: str
    features: np.ndarray
    waveform: np.ndarray | None = None
    first: int = 0
    channel: int = -1


def examples_of(
    data: dataset.Records, split: str, domain: str, *, but: Container[source_files.Source] = ()
) -> list[Example]:
    """Sources of a split that sound, by id, but those in `but`; of a recording the stretch that is looked at."""
    usable = [source for source in source_features.sources_with_sound(data, split, domain) if source not in but]
    few = source_features.hash_sample(usable, MAX_SOURCES, "evaluate")
    examples = []
    for source, start, features in source_features.read_excerpts(data, split, domain, few, MAX_FRAMES):
        first = _sample_of(source, start, data.spec.features) if data.spec.kind == "audio" else 0
        place = {"first": first, "channel": source.channel}
        examples.append(Example(source.id, source_features.pair_stem(source), source.path, features, **place))
    return sorted(examples, key=lambda example: example.id)


def _sample_of(source: source_files.Source, frame: int, spec: audio.AudioSpec) -> int:
    """The sample of a file that a frame of it, or of a part of it, is centred on."""
    begin = round(source.part[0] * spec.sample_rate_hz) if source.part else 0
    return begin + frame * spec.hop_length


def chosen(examples: Sequence[Example], most: int) -> list[Example]:
    """At most so many examples, those that a stable hash of their stems chooses: parallel ones together, in order."""
    drawn = sorted(examples, key=lambda example: (stable_hash.stable_fraction(f"some:{example.stem}"), example.id))[
        :most
    ]
    return sorted(drawn, key=lambda example: example.id)


def recorded(example: Example, spec: Spec) -> np.ndarray | None:
    """The source file's samples under the frames that are looked at; None where it is gone.

    Earlier samples are read and forgotten, later ones are not read: an hour takes no more memory than a minute.
    """
    front_end = spec.features
    last = example.first + len(example.features) * front_end.hop_length
    try:
        with files.open_binary(example.path) as file:
            parts = list(audio.blocks(file, front_end, channel=example.channel, span=(example.first, last)))
    except (tf.errors.OpError, OSError, UserError):
        return None
    return np.concatenate(parts) if parts else None
