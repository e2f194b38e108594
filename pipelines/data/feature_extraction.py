"""Features of single source files: extraction, survey, and the records that they become."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from models.features import audio, image, stats
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines.data import source_files, tfrecord
from pipelines.data.feature_store import FeatureStore, Part, Segment

MARGIN_S = 1.0  # left out between two splits of one recording
MIN_PART_S = 2.0  # minimum duration of a split of a recording
MIN_CUT_S = 12.0  # shorter recordings are not divided among splits


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
        name = f"{row['id']}{source_files.PART_SEPARATOR}{split}" if split else row["id"]
        common = {key: row[key] for key in ("path", "domain", "label", "speaker") if key in row}
        common["split"] = split or row["split"]
        yield source_files.Source(id=name, active=tuple(active), **common, **facts, **identity), moments


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


def serialized_examples(store: FeatureStore, source: source_files.Source) -> Iterator[bytes]:
    """Yield the serialised records of a surveyed source."""
    label = source.label or posixpath.basename(posixpath.dirname(source.path))
    texts = {"id": source.id, "domain": source.domain, "label": label}
    kind = "audio" if isinstance(store.spec, AudioSpec) else "image"
    with store.read(source.features) as parts:
        (part,) = (part for part in parts if tuple(part.facts.get("part", ())) == source.part)
        for segment, ((array, samples), active) in enumerate(zip(part.segments, source.active, strict=True)):
            yield tfrecord.encode_example(kind, array, texts, segment, active, waveform=samples)
