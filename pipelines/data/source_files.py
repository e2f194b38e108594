"""Survey of single source files, and the records that they become."""

from __future__ import annotations

import dataclasses
import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from models.errors import UserError
from models.features import audio, image, stats
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines import stable_hash
from pipelines.data import splits, tfrecord
from pipelines.data.feature_store import FeatureStore, Part, Segment

MARGIN_S = 1.0  # left out between two splits of one recording
MIN_PART_S = 2.0  # minimum duration of a split of a recording
MIN_CUT_S = 12.0  # shorter recordings are not divided among splits
PART_SEPARATOR = "#"  # between the id of a recording and the split of a part


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A line of `manifest.jsonl`: one source file, or one part of a recording, and its records.

    Attributes:
      id: ``domain/relative path``.
      path: path of the file.
      domain: name of its domain.
      split: train, val or test.
      hash: BLAKE2b of the file's bytes, 16 hex digits.
      length: duration of speech in seconds; number of values of an image.
      gain: factor that normalises the level of speech.
      frames: frames of speech, rows of an image.
      active: number of active (not silent) frames of each record; 1 for an image.
      channel: channel that was read because the channels cancel each other; -1 if they are averaged.
      part: start and end in seconds of a part of a recording that is divided among splits; else empty.
      notes: remarks for people on how an unusual file was read.
      shard: number of the shard that holds the records.
      label: its label by a list; empty for the name of its folder.
      speaker: its speaker by a list; empty if unknown.
      features: name of the file of its features; not in the manifest.
    """

    id: str
    path: str
    domain: str
    split: str
    hash: str
    length: float
    gain: float
    frames: int
    active: tuple[int, ...]
    channel: int = -1
    part: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    shard: int = 0
    label: str = ""
    speaker: str = ""
    features: str = ""

    def to_json(self) -> dict:
        """Return the line of the manifest, without an unknown label or speaker."""
        row = dataclasses.asdict(self)
        del row["features"]
        return {key: value for key, value in row.items() if value or key not in ("label", "speaker")}

    @classmethod
    def from_json(cls, row: dict) -> Source:
        """Return the source of a line of the manifest; lists become tuples."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})


def digest(file: BinaryIO) -> str:
    """Return the hash of a file's bytes, 16 hex digits."""
    file.seek(0)
    value = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    file.seek(0)
    return value


def extract(file: BinaryIO, store: FeatureStore, *, may_cut: bool) -> Iterator[Part]:
    """Read a file and yield its features; the segments of a part have to be read before the next part.

    Args:
      file: open and seekable.
      store: holds front end, fractions, and whether samples are stored.
      may_cut: whether a recording that is long enough is divided among the splits.

    Raises:
      UserError: the file cannot be read.
    """
    spec = store.spec
    if isinstance(spec, ImageSpec):
        pixels, notes = image.read_with_notes(file, spec)
        facts = {"length": float(pixels.size), "gain": 1.0, "frames": len(pixels), "notes": notes}
        yield Part(facts, [(pixels, None)])
        return
    meter = audio.measure_level(file, spec) if may_cut else None
    spans = split_spans(meter.samples, spec, store.fractions) if meter else {}
    if not spans:
        with audio.analysis(file, spec, tfrecord.SEGMENT_FRAMES) as (meter, segments):
            yield Part(_facts(meter, (0, meter.samples)), _stored(segments, store))
    for split, span in spans.items():
        part = tuple(round(sample / spec.sample_rate_hz, 6) for sample in span)
        segments = audio.segments_with_samples(
            file, spec, meter.gain(), tfrecord.SEGMENT_FRAMES, channel=meter.channel, span=span
        )
        yield Part({**_facts(meter, span), "split": split, "part": part}, _stored(segments, store))


def _facts(meter: audio.LevelMeter, span: tuple[int, int]) -> dict:
    """Entries of the manifest that follow from the level and the length of a recording."""
    samples = span[1] - span[0]
    facts = {"gain": meter.gain(), "channel": meter.channel, "notes": meter.notes}
    return {"length": samples / meter.spec.sample_rate_hz, "frames": meter.spec.frames(samples), **facts}


def _stored(segments: Iterable[tuple[np.ndarray, np.ndarray]], store: FeatureStore) -> Iterator[Segment]:
    """Yield segments in the type of the records, with samples if they are stored."""
    for log_mels, samples in segments:
        yield log_mels.astype(np.float16), samples.astype(np.float16) if store.waveforms else None


def survey(parts: Iterable[Part], row: dict, spec: AudioSpec | ImageSpec, identity: dict) -> Iterator[tuple]:
    """Yield the line of the manifest and the moments of each part of a source.

    Args:
      parts: its features.
      row: `id`, `path`, `domain` and `split` of the file; `label` and `speaker` if a list states them.
      spec: the front end.
      identity: `hash` of the file, and `features`, the name of its file of features.
    """
    for part in parts:
        facts = {key: tuple(value) if isinstance(value, list) else value for key, value in part.facts.items()}
        split = facts.pop("split", None)
        active, moments = [], None
        for array, _ in part.segments:
            count, new = _moments(array, spec)
            active.append(count)
            moments = new if moments is None else stats.merge(moments, new)
        name = f"{row['id']}{PART_SEPARATOR}{split}" if split else row["id"]
        common = {key: row[key] for key in ("path", "domain", "label", "speaker") if key in row}
        common["split"] = split or row["split"]
        yield Source(id=name, active=tuple(active), **common, **facts, **identity), moments


def _moments(array: np.ndarray, spec: AudioSpec | ImageSpec) -> tuple[int, stats.Moments]:
    """Number of active frames of a segment, 1 for an image, and the moments of its features."""
    if isinstance(spec, ImageSpec):
        return 1, stats.Moments.of(image.to_unit(array))
    log_mels = array.astype(np.float32)
    active = audio.active_frames(log_mels, spec)
    return int(active.sum()), stats.Moments.of(log_mels, active=active, lags=stats.LAGS)


def split_spans(samples: int, spec: AudioSpec, fractions: tuple[float, float]) -> dict[str, tuple[int, int]]:
    """Divide a recording into spans for training, validation and test, in samples, at multiples of the hop.

    Between two spans, `MARGIN_S` is left out, so that no sound is in both. Each requested split gets its fraction, but
    `MIN_PART_S` at least.

    Args:
      samples: length of the recording.
      spec: the front end.
      fractions: fractions for validation and test; 0 for none.

    Returns:
      Start and end of the span by split; empty if the recording is too short or only training is requested.
    """
    rate_hz, hop = spec.sample_rate_hz, spec.hop_length
    if samples < MIN_CUT_S * rate_hz or not any(fractions):
        return {}
    spans, end = {}, samples
    for split, fraction in (("test", fractions[1]), ("val", fractions[0])):
        if fraction:
            length = max(fraction * samples, MIN_PART_S * rate_hz)
            start = int((end - length) / hop) * hop
            spans[split] = (start, end)
            end = int((start - MARGIN_S * rate_hz) / hop) * hop
    return {"train": (0, end), **dict(reversed(spans.items()))} if end > 0 else {}


def recording_id(identifier: str) -> str:
    """Return the id of the recording that a part belongs to; the id of an undivided file is returned as it is.

    >>> recording_id("a/x.wav#val"), recording_id("a/#1.wav")
    ('a/x.wav', 'a/#1.wav')
    """
    recording, _, split = identifier.rpartition(PART_SEPARATOR)
    return recording if split in splits.SPLITS else identifier


def split_key(relative: str, folder: str, split_by: str, seed: int) -> str:
    """Return the key that decides on the split of a file: its path without extension, its folder, or its prefix.

    Parallel files that differ only in extension, or in the Unicode form of accents, have the same key.

    Args:
      relative: path relative to the root of the domain.
      folder: name of the root folder.
      split_by: "file", "parent", or "prefix": the name up to the first hyphen or underscore, whatever the folder.
      seed: random seed of the split.

    >>> split_key("f/103-1240-0000.flac", "f", "prefix", 0)
    '0:103'
    """
    group = posixpath.splitext(relative)[0]
    if split_by == "parent":
        group = posixpath.dirname(relative) or folder
    elif split_by == "prefix":
        group = re.split("[-_]", posixpath.basename(group))[0]
    return f"{seed}:{unicodedata.normalize('NFC', group)}"


def assign_shard(source: Source, sizes: dict, example_shape: tuple[int | None, ...]) -> tuple[tuple, Source]:
    """Return a source, keyed by its domain, split, shard and number of shards."""
    shards = tfrecord.shard_count(sizes[source.domain, source.split], example_shape)
    return (
        source.domain,
        source.split,
        int(stable_hash.stable_fraction(f"shard:{source.id}") * shards),
        shards,
    ), source


def serialized_examples(store: FeatureStore, source: Source) -> Iterator[bytes]:
    """Yield the serialised records of a surveyed source."""
    label = source.label or posixpath.basename(posixpath.dirname(source.path))
    texts = {"id": source.id, "domain": source.domain, "label": label}
    kind = "audio" if isinstance(store.spec, AudioSpec) else "image"
    with store.read(source.features) as parts:
        (part,) = (part for part in parts if tuple(part.facts.get("part", ())) == source.part)
        for segment, ((array, samples), active) in enumerate(zip(part.segments, source.active, strict=True)):
            yield tfrecord.encode_example(kind, array, texts, segment, active, waveform=samples)


def example_shape(spec: AudioSpec | ImageSpec, *, waveforms: bool) -> tuple[int | None, ...]:
    """Return the shape of an example for `tfrecord.shard_count`; stored samples count as additional mel bands."""
    if isinstance(spec, AudioSpec):
        return None, spec.n_mels + spec.hop_length * waveforms
    return spec.height, spec.width, spec.channels


def failure_row(domain: str, path: str, error: Exception) -> dict:
    """Return a line of `failures.jsonl`."""
    reason = str(error) if isinstance(error, (UserError, OSError)) else f"{type(error).__name__}: {error}"
    return {"domain": domain, "path": path, "reason": " ".join(reason.split())}
