"""A user's folders as a corpus: which files a domain names, what they are, and the finished directory."""

from __future__ import annotations

import collections
import dataclasses
import functools
import glob
import itertools
import json
import posixpath
import re
from collections.abc import Callable, Iterable

from models.errors import UserError
from models.features import audio, image, recording, stats
from models.features.spec import Spec
from pipelines import config, console, procedural, records, sources, tfds, transforms

SUFFIXES = {
    "audio": ".wav .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .sph .voc".split(),
    "image": list(image.SUFFIXES),
}
LOWEST_RATE_HZ = 1000  # below, there is no speech
PROBED_FILES = 200  # of each domain, to find the kind and the front end
SPARING_FROM = 10  # files, or folders, of a domain from which on one is spared for each split that is asked for
MOST_SPARED = 0.25  # of the sources for a split, whatever a small domain needs
LAST_FILE = "dataset_info.json"  # its presence says that the directory is complete


def domains(flags: Iterable[str], data_dir: str = ".") -> tuple[sources.Domain, ...]:
    """The domains of ``NAME=GLOB`` flags; a folder stands for the known files in and below it.

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
    made = []
    for name, patterns in globs.items():
        paths = tuple(path for pattern in _as_files(name, patterns, data_dir) for path in globs_of(pattern))
        if not any(transforms.match(path) for path in paths):
            raise UserError(f"domain {name}: no file matches {', '.join(patterns)}")
        made.append(sources.Domain(name, paths, root_of(paths)))
    return tuple(made)


def _as_files(name: str, patterns: list[str], data_dir: str) -> list[str]:
    """The patterns of a domain, a TensorFlow dataset among them as the files that it becomes."""
    if len([pattern for pattern in patterns if pattern.startswith(tfds.PREFIX)]) > 1:
        raise UserError(f"domain {name}: two TensorFlow datasets; wanted one, or two splits as DATASET/train+test")
    if any(pattern.startswith(procedural.PREFIX) for pattern in patterns):
        if len(patterns) > 1:
            raise UserError(f"domain {name}: {procedural.PREFIX} beside other files; wanted it alone")
        return [procedural.drawn(patterns[0], name, data_dir)]
    return [tfds.exported(p, name, data_dir) if p.startswith(tfds.PREFIX) else p for p in patterns]


def globs_of(pattern: str, kind: str | None = None) -> list[str]:
    """The globs that a user's glob or folder stands for; of a folder, the known files of a kind or of both."""
    if posixpath.isdir(pattern):
        folder = glob.escape(pattern.rstrip("/"))
        suffixes = SUFFIXES[kind] if kind else [*SUFFIXES["audio"], *SUFFIXES["image"]]
        return [f"{folder}/**{_any_case(suffix)}" for suffix in suffixes]
    return [glob.escape(pattern)] if posixpath.isfile(pattern) else [pattern]


def _any_case(suffix: str) -> str:
    """A glob for a suffix in capitals, in small letters, or in both.

    >>> _any_case(".mp3")
    '.[mM][pP]3'
    """
    return "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in suffix)


def root_of(patterns: Iterable[str]) -> str:
    """The folder above all that the globs can name, with a final slash.

    >>> root_of(["/x/a/*.wav", "/x/b/**.wav"])
    '/x/'
    """
    fixed = [_fixed_folder(pattern) for pattern in patterns]
    root = "/".join(posixpath.commonprefix([folder.split("/") for folder in fixed]))
    return f"{root}/" if root or fixed[0].startswith("/") else ""


def _fixed_folder(pattern: str) -> str:
    """The folders of a glob before its first wildcard; ``[[]``, ``[*]`` and ``[?]`` stand for themselves."""
    literal = re.match(r"(?:\[[\[*?]\]|[^\[*?])*", pattern).group()
    return posixpath.dirname(re.sub(r"\[([\[*?])\]", r"\1", literal))


def kind_of(made: Iterable[sources.Domain], asked: str | None) -> str:
    """Speech ("audio") or pictures ("image"), by the endings of the files.

    Raises:
      UserError: files of both kinds, or of neither.
    """
    found = collections.Counter()
    example = {}
    for domain in made:
        for path in _probed(domain):
            suffix = posixpath.splitext(path)[1].lower()
            kind = next((k for k, known in SUFFIXES.items() if suffix in known), None)
            found[kind] += 1
            example.setdefault(kind, path)
    if asked:
        return asked
    kinds = sorted(kind for kind in found if kind)
    if len(kinds) > 1:
        both = f"{example['audio']} is audio, {example['image']} a picture"
        raise UserError(f"mixed kinds: {both}; narrow the globs, or say --kind: the others become failures")
    if not kinds:
        raise UserError(f"{example[None]}: its ending tells neither audio nor image; say --kind")
    return kinds[0]


def _paths(domain: sources.Domain) -> list[str]:
    return sorted({path for pattern in domain.paths for path in transforms.match(pattern)})


def _probed(domain: sources.Domain) -> list[str]:
    paths = _paths(domain)
    return paths[:: max(1, len(paths) // PROBED_FILES)]


def spec_of(kind: str, made: Iterable[sources.Domain], pairs: list[str]) -> config.AudioSpec | config.ImageSpec:
    """The front end: what suits the files, with ``KEY=VALUE`` pairs applied.

    Speech is worked on at the lowest common rate of its files, pictures at their commonest size.

    Raises:
      UserError: no file could be read, or a key or value that is wrong.
    """
    changes = config.parsed(config.KINDS[kind], pairs)
    found = [_probe(domain, recording.probe if kind == "audio" else image.probe) for domain in made]
    if kind == "audio":
        rate_hz = changes.pop("sample_rate_hz", min(recording.suggested_rate(rates) for rates in found))
        if rate_hz < LOWEST_RATE_HZ:
            raise UserError(f"sample_rate_hz={rate_hz}; wanted at least {LOWEST_RATE_HZ}")
        return audio.AudioSpec.at(rate_hz, **changes)
    return dataclasses.replace(image.suggested_spec(itertools.chain(*found)), **changes)


def _probe(domain: sources.Domain, probe: Callable) -> list:
    """What the files of a domain say of themselves, those that say anything."""
    found, reason = [], "it is empty"
    for path in _probed(domain):
        try:
            with transforms.open_file(path) as file:
                found.append(probe(file))
        except (ValueError, OSError) as error:
            reason = f"{path}: {error}"
    if not found:
        raise UserError(f"domain {domain.name}: no file could be read; the last: {reason}")
    return found


def fractions(
    made: Iterable[sources.Domain], asked: tuple[float, float], *, split_by: str, seed: int
) -> tuple[float, float]:
    """Shares of the sources for validation and testing, raised where a small domain would have none for one of them.

    They are the same for all domains, so that files of one name stay in one split.

    Args:
      made: the domains.
      asked: the shares that were asked for; 0 stays 0.
      split_by: "file" or "parent".
      seed: of the split.
    """
    val, test = asked
    places = [
        sorted({records.place_of(sources.split_key(path, domain, split_by, seed)) for path in _paths(domain)})
        for domain in made
    ]
    spared = [found for found in places if len(found) >= SPARING_FROM]
    if test:
        test = max([test, *(each for found in spared if (each := _just_over(found[0])) <= MOST_SPARED)])
    if val:
        beyond = [_just_over(min((x for x in found if x >= test), default=1.0)) - test for found in spared]
        val = max([val, *(each for each in beyond if each <= MOST_SPARED)])
    return val, test


def _just_over(place: float) -> float:
    return place + 1e-9


# ------------------------------------------------------------------ the finished directory


def prepare(job: transforms.Preprocess, made) -> dict | None:
    """Runs the job and finishes the directory.

    Args:
      job: what to do.
      made: Beam's options, from `transforms.options`.

    Returns:
      Numbers for the user: sources, examples, failures, and sources by domain and split; None for a dry run.
    """
    if transforms.is_dry_run(made):
        transforms.run(job.build, made)
        return None
    files = [path for domain in job.domains for path in _paths(domain)]
    begin(job.data_dir)
    with console.tally(transforms.is_local(made)) as tally:
        job = dataclasses.replace(job, tally=tally.folder)
        passes = console.Progress(f"preprocess {job.kind}", 2 * len(files), "file passes")
        with console.watched(passes, tally.count):
            transforms.run(job.build, made, work_bytes=transforms.total_bytes(files))
    return finish(job)


def begin(data_dir: str) -> None:
    """Takes away what an earlier run left, the sign of completeness first."""
    names = [LAST_FILE, "features.json", "statistics.json", "manifest.jsonl", "failures.jsonl"]
    old = [path for path in (posixpath.join(data_dir, name) for name in names) if transforms.exists(path)]
    old += transforms.match(posixpath.join(glob.escape(data_dir), "*.tfrecord-*"))
    transforms.delete(old)
    transforms.clear_rows(data_dir)


def finish(job: transforms.Preprocess) -> dict:
    """Turns what the workers left into the finished directory.

    Returns:
      Numbers for the user: sources, examples, failures, and sources by domain and split.

    Raises:
      UserError: a domain of which nothing could be read; failures are listed all the same.
    """
    found, shards, failures, moments = (
        transforms.rows(job.data_dir, name) for name in ("sources", "shards", "failures", "statistics")
    )
    failures.sort(key=lambda row: (row["domain"], row["path"]))
    _write(job.data_dir, "failures.jsonl", records.lines(failures))
    for domain in job.domains:
        if not any(source["domain"] == domain.name for source in found):
            first = next((f"{f['path']}: {f['reason']}" for f in failures if f["domain"] == domain.name), "no files")
            raise UserError(f"domain {domain.name}: no file could be read; the first: {first}")
    names = [domain.name for domain in job.domains]
    pitch = {name: _moments(moments, name, "pitch") for name in names if job.pitch}
    spec = Spec(job.spec, tuple(names), {name: _moments(moments, name, "features") for name in names}, pitch)
    _write(job.data_dir, "statistics.json", json.dumps(config.spec_to_json(spec)))
    _write(job.data_dir, "manifest.jsonl", records.lines(sorted(found, key=lambda row: row["id"])))
    held = records.features_json(job.kind, spec.feature_shape(), waveforms=job.waveforms)
    _write(job.data_dir, "features.json", json.dumps(held, indent=1))
    sizes = _sizes(shards)
    for (domain, split), held in sizes.items():
        for shard in (n for n, size in enumerate(held) if size == (0, 0)):
            _write(job.data_dir, records.shard_name(domain, split, shard, len(held)), "")
    _write(job.data_dir, LAST_FILE, json.dumps(records.dataset_info_json(sizes), indent=1))
    transforms.clear_rows(job.data_dir)
    examples = sum(row["examples"] for row in shards)
    counted = collections.Counter((source["domain"], source["split"]) for source in found)
    splits = {name: {split: counted[name, split] for split in records.SPLITS} for name in names}
    return {"sources": len(found), "examples": examples, "failures": len(failures), "splits": splits}


def _write(data_dir: str, name: str, text: str) -> None:
    with transforms.new_file(posixpath.join(data_dir, name)) as file:
        file.write(text.encode())


def _moments(found: list[dict], domain: str, of: str) -> stats.Moments:
    """Of features or pitch of the training split; of all splits where there is none, as of test files."""
    mine = [row for row in found if (row["domain"], row["of"]) == (domain, of)]
    rows = [row for row in mine if row["split"] == "train"] or sorted(mine, key=lambda row: row["split"])
    return functools.reduce(stats.merge, (stats.Moments.from_json(row) for row in rows))


def _sizes(shards: list[dict]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Examples and bytes of every shard; one that no source fell into is empty."""
    sizes: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in shards:
        held = sizes.setdefault((row["domain"], row["split"]), [(0, 0)] * row["shards"])
        held[row["shard"]] = (row["examples"], row["bytes"])
    return sizes
