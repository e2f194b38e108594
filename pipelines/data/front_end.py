"""Inference of the kind of data (audio or image) and of the front end's configuration from a corpus's files."""

from __future__ import annotations

import dataclasses
import itertools
import posixpath
from collections.abc import Callable, Iterable

from models.errors import UserError
from models.features import audio, image, recording
from pipelines import config
from pipelines.beam import filesystem
from pipelines.data import file_listing, source_files

AMBIGUOUS_SUFFIXES = {".mat", ".iff", ".sf", ".xi", ".htk", ".fap", ".vst", ".fit", ".gbr", ".im"}  # as a rule
SUFFIXES = {
    "audio": [suffix for suffix in recording.SUFFIXES if suffix not in AMBIGUOUS_SUFFIXES],
    "image": [suffix for suffix in image.SUFFIXES if suffix not in AMBIGUOUS_SUFFIXES],
}
MIN_RATE_HZ = 1000  # below, there is no speech
MAX_PROBED_FILES = 200  # of each domain, to find the kind and the front end


def known_suffixes(kind: str | None = None) -> list[str]:
    """Lower-case endings of the files of a kind, or of both."""
    return [suffix for name, known in SUFFIXES.items() if kind in (None, name) for suffix in known]


def infer_kind(corpus: Iterable[source_files.Domain], asked: str | None) -> str:
    """Speech ("audio") or pictures ("image"), by the endings of the files.

    Raises:
      UserError: files of both kinds, or of neither.
    """
    examples: dict[str | None, str] = {}
    for entry in itertools.chain(*(domain.files for domain in corpus)):
        suffix = posixpath.splitext(entry.path)[1].lower()
        kind = next((kind for kind, known in SUFFIXES.items() if suffix in known), None)
        examples.setdefault(kind, entry.path)
    if asked:
        return asked
    kinds = sorted(kind for kind in examples if kind)
    if len(kinds) > 1:
        both = f"{examples['audio']} is audio, {examples['image']} a picture"
        raise UserError(f"mixed kinds: {both}; narrow the globs, or say --kind: the others become failures")
    if not kinds:
        raise UserError(f"{examples[None]}: its ending tells neither audio nor image; say --kind")
    return kinds[0]


def infer_spec(
    kind: str, corpus: Iterable[source_files.Domain], pairs: list[str]
) -> config.AudioSpec | config.ImageSpec:
    """The front end: what suits the files, with ``KEY=VALUE`` pairs applied.

    Speech is worked on at the lowest common rate of its files, pictures at their commonest size.

    Raises:
      UserError: no file could be read, or a key or value that is wrong.
    """
    changes = config.parse_pairs(config.KINDS[kind], pairs)
    probes = [_probe_files(domain, recording.probe if kind == "audio" else image.probe) for domain in corpus]
    if kind == "audio":
        rate_hz = changes.pop("sample_rate_hz", min(recording.suggested_rate(rates) for rates in probes))
        if rate_hz < MIN_RATE_HZ:
            raise UserError(f"sample_rate_hz={rate_hz}; wanted at least {MIN_RATE_HZ}")
        return audio.AudioSpec.at(rate_hz, **changes)
    return dataclasses.replace(image.suggested_spec(itertools.chain(*probes)), **changes)


def _probe_files(domain: source_files.Domain, probe: Callable) -> list:
    """What the files of a domain say of themselves, those that say anything."""
    probes, reason = [], "it is empty"
    for path in file_listing.sample_paths(domain.root, domain.files, MAX_PROBED_FILES, "probe"):
        try:
            with filesystem.open_file(path) as file:
                probes.append(probe(file))
        except (UserError, OSError) as error:
            reason = f"{path}: {error}"
    if not probes:
        raise UserError(f"domain {domain.name}: no file could be read; the last: {reason}")
    return probes
