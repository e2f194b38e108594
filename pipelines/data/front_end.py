"""Inference of the kind of data (audio or image) and of the front end's configuration from the files of the domains."""

from __future__ import annotations

import dataclasses
import itertools
import posixpath
from collections.abc import Callable, Iterable

from models.errors import UserError
from models.features import audio, image, recording
from pipelines import config
from pipelines.beam import filesystem
from pipelines.data import file_kinds, file_listing, full_disk
from pipelines.data.domains import Domain

MIN_RATE_HZ = 1000  # lower sample rates cannot carry speech
MAX_PROBED_FILES = 200  # in each domain, to infer the front end


def infer_kind(domains: Iterable[Domain], requested: str | None) -> str:
    """Return the kind of data, "audio" or "image", by the file extensions.

    Args:
      domains: the domains.
      requested: value of `--kind`, which is returned if not None.

    Raises:
      UserError: the domains have files of both kinds, or of none.
    """
    examples: dict[str | None, str] = {}
    for entry in itertools.chain(*(domain.files for domain in domains)):
        kind = file_kinds.kind_of(posixpath.splitext(entry.path)[1].lower())
        examples.setdefault(kind, entry.path)
    if requested:
        return requested
    kinds = sorted(kind for kind in examples if kind)
    if len(kinds) > 1:
        message = f"{examples['audio']} is audio, {examples['image']} is an image"
        raise UserError(f"mixed kinds: {message}; narrow the globs or set --kind (other files are then failures)")
    if not kinds:
        raise UserError(f"{examples[None]}: unknown file extension; set --kind=audio or --kind=image")
    return kinds[0]


def infer_spec(kind: str, domains: Iterable[Domain], pairs: list[str]) -> config.AudioSpec | config.ImageSpec:
    """Infer the front end from the files, then apply ``KEY=VALUE`` pairs.

    The sample rate of speech is the lowest of the common rates of the domains; the size of images is the commonest one.

    Raises:
      UserError: no file can be read, or a key or value is wrong.
    """
    changes = config.parse_pairs(config.KINDS[kind], pairs)
    probes = [_probe_files(domain, recording.probe if kind == "audio" else image.probe) for domain in domains]
    if kind == "audio":
        rate_hz = changes.pop("sample_rate_hz", min(recording.suggested_rate(rates) for rates in probes))
        if rate_hz < MIN_RATE_HZ:
            raise UserError(f"sample_rate_hz={rate_hz}; wanted at least {MIN_RATE_HZ}")
        return audio.AudioSpec.at(rate_hz, **changes)
    return dataclasses.replace(image.suggested_spec(itertools.chain(*probes)), **changes)


def _probe_files(domain: Domain, probe: Callable) -> list:
    """Return the sample rates of the recordings or the sizes of the images in a sample of the files of a domain."""
    probes, reason = [], "it is empty"
    for path in file_listing.sample_paths(domain.root, domain.files, MAX_PROBED_FILES, "probe"):
        try:
            with filesystem.open_file(path) as file:
                probes.append(probe(file))
        except (UserError, OSError) as error:
            full_disk.raise_if_full(error)
            reason = f"{path}: {error}"
    if not probes:
        raise UserError(f"domain {domain.name}: no file could be read; the last failure: {reason}")
    return probes
