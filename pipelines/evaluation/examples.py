"""Evaluation examples: a sample of a split's sources, an excerpt of each, and its waveform."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Sequence

import numpy as np
import tensorflow as tf

from models.errors import UserError
from models.features import audio
from models.features.spec import Spec
from pipelines import files, stable_hash
from pipelines.data import dataset, source_features, source_files
from pipelines.evaluation import recordings

MAX_SOURCES = 200  # per domain and split; selected by a stable hash of their ids
MAX_FRAMES = 1024  # maximum length of an excerpt, see `source_features.read_excerpts`


@dataclasses.dataclass
class Example:
    """A held-out source in one row of an evaluation.

    Attributes:
      id: of the source.
      stem: its name without domain and extension; sources of equal stems are parallel.
      path: of the source file, see `recordings.find_file`.
      features: input of the domain classifier.
      waveform: samples at the spec's rate; None for images and for features that are not inverted.
      start_sample: sample of the file on which the first frame is centred.
      channel: of a multichannel recording whose channels cancel each other; -1 for the average of the channels.
      hash: of the bytes of the source file; empty if it is unknown.
      data_dir: of the records; empty if it is unknown.
    """

    id: str
    stem: str
    path: str
    features: np.ndarray
    waveform: np.ndarray | None = None
    start_sample: int = 0
    channel: int = -1
    hash: str = ""
    data_dir: str = ""


def read_examples(
    data: dataset.Records,
    split: str,
    domain: str,
    *,
    exclude: Container[source_files.Source] = (),
    max_sources: int = MAX_SOURCES,
    transform: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> list[Example]:
    """Read at most `max_sources` sources of a split, sorted by id.

    Args:
      data: the records.
      split: "train", "val" or "test".
      domain: name of the domain.
      exclude: sources to leave out. Recordings without sound are always left out.
      max_sources: number of sources; a stable hash selects them.
      transform: applied to the features of each source, so that memory holds the results only.

    Returns:
      One example per source; of a recording an excerpt of at most `MAX_FRAMES` frames.
    """
    usable = [source for source in source_features.sources_with_sound(data, split, domain) if source not in exclude]
    selected = source_features.hash_sample(usable, max_sources, "evaluate")
    examples = []
    for source, start, features in source_features.read_excerpts(data, split, domain, selected, MAX_FRAMES):
        start_sample = _frame_to_sample(source, start, data.spec.features) if data.spec.kind == "audio" else 0
        origin = {"start_sample": start_sample, "channel": source.channel, "hash": source.hash}
        stem = source_features.pair_stem(source)
        examples.append(Example(source.id, stem, source.path, transform(features), **origin, data_dir=data.data_dir))
    return sorted(examples, key=lambda example: example.id)


def _frame_to_sample(source: source_files.Source, frame: int, spec: audio.AudioSpec) -> int:
    """Sample of the file on which a frame of a source is centred; a source may be a part of its file."""
    part_start = round(source.part[0] * spec.sample_rate_hz) if source.part else 0
    return part_start + frame * spec.hop_length


def sample_examples(examples: Sequence[Example], max_count: int) -> list[Example]:
    """Select at most `max_count` examples by a stable hash of their stems, so that parallel ones are selected together.

    Returns:
      The selected examples, sorted by id.
    """
    return sorted(shuffle_examples(examples)[:max_count], key=lambda example: example.id)


def shuffle_examples(examples: Sequence[Example]) -> list[Example]:
    """Order examples by a stable hash of their stems."""
    return sorted(examples, key=lambda example: (stable_hash.stable_fraction(f"some:{example.stem}"), example.id))


def read_waveform(example: Example, spec: Spec) -> np.ndarray | None:
    """Read the source file's samples under the frames of an example; None if the file is missing or has changed.

    Earlier samples are read and dropped, later ones are not read: memory does not depend on the file's length.
    """
    path, state = recordings.find_file(example)
    if state is not recordings.State.INTACT:
        return None
    front_end = spec.features
    end_sample = example.start_sample + len(example.features) * front_end.hop_length
    try:
        with files.open_binary(path) as file:
            span = (example.start_sample, end_sample)
            blocks = list(audio.blocks(file, front_end, channel=example.channel, span=span))
    except (tf.errors.OpError, OSError, UserError):
        return None
    return np.concatenate(blocks) if blocks else None
