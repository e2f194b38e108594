"""One source file at a time: what the manifest says of it, and the examples it gives."""

from __future__ import annotations

import dataclasses
import hashlib
import posixpath
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO

from models.errors import UserError
from models.features import audio, image, stats
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines import stable_hash
from pipelines.data import splits, tfrecord
from pipelines.data.file_listing import FileEntry

MARGIN_S = 1.0  # of a recording that is cut up, left out between two splits
MIN_PART_S = 2.0  # of it for a split
MIN_CUT_S = 12.0  # recordings that are shorter stay whole
PART_SEPARATOR = "#"  # between the name of a recording and the split of a part of it


@dataclasses.dataclass(frozen=True)
class Domain:
    """Where a domain's files are.

    Attributes:
      name: as the user calls it.
      root: the folder that ids are relative to, with a final slash.
      files: that were listed; none in a job's workers, which are handed one file at a time.
      left_out: an account of the names that are no input.
    """

    name: str
    root: str
    files: tuple[FileEntry, ...] = ()
    left_out: str = ""

    def unlisted(self) -> Domain:
        """The domain without its files, small enough to travel."""
        return Domain(self.name, self.root)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A line of `manifest.jsonl`: one source file and where it went.

    Attributes:
      id: ``domain/path below the folder the glob begins at``.
      path: where it was read.
      domain: its domain.
      split: train, val or test.
      hash: BLAKE2b of the file's bytes, 16 hex digits.
      length: seconds of speech; pixels of a picture.
      gain: the factor that brought speech to its level.
      frames: frames of speech, rows of a picture.
      active: for each record that it gave, the frames that sound; 1 for a picture.
      channel: the channel that was taken of a recording whose channels cancel; -1 where they are averaged.
      part: of a recording that is cut up among the splits, the seconds from and to which this is; else empty.
      notes: what was unusual about the file and what was made of it, for people.
      shard: number of the shard that holds them.
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
        """A line of the manifest; lists in it become tuples."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})


def survey(
    file: BinaryIO, row: dict, spec: AudioSpec | ImageSpec, fractions: tuple[float, float]
) -> Iterator[tuple[Source, stats.Moments]]:
    """Reads a file for its line of the manifest and its moments; of a recording that is cut up, those of each part.

    Args:
      file: open and seekable.
      row: its `id`, `path`, `domain` and `split`; and `cut`, whether it is cut up among the splits if it is long.
      spec: the front end.
      fractions: of a recording that is cut up, for validation and for testing.

    Raises:
      UserError: it cannot be read, and why.
    """
    digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    file.seek(0)
    place = {"path": row["path"], "domain": row["domain"], "hash": digest}
    if isinstance(spec, ImageSpec):
        facts = _survey_image(file, spec)
        moments = facts.pop("moments")
        yield Source(**place, id=row["id"], split=row["split"], **facts), moments
        return
    meter = audio.measure_level(file, spec)
    spans = split_spans(meter.samples, spec, fractions) if row.get("cut") else {}
    for split, span in (spans or {row["split"]: (0, None)}).items():
        facts = _survey_audio(file, spec, meter, span)
        moments = facts.pop("moments")
        name = f"{row['id']}{PART_SEPARATOR}{split}" if spans else row["id"]
        part = tuple(round(sample / spec.sample_rate_hz, 6) for sample in span) if spans else ()
        yield Source(**place, id=name, split=split, part=part, **facts), moments


def split_spans(samples: int, spec: AudioSpec, fractions: tuple[float, float]) -> dict[str, tuple[int, int]]:
    """The spans of a recording by split, in samples, whole hops: training, then validation, then testing.

    Between two of them `MARGIN_S` are left out, so that no sound is in both. A split that is asked for gets its share,
    and `LEAST_PART_S` at least.

    Args:
      samples: of the recording.
      spec: the front end.
      fractions: for validation and for testing; 0 for none.

    Returns:
      Nothing where the recording is too short or only one split is asked for.
    """
    rate_hz, hop = spec.sample_rate_hz, spec.hop_length
    if samples < MIN_CUT_S * rate_hz or not any(fractions):
        return {}
    spans, end = {}, samples
    for split, share in (("test", fractions[1]), ("val", fractions[0])):
        if share:
            length = max(share * samples, MIN_PART_S * rate_hz)
            start = int((end - length) / hop) * hop
            spans[split] = (start, end)
            end = int((start - MARGIN_S * rate_hz) / hop) * hop
    return {"train": (0, end), **dict(reversed(spans.items()))} if end > 0 else {}


def recording_id(identifier: str) -> str:
    """The id of the recording that a part is of; of a whole file its own.

    >>> whole_id("a/x.wav#val"), whole_id("a/#1.wav")
    ('a/x.wav', 'a/#1.wav')
    """
    whole, _, split = identifier.rpartition(PART_SEPARATOR)
    return whole if split in splits.SPLITS else identifier


def split_key(relative: str, folder: str, split_by: str, seed: int) -> str:
    """What decides on a file's split: its name without ending, so that parallel files stay together, or its folder.

    Names that differ only in how accents are encoded (Unicode's composed and decomposed forms) have one key.

    Args:
      relative: the path below the domain's root.
      folder: the name of the folder that the root is.
      split_by: "file" or "parent".
      seed: another gives another split.
    """
    place = posixpath.splitext(relative)[0] if split_by == "file" else posixpath.dirname(relative) or folder
    return f"{seed}:{unicodedata.normalize('NFC', place)}"


def _survey_audio(file: BinaryIO, spec: AudioSpec, meter: audio.LevelMeter, span: tuple[int, int | None]) -> dict:
    moments, active, frames = stats.Moments.empty(spec.n_mels, stats.LAGS), [], 0
    for part in audio.segments(file, spec, meter.gain(), tfrecord.SEGMENT_FRAMES, channel=meter.channel, span=span):
        sounds = audio.active_frames(part, spec)
        moments = stats.merge(moments, stats.Moments.of(part, active=sounds, lags=stats.LAGS))
        active.append(int(sounds.sum()))
        frames += len(part)
    end = meter.samples if span[1] is None else span[1]
    taken = {"gain": meter.gain(), "channel": meter.channel, "notes": meter.notes}
    length = (end - span[0]) / spec.sample_rate_hz
    return {"length": length, "frames": frames, "active": tuple(active), "moments": moments, **taken}


def _survey_image(file: BinaryIO, spec: ImageSpec) -> dict:
    pixels, notes = image.read_with_notes(file, spec)
    facts = {"length": float(pixels.size), "gain": 1.0, "frames": len(pixels), "active": (1,), "notes": notes}
    return facts | {"moments": stats.Moments.of(image.to_unit(pixels))}


def assign_shard(source: Source, sizes: dict, example_shape: tuple[int | None, ...]) -> tuple[tuple, Source]:
    """A source with its domain, split, shard and number of shards, by the examples and :func:`shape` of the split."""
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
    """The serialised records of a file that was surveyed, those of speech with their samples if asked for."""
    texts = {"id": source.id, "domain": source.domain, "label": posixpath.basename(posixpath.dirname(source.path))}
    if isinstance(spec, AudioSpec):
        rate_hz = spec.sample_rate_hz
        span = tuple(round(seconds * rate_hz) for seconds in source.part) or (0, None)
        how = {"channel": source.channel, "span": span}
        kind, parts = "audio", audio.segments_with_samples(file, spec, source.gain, tfrecord.SEGMENT_FRAMES, **how)
    else:
        kind, parts = "image", iter([(image.read(file, spec), None)])
    for segment, ((part, samples), active) in enumerate(zip(parts, source.active, strict=True)):
        kept = samples if waveforms else None
        yield tfrecord.encode_example(kind, part, texts, segment, active, waveform=kept)


def example_shape(spec: AudioSpec | ImageSpec, *, waveforms: bool) -> tuple[int | None, ...]:
    """What an example holds, as `records.shard_count` wants it: a frame's samples count as more bands."""
    if isinstance(spec, AudioSpec):
        return None, spec.n_mels + spec.hop_length * waveforms
    return spec.height, spec.width, spec.channels


def failure_row(domain: str, path: str, error: Exception) -> dict:
    """A line of `failures.jsonl`."""
    reason = str(error) if isinstance(error, (UserError, OSError)) else f"{type(error).__name__}: {error}"
    return {"domain": domain, "path": path, "reason": " ".join(reason.split())}
