"""A user's folders as a corpus: which files a domain names, what they are, and how they are split."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Iterator

from models.errors import UserError
from models.features import audio, image, recording
from pipelines import config, left_out, listing, procedural, records, sources, tfds
from pipelines.beam import filesystem

OF_OTHER_PROGRAMS = {".mat", ".iff", ".sf", ".xi", ".htk", ".fap", ".vst", ".fit", ".gbr", ".im"}  # as a rule
SUFFIXES = {
    "audio": [suffix for suffix in recording.SUFFIXES if suffix not in OF_OTHER_PROGRAMS],
    "image": [suffix for suffix in image.SUFFIXES if suffix not in OF_OTHER_PROGRAMS],
}
LOWEST_RATE_HZ = 1000  # below, there is no speech
PROBED_FILES = 200  # of each domain, to find the kind and the front end
SPARING_FROM = 10  # files, or folders, of a domain from which on one is spared for each split that is asked for
MOST_SPARED = 0.25  # of the sources for a split, whatever a small domain needs


def known_suffixes(kind: str | None = None) -> list[str]:
    """Lower-case endings of the files of a kind, or of both."""
    return [suffix for name, known in SUFFIXES.items() if kind in (None, name) for suffix in known]


def domains(flags: Iterable[str], data_dir: str = ".") -> tuple[sources.Domain, ...]:
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
    return tuple(_listed(name, patterns, data_dir) for name, patterns in globs.items())


def _listed(name: str, patterns: list[str], data_dir: str) -> sources.Domain:
    listed = listing.list_files(_as_files(name, patterns, data_dir), known_suffixes(), output_dir=data_dir)
    listing.need_files(f"domain {name}: no file matches {', '.join(patterns)}", listed)
    return sources.Domain(name, listed.root, tuple(listed.files), listed.left_out.described())


def _as_files(name: str, patterns: list[str], data_dir: str) -> list[str]:
    """The patterns of a domain, a TensorFlow dataset among them as the files that it becomes."""
    if len([pattern for pattern in patterns if pattern.startswith(tfds.PREFIX)]) > 1:
        raise UserError(f"domain {name}: two TensorFlow datasets; wanted one, or two splits as DATASET/train+test")
    if any(pattern.startswith(procedural.PREFIX) for pattern in patterns):
        if len(patterns) > 1:
            raise UserError(f"domain {name}: {procedural.PREFIX} beside other files; wanted it alone")
        return [procedural.drawn(patterns[0], name, data_dir)]
    return [tfds.exported(p, name, data_dir) if p.startswith(tfds.PREFIX) else p for p in patterns]


# ------------------------------------------------------------------ what the files are


def kind_of(corpus: Iterable[sources.Domain], asked: str | None) -> str:
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


def spec_of(kind: str, corpus: Iterable[sources.Domain], pairs: list[str]) -> config.AudioSpec | config.ImageSpec:
    """The front end: what suits the files, with ``KEY=VALUE`` pairs applied.

    Speech is worked on at the lowest common rate of its files, pictures at their commonest size.

    Raises:
      UserError: no file could be read, or a key or value that is wrong.
    """
    changes = config.parsed(config.KINDS[kind], pairs)
    probes = [_probe(domain, recording.probe if kind == "audio" else image.probe) for domain in corpus]
    if kind == "audio":
        rate_hz = changes.pop("sample_rate_hz", min(recording.suggested_rate(rates) for rates in probes))
        if rate_hz < LOWEST_RATE_HZ:
            raise UserError(f"sample_rate_hz={rate_hz}; wanted at least {LOWEST_RATE_HZ}")
        return audio.AudioSpec.at(rate_hz, **changes)
    return dataclasses.replace(image.suggested_spec(itertools.chain(*probes)), **changes)


def _probe(domain: sources.Domain, probe: Callable) -> list:
    """What the files of a domain say of themselves, those that say anything."""
    probes, reason = [], "it is empty"
    for path in listing.sampled(domain.root, domain.files, PROBED_FILES, "probe"):
        try:
            with filesystem.open_file(path) as file:
                probes.append(probe(file))
        except (UserError, OSError) as error:
            reason = f"{path}: {error}"
    if not probes:
        raise UserError(f"domain {domain.name}: no file could be read; the last: {reason}")
    return probes


# ------------------------------------------------------------------ splits


def fractions(
    corpus: Iterable[sources.Domain], asked: tuple[float, float], *, split_by: str, seed: int
) -> tuple[float, float]:
    """Shares of the sources for validation and testing, raised where a small domain would have none for one of them.

    They are the same for all domains, so that files of one name stay in one split.

    Args:
      corpus: the domains.
      asked: the shares that were asked for; 0 stays 0.
      split_by: "file" or "parent".
      seed: of the split.
    """
    val, test = asked
    positions = [sorted({records.place_of(key) for key in _split_keys(domain, split_by, seed)}) for domain in corpus]
    spared = [places for places in positions if len(places) >= SPARING_FROM]
    if test:
        test = max([test, *(each for places in spared if (each := _just_over(places[0])) <= MOST_SPARED)])
    if val:
        beyond = [_just_over(min((x for x in places if x >= test), default=1.0)) - test for places in spared]
        val = max([val, *(each for each in beyond if each <= MOST_SPARED)])
    return val, test


def _just_over(position: float) -> float:
    return position + 1e-9


def _split_keys(domain: sources.Domain, split_by: str, seed: int) -> Iterator[str]:
    """What decides on the split of each file, in order."""
    folder = (
        os.path.basename(os.path.abspath(domain.root or "."))
        if not filesystem.is_remote(domain.root)
        else (posixpath.basename(domain.root.rstrip("/")))
    )
    for entry in domain.files:
        relative = left_out.printable(entry.path.removeprefix(domain.root))
        yield sources.split_key(relative, folder, split_by, seed)


def work_rows(
    corpus: Iterable[sources.Domain], kind: str, shares: tuple[float, float], *, split_by: str, seed: int
) -> Iterator[dict]:
    """A row for each file, as the workers want it (see `sources.survey`), or with the reason why it cannot be read.

    Args:
      corpus: the domains.
      kind: "audio" or "image".
      shares: of the sources, for validation and for testing.
      split_by: "file" or "parent".
      seed: of the split.
    """
    for domain in corpus:
        ids = _ids(domain)
        cutting = kind == "audio" and split_by == "file"
        limit = MOST_SPARED * sum(entry.size for entry in domain.files)
        for entry, key in zip(domain.files, _split_keys(domain, split_by, seed), strict=True):
            split = records.split_of(key, val_fraction=shares[0], test_fraction=shares[1])
            row = {"domain": domain.name, "path": entry.path, "id": next(ids), "split": split}
            if cutting and (len(domain.files) < SPARING_FROM or entry.size > limit):
                row["cut"] = True
            yield row | _unreadable(entry.path)


def _ids(domain: sources.Domain) -> Iterator[str]:
    """The id of each file: the path below the root in Unicode's composed form, unless two files would share it."""

    def names() -> Iterator[str]:
        return (left_out.printable(entry.path.removeprefix(domain.root)) for entry in domain.files)

    taken = {name for name in names() if not name.isascii()}
    for name in names():
        composed = unicodedata.normalize("NFC", name)
        yield f"{domain.name}/{name if composed != name and composed in taken else composed}"


def _unreadable(path: str) -> dict:
    """For a path that cannot travel to a worker, how it is listed and why it is not read; else nothing."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return {"path": left_out.printable(path), "reason": "its name is not UTF-8; rename the file"}
    return {}
