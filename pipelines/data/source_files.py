"""Survey of single source files, and the records that they become."""

from __future__ import annotations

import dataclasses
import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO

from models.errors import UserError
from models.features import audio, image, stats
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines import stable_hash
from pipelines.data import splits, tfrecord

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

    @classmethod
    def from_json(cls, row: dict) -> Source:
        """Return the source of a line of the manifest; lists become tuples."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})


def survey(
    file: BinaryIO, row: dict, spec: AudioSpec | ImageSpec, fractions: tuple[float, float]
) -> Iterator[tuple[Source, stats.Moments]]:
    """Read a file and yield its line of the manifest and its moments; one pair for each part of a divided recording.

    Args:
      file: open and seekable.
      row: `id`, `path`, `domain` and `split` of the file; `cut`, if a long recording is divided among the splits.
      spec: the front end.
      fractions: fractions of a divided recording for validation and test.

    Raises:
      UserError: the file cannot be read.
    """
    digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    file.seek(0)
    common = {"path": row["path"], "domain": row["domain"], "hash": digest}
    if isinstance(spec, ImageSpec):
        facts = _survey_image(file, spec)
        moments = facts.pop("moments")
        yield Source(**common, id=row["id"], split=row["split"], **facts), moments
        return
    meter = audio.measure_level(file, spec)
    spans = split_spans(meter.samples, spec, fractions) if row.get("cut") else {}
    for split, span in (spans or {row["split"]: (0, None)}).items():
        facts = _survey_audio(file, spec, meter, span)
        moments = facts.pop("moments")
        name = f"{row['id']}{PART_SEPARATOR}{split}" if spans else row["id"]
        part = tuple(round(sample / spec.sample_rate_hz, 6) for sample in span) if spans else ()
        yield Source(**common, id=name, split=split, part=part, **facts), moments


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


def _survey_audio(file: BinaryIO, spec: AudioSpec, meter: audio.LevelMeter, span: tuple[int, int | None]) -> dict:
    moments, active, frames = stats.Moments.empty(spec.n_mels, stats.LAGS), [], 0
    for segment in audio.segments(file, spec, meter.gain(), tfrecord.SEGMENT_FRAMES, channel=meter.channel, span=span):
        is_active = audio.active_frames(segment, spec)
        moments = stats.merge(moments, stats.Moments.of(segment, active=is_active, lags=stats.LAGS))
        active.append(int(is_active.sum()))
        frames += len(segment)
    end = meter.samples if span[1] is None else span[1]
    level_facts = {"gain": meter.gain(), "channel": meter.channel, "notes": meter.notes}
    length = (end - span[0]) / spec.sample_rate_hz
    return {"length": length, "frames": frames, "active": tuple(active), "moments": moments, **level_facts}


def _survey_image(file: BinaryIO, spec: ImageSpec) -> dict:
    pixels, notes = image.read_with_notes(file, spec)
    facts = {"length": float(pixels.size), "gain": 1.0, "frames": len(pixels), "active": (1,), "notes": notes}
    return facts | {"moments": stats.Moments.of(image.to_unit(pixels))}


def assign_shard(source: Source, sizes: dict, example_shape: tuple[int | None, ...]) -> tuple[tuple, Source]:
    """Return a source, keyed by its domain, split, shard and number of shards."""
    shards = tfrecord.shard_count(sizes[source.domain, source.split], example_shape)
    return (
        source.domain,
        source.split,
        int(stable_hash.stable_fraction(f"shard:{source.id}") * shards),
        shards,
    ), source


def serialized_examples(
    file: BinaryIO, source: Source, spec: AudioSpec | ImageSpec, waveforms: bool
) -> Iterator[bytes]:
    """Yield the serialised records of a surveyed file, with the samples of speech if requested."""
    texts = {"id": source.id, "domain": source.domain, "label": posixpath.basename(posixpath.dirname(source.path))}
    if isinstance(spec, AudioSpec):
        rate_hz = spec.sample_rate_hz
        span = tuple(round(seconds * rate_hz) for seconds in source.part) or (0, None)
        selection = {"channel": source.channel, "span": span}
        kind, parts = (
            "audio",
            audio.segments_with_samples(file, spec, source.gain, tfrecord.SEGMENT_FRAMES, **selection),
        )
    else:
        kind, parts = "image", iter([(image.read(file, spec), None)])
    for segment, ((part, samples), active) in enumerate(zip(parts, source.active, strict=True)):
        waveform = samples if waveforms else None
        yield tfrecord.encode_example(kind, part, texts, segment, active, waveform=waveform)


def example_shape(spec: AudioSpec | ImageSpec, *, waveforms: bool) -> tuple[int | None, ...]:
    """Return the shape of an example for `tfrecord.shard_count`; stored samples count as additional mel bands."""
    if isinstance(spec, AudioSpec):
        return None, spec.n_mels + spec.hop_length * waveforms
    return spec.height, spec.width, spec.channels


def failure_row(domain: str, path: str, error: Exception) -> dict:
    """Return a line of `failures.jsonl`."""
    reason = str(error) if isinstance(error, (UserError, OSError)) else f"{type(error).__name__}: {error}"
    return {"domain": domain, "path": path, "reason": " ".join(reason.split())}
