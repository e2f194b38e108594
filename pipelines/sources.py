"""One source file at a time: what the manifest says of it, and the examples it gives."""

from __future__ import annotations

import dataclasses
import hashlib
import posixpath
from collections.abc import Iterator
from typing import BinaryIO

from models.features import audio, image, stats
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines import records


@dataclasses.dataclass(frozen=True)
class Domain:
    """Where a domain's files are.

    Attributes:
      name: as the user calls it.
      paths: globs.
      root: the folder that ids are relative to, with a final slash.
    """

    name: str
    paths: tuple[str, ...]
    root: str


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
    file: BinaryIO,
    path: str,
    domain: Domain,
    spec: AudioSpec | ImageSpec,
    *,
    split_by: str,
    fractions: tuple,
    seed: int,
) -> tuple[Source, stats.Moments]:
    """Reads a file for its line of the manifest and its moments.

    Args:
      file: open and seekable.
      path: where it was found.
      domain: the domain it belongs to.
      spec: the front end.
      split_by: "file", or "parent": files of one folder stay together.
      fractions: of the sources for validation and testing.
      seed: another gives another split.

    Raises:
      UserError: it cannot be read, and why.
    """
    digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    file.seek(0)
    found = _survey_audio(file, spec) if isinstance(spec, AudioSpec) else _survey_image(file, spec)
    key = split_key(path, domain, split_by, seed)
    split = records.split_of(key, val_fraction=fractions[0], test_fraction=fractions[1])
    name = f"{domain.name}/{path.removeprefix(domain.root)}"
    place = {"id": name, "path": path, "domain": domain.name, "split": split}
    moments = found.pop("moments")
    return Source(**place, hash=digest, **found), moments


def split_key(path: str, domain: Domain, split_by: str, seed: int) -> str:
    """What decides on a file's split: its name without ending, so that parallel files stay together, or its folder."""
    relative = path.removeprefix(domain.root)
    folder = posixpath.dirname(relative) or posixpath.basename(posixpath.dirname(path))
    return f"{seed}:{posixpath.splitext(relative)[0] if split_by == 'file' else folder}"


def _survey_audio(file: BinaryIO, spec: AudioSpec) -> dict:
    meter = audio.survey(file, spec)
    file.seek(0)
    moments, active, frames = stats.Moments.empty(spec.n_mels, stats.LAGS), [], 0
    for part in audio.segments(file, spec, meter.gain(), records.SEGMENT_FRAMES, channel=meter.channel):
        sounds = audio.active_frames(part, spec)
        moments = stats.merge(moments, stats.Moments.of(part, active=sounds, lags=stats.LAGS))
        active.append(int(sounds.sum()))
        frames += len(part)
    length = meter.samples / spec.sample_rate_hz
    level = {"gain": meter.gain(), "channel": meter.channel, "notes": meter.notes}
    return {"length": length, **level, "frames": frames, "active": tuple(active), "moments": moments}


def _survey_image(file: BinaryIO, spec: ImageSpec) -> dict:
    pixels = image.read(file, spec)
    moments = stats.Moments.of(image.to_unit(pixels))
    return {"length": float(pixels.size), "gain": 1.0, "frames": len(pixels), "active": (1,), "moments": moments}


def to_shard(source: Source, sizes: dict, held: tuple[int | None, ...]) -> tuple[tuple, Source]:
    """A source with its domain, split, shard and number of shards, by the examples and :func:`shape` of the split."""
    shards = records.shard_count(sizes[source.domain, source.split], held)
    return (source.domain, source.split, int(records.stable_fraction(f"shard:{source.id}") * shards), shards), source


def examples(file: BinaryIO, source: Source, spec: AudioSpec | ImageSpec, waveforms: bool) -> Iterator[bytes]:
    """The serialised records of a file that was surveyed, those of speech with their samples if asked for."""
    texts = {"id": source.id, "domain": source.domain, "label": posixpath.basename(posixpath.dirname(source.path))}
    if isinstance(spec, AudioSpec):
        place = {"gain": source.gain, "frames": records.SEGMENT_FRAMES, "channel": source.channel}
        kind, parts = "audio", audio.segments_with_samples(file, spec, **place)
    else:
        kind, parts = "image", iter([(image.read(file, spec), None)])
    for segment, ((part, samples), active) in enumerate(zip(parts, source.active, strict=True)):
        kept = samples if waveforms else None
        yield records.encode(kind, part, texts, segment, active, waveform=kept)


def shape(spec: AudioSpec | ImageSpec, *, waveforms: bool) -> tuple[int | None, ...]:
    """What an example holds, as `records.shard_count` wants it: a frame's samples count as more bands."""
    if isinstance(spec, AudioSpec):
        return None, spec.n_mels + spec.hop_length * waveforms
    return spec.height, spec.width, spec.channels


def failure(domain: str, path: str, error: Exception) -> dict:
    """A line of `failures.jsonl`."""
    reason = str(error) if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {error}"
    return {"domain": domain, "path": path, "reason": " ".join(reason.split())}
