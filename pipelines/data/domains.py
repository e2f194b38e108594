"""A user's folders as a corpus: which files a domain names, what they are, and how they are split."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from models.errors import UserError
from pipelines.data import (
    file_listing,
    front_end,
    source_files,
    synthetic_source,
    tfds_source,
)


def read_domains(flags: Iterable[str], data_dir: str = ".") -> tuple[source_files.Domain, ...]:
    """The domains of ``NAME=GLOB`` flags, their files listed; a folder stands for the known files in and below it.

    Args:
      flags: ``NAME=tfds:DATASET/SPLIT`` stands for the examples of a TensorFlow dataset, ``NAME=factors:SET/COUNT``
        for drawn ones.
      data_dir: where these become files.

    Raises:
      UserError: not of that form, a name that cannot be a file's, or a glob that names nothing.
    """
    globs: dict[str, list[str]] = collections.defaultdict(list)
    for flag in flags:
        name, _, pattern = flag.partition("=")
        if not name or not pattern:
            raise UserError(f"--domain={flag}; wanted NAME=GLOB")
        if not name.replace("_", "").isalnum() or not name.isascii():
            raise UserError(f"--domain={flag}: the name {name!r} may hold letters, digits and _ only")
        globs[name].append(pattern)
    return tuple(_list_domain(name, patterns, data_dir) for name, patterns in globs.items())


def _list_domain(name: str, patterns: list[str], data_dir: str) -> source_files.Domain:
    listed = file_listing.list_files(
        _resolve_patterns(name, patterns, data_dir), front_end.known_suffixes(), output_dir=data_dir
    )
    file_listing.require_files(f"domain {name}: no file matches {', '.join(patterns)}", listed)
    return source_files.Domain(name, listed.root, tuple(listed.files), listed.left_out.described())


def _resolve_patterns(name: str, patterns: list[str], data_dir: str) -> list[str]:
    """The patterns of a domain, a TensorFlow dataset among them as the files that it becomes."""
    if len([pattern for pattern in patterns if pattern.startswith(tfds_source.PREFIX)]) > 1:
        raise UserError(f"domain {name}: two TensorFlow datasets; wanted one, or two splits as DATASET/train+test")
    if any(pattern.startswith(synthetic_source.PREFIX) for pattern in patterns):
        if len(patterns) > 1:
            raise UserError(f"domain {name}: {synthetic_source.PREFIX} beside other files; wanted it alone")
        return [synthetic_source.draw_examples(patterns[0], name, data_dir)]
    return [tfds_source.export_split(p, name, data_dir) if p.startswith(tfds_source.PREFIX) else p for p in patterns]
