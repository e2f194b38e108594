"""Features of single source files: extraction, survey, and the records that they become."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from models.features import audio, image, stats
from models.features.audio import AudioSpec
from models.features.conditioning import Conditioning
from models.features.image import ImageSpec
from pipelines.data import recording_parts, source_files, tfrecord
from pipelines.data.feature_file import Part, Reader, Segment
from pipelines.data.feature_store import FeatureStore
from pipelines.data.recording_parts import RecordingPart


def extract(file: BinaryIO, store: FeatureStore, *, may_cut: bool) -> Iterator[Part]:
    """Read a file and yield its features; the segments of a part have to be read before the next part.

    Args:
      file: open and seekable.
      store: holds front end, conditioning, fractions, and whether samples are stored.
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
    with audio.analysis(file, spec) as (meter, segments_of):
        for part in recording_parts.parts_of(meter, spec, store.conditioning, store.fractions if may_cut else None):
            yield Part(_facts(meter, part), _stored(segments_of(tfrecord.SEGMENT_FRAMES, part.span), store))


def _facts(meter: audio.LevelMeter, part: RecordingPart) -> dict:
    """Entries of the manifest that follow from the samples of a recording; also the name and split of the part."""
    rate_hz, samples = meter.spec.sample_rate_hz, part.span[1] - part.span[0]
    facts = {"length": samples / rate_hz, "frames": meter.spec.frames(samples)}
    facts |= {"gain": meter.gain(), "channel": meter.channel, "notes": meter.notes, "clipped": round(meter.clipped, 6)}
    if part.level_db is not None:
        facts["level_db"] = round(part.level_db, 2)
    if not part.is_whole:
        facts["part"] = tuple(round(sample / rate_hz, 6) for sample in part.span)
    return facts | {"split": part.split, "name": part.name}


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
      identity: `hash` of the file, and `features`, the place of its features, see `feature_file.Reader`.
    """
    for part in parts:
        facts = {key: tuple(value) if isinstance(value, list) else value for key, value in part.facts.items()}
        split, name = facts.pop("split", ""), facts.pop("name", "")
        active, moments = [], None
        for array, _ in part.segments:
            count, new = _moments(array, spec)
            active.append(count)
            moments = new if moments is None else stats.merge(moments, new)
        identifier = f"{row['id']}{source_files.PART_SEPARATOR}{name}" if name else row["id"]
        common = {key: row[key] for key in ("path", "domain", "label", "speaker") if key in row}
        common["split"] = split or row["split"]
        yield source_files.Source(id=identifier, active=tuple(active), **common, **facts, **identity), moments


def exclusion(source: source_files.Source, conditioning: Conditioning) -> dict | None:
    """Return the line of `excluded.jsonl` of a surveyed recording or part; None if it is kept."""
    facts = {"length": source.length, "level_db": source.level_db, "clipped": source.clipped}
    reason = conditioning.reason(**facts)
    place = {"domain": source.domain, "id": source.id, "path": source.path}
    return {**place, "reason": reason, **facts} if reason else None


def _moments(array: np.ndarray, spec: AudioSpec | ImageSpec) -> tuple[int, stats.Moments]:
    """Number of active frames of a segment, 1 for an image, and the moments of its features."""
    if isinstance(spec, ImageSpec):
        return 1, stats.Moments.of(image.to_unit(array))
    log_mels = array.astype(np.float32)
    active = audio.active_frames(log_mels, spec)
    return int(active.sum()), stats.Moments.of(log_mels, active=active, lags=stats.LAGS)


def serialized_examples(reader: Reader, source: source_files.Source, kind: str) -> Iterator[bytes]:
    """Yield the serialised records of a surveyed source.

    Args:
      reader: of the features.
      source: the source.
      kind: "audio" or "image".
    """
    label = source.label or posixpath.basename(posixpath.dirname(source.path))
    texts = {"id": source.id, "domain": source.domain, "label": label}
    parts = reader.parts(source.features)
    (part,) = (part for part in parts if tuple(part.facts.get("part", ())) == source.part)
    for segment, ((array, samples), active) in enumerate(zip(part.segments, source.active, strict=True)):
        yield tfrecord.encode_example(kind, array, texts, segment, active, waveform=samples)
