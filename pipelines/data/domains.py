"""`Domain`: the name and the input files of a domain, as listed from the flag `--domain`."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterable

from models.errors import UserError
from pipelines import path_patterns
from pipelines.data import file_kinds, file_listing, source_list, synthetic_source, tfds_source
from pipelines.data.file_table import FileEntry


@dataclasses.dataclass(frozen=True)
class Domain:
    """The input files of a domain.

    Attributes:
      name: name of the domain.
      root: folder that ids are relative to, with a final slash.
      files: the files; empty in the workers, which get one file at a time.
      ignored: summary of the ignored files.
    """

    name: str
    root: str
    files: Collection[FileEntry] = ()
    ignored: str = ""

    def without_files(self) -> Domain:
        """Return the domain without its list of files, small enough to send to workers."""
        return Domain(self.name, self.root)


def read_domains(flags: Iterable[str], data_dir: str = ".", lists: Iterable[str] = ()) -> tuple[Domain, ...]:
    """Return the domains of ``NAME=GLOB`` flags with their files; a folder stands for all known files in and below it.

    Args:
      lists: values of `--list`: ``FILE``, or ``NAME=FILE`` for a list of the files of one domain.
      flags: values of `--domain`. ``NAME=tfds:DATASET/SPLIT`` stands for the examples of a TensorFlow dataset,
        ``NAME=factors:SET/COUNT`` for generated examples.
      data_dir: folder in which such examples become files.

    Raises:
      UserError: a flag is not of this form, a name has other characters, a glob matches no file, or a domain is in a
        list and elsewhere.
    """
    globs: dict[str, list[str]] = collections.defaultdict(list)
    for flag in flags:
        name, _, pattern = flag.partition("=")
        if not name or not pattern:
            raise UserError(f"--domain={flag}; wanted NAME=GLOB")
        _check_name(name, f"--domain={flag}")
        globs[name].append(pattern)
    domains = {name: _list_domain(name, patterns, data_dir) for name, patterns in globs.items()}
    for flag in lists:
        for name, entries in source_list.read_list(*reversed(split_list_flag(flag))).items():
            _check_name(name, f"--list={flag}")
            if name in domains:
                raise UserError(f"--list={flag}: the domain {name} is also elsewhere; wanted one list or its globs")
            domains[name] = Domain(name, _common_folder(entries), tuple(entries))
    return tuple(domains.values())


def split_list_flag(flag: str) -> tuple[str, str]:
    """Return the domain and the path of a value of `--list`; the domain is empty if the list states it.

    >>> split_list_flag("anna=a=b/metadata.csv"), split_list_flag("a/b=c.csv")
    (('anna', 'a=b/metadata.csv'), ('', 'a/b=c.csv'))
    """
    name, separator, path = flag.partition("=")
    return (name, path) if separator and "/" not in name else ("", flag)


def _check_name(name: str, where: str) -> None:
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise UserError(f"{where}: the name {name!r} has other characters; wanted letters, digits and _")


def _common_folder(entries: Iterable[FileEntry]) -> str:
    """Return the deepest folder of some files, which ids are relative to: parallel domains then have the same names."""
    return path_patterns.common_root(path_patterns.escape(entry.path) for entry in entries)


def _list_domain(name: str, patterns: list[str], data_dir: str) -> Domain:
    listing = file_listing.list_files(
        _resolve_patterns(name, patterns, data_dir), file_kinds.known_suffixes(), output_dir=data_dir
    )
    file_listing.require_files(f"domain {name}: no file matches {', '.join(patterns)}", listing)
    return Domain(name, listing.root, listing.files, listing.ignored.summary())


def _resolve_patterns(name: str, patterns: list[str], data_dir: str) -> list[str]:
    """Return the patterns of a domain; a TensorFlow dataset or generated set is replaced by the glob of its files."""
    if len([pattern for pattern in patterns if pattern.startswith(tfds_source.PREFIX)]) > 1:
        raise UserError(f"domain {name}: two TensorFlow datasets; wanted one; two splits are DATASET/train+test")
    if any(pattern.startswith(synthetic_source.PREFIX) for pattern in patterns):
        if len(patterns) > 1:
            raise UserError(f"domain {name}: {synthetic_source.PREFIX} with other files; wanted it alone")
        return [synthetic_source.draw_examples(patterns[0], name, data_dir)]
    return [tfds_source.export_split(p, name, data_dir) if p.startswith(tfds_source.PREFIX) else p for p in patterns]
