"""The directory of records: made anew without touching what is not ours, and finished from what workers left."""

from __future__ import annotations

import collections
import functools
import json
import posixpath
import re
from collections.abc import Iterable, Iterator

from models.errors import UserError
from models.features import stats
from models.features.spec import Spec
from pipelines import cli, config
from pipelines.beam import filesystem, runner
from pipelines.beam import rows as job_rows
from pipelines.beam.job_counters import JobCounters
from pipelines.data import tfrecord, work_rows
from pipelines.data.splits import SPLITS
from pipelines.jobs.preprocess_job import PASSES, SORT_KEYS, WORK_NAME, PreprocessJob
from pipelines.progress import Progress, poll_progress

INFO_FILE = "dataset_info.json"  # its presence says that the directory is complete
JSON_FILES = (INFO_FILE, "features.json", "statistics.json", "manifest.jsonl", "failures.jsonl")


def check_output(data_dir: str, parsed) -> None:
    """Refuses what could not be finished, before anything is read, exported or drawn.

    Args:
      data_dir: where the records go.
      parsed: Beam's options, from `runner.options`.

    Raises:
      UserError: the job could not start, or the directory holds somebody else's files or is none.
    """
    cli.require_folder("data_dir", data_dir)
    if not runner.is_dry_run(parsed):
        runner.check_options(parsed)
        _list_dataset_files(data_dir, _written_domains(data_dir))


def write_dataset(job: PreprocessJob, parsed) -> dict | None:
    """Runs the job and finishes the directory.

    Args:
      job: what to do.
      parsed: Beam's options, from `runner.options`.

    Returns:
      Numbers for the user: sources, examples, failures, sources by domain and split, and warnings; None for a dry run.

    Raises:
      UserError: the directory holds somebody else's files, another command writes to it, or nothing of a domain could
        be read.
    """
    if runner.is_dry_run(parsed):
        runner.run(job.build, parsed)
        return None
    runner.check_options(parsed)
    filesystem.create_output_folder("data_dir", job.data_dir)
    with filesystem.folder_lock("data_dir", job.data_dir):
        begin_dataset(job)
        _run_job(job, parsed)
        return finish_dataset(job)


def _run_job(job: PreprocessJob, parsed) -> None:
    job_rows.write_work(job.data_dir, WORK_NAME, _work_rows(job))
    local = runner.is_local(parsed)
    work_bytes = sum(entry.size for domain in job.domains for entry in domain.files) if local else 0
    progress, counters = Progress(f"preprocess {job.kind}", 2 * job.file_count, "file passes"), JobCounters()
    with poll_progress(progress, lambda: counters.total(*PASSES)):
        runner.run(job.build, parsed, work_bytes=work_bytes, counters=counters)


def _work_rows(job: PreprocessJob) -> Iterator[dict]:
    return work_rows.work_rows(job.domains, job.kind, job.fractions, split_by=job.split_by, seed=job.seed)


def begin_dataset(job: PreprocessJob) -> None:
    """Takes away what an earlier command wrote, the sign of completeness first; marks the directory as being written.

    Raises:
      UserError: files of the names that are to be written are there, and this program did not write them.
    """
    known = _written_domains(job.data_dir)
    paths = _list_dataset_files(job.data_dir, known)
    names = sorted({*(known or ()), *(domain.name for domain in job.domains)})
    job_rows.mark_owned(job.data_dir, names)
    shard = re.compile(rf"({'|'.join(map(re.escape, names))})-({'|'.join(SPLITS)})\.tfrecord-\d{{5}}-of-\d{{5}}")
    own = [
        path for path in paths if posixpath.basename(path) in JSON_FILES or shard.fullmatch(posixpath.basename(path))
    ]
    filesystem.delete(sorted(own, key=lambda path: not path.endswith(f"/{INFO_FILE}")))
    filesystem.delete_partial_files(job.data_dir)
    job_rows.clear(job.data_dir, keep_claim=True)


def _list_dataset_files(data_dir: str, known: list[str] | None) -> list[str]:
    """The files of a directory that have names as in a dataset.

    Raises:
      UserError: there are such, and no earlier command is known to have written domains there.
    """
    paths = [path for path in filesystem.list_folder(data_dir) if _is_dataset_file(posixpath.basename(path))]
    if known is None and paths:
        raise UserError(
            f"--data_dir={data_dir}: {posixpath.basename(paths[0])} is there, and no preprocess wrote it; wanted a new "
            "or empty folder"
        )
    return paths


def _is_dataset_file(name: str) -> bool:
    return name in JSON_FILES or ".tfrecord" in name


def _written_domains(data_dir: str) -> list[str] | None:
    """The domains whose records an earlier command wrote or began to write here; None where none did."""
    if claimed := job_rows.owned_domains(data_dir):  # an empty one is of translate
        return claimed
    path = posixpath.join(data_dir, INFO_FILE)
    if not filesystem.exists(path):
        return None
    try:
        info = json.loads(filesystem.read_text(path))
        if info["name"] != tfrecord.DATASET_NAME:
            return None
        return sorted({split["name"].rpartition("_")[0] for split in info["splits"]})
    except (ValueError, KeyError, TypeError):
        return None


class _ManifestCounts:
    """What is counted while the manifest is written, a line at a time."""

    def __init__(self):
        self.sources = 0
        self.by_split: collections.Counter[tuple[str, str]] = collections.Counter()
        self.sounding: set[tuple[str, str]] = set()
        self.noted, self.first_note = 0, ""

    def of(self, rows: Iterable[dict]) -> Iterator[dict]:
        """The rows, counted as they pass."""
        for row in rows:
            place = row["domain"], row["split"]
            self.sources += 1
            self.by_split[place] += 1
            if any(row["active"]):
                self.sounding.add(place)
            if row["notes"]:
                self.noted += 1
                self.first_note = self.first_note or f"{row['path']}: {row['notes'][0]}"
            yield row


def finish_dataset(job: PreprocessJob) -> dict:
    """Turns what the workers left into the finished directory, without holding a row a file in memory.

    Returns:
      Numbers for the user: sources, examples, failures, sources by domain and split, and warnings.

    Raises:
      UserError: a domain of which nothing could be read; failures are listed all the same.
    """
    failures, first = _write_failures(job)
    shards, moments = (list(job_rows.read_rows(job.data_dir, name)) for name in ("shards", "statistics"))
    names = [domain.name for domain in job.domains]
    for name in names:
        if not any(row["examples"] for row in shards if row["domain"] == name):
            if not failures and not shards:
                raise UserError(f"{job.data_dir}: the workers left no results there; do they see the same folder?")
            raise UserError(f"domain {name}: no file could be read; the first: {first.get(name, 'no files')}")
    pitch = {name: _merged_moments(moments, name, "pitch") for name in names if job.pitch}
    spec = Spec(job.spec, tuple(names), {name: _merged_moments(moments, name, "features") for name in names}, pitch)
    _write_lines(job, "statistics.json", [json.dumps(config.spec_to_json(spec))])
    counts = _ManifestCounts()
    manifest = counts.of(job_rows.read_rows(job.data_dir, "sources", order=SORT_KEYS["sources"]))
    _write_lines(job, "manifest.jsonl", tfrecord.json_lines(manifest))
    features = tfrecord.features_json(job.kind, spec.feature_shape(), waveforms=job.waveforms)
    _write_lines(job, "features.json", [json.dumps(features, indent=1)])
    sizes = _shard_sizes(shards)
    for (domain, split), each in sizes.items():
        for shard in (n for n, size in enumerate(each) if size == (0, 0)):
            _write_lines(job, tfrecord.shard_name(domain, split, shard, len(each)), [])
    warnings = _warnings(job, counts)
    _write_lines(job, INFO_FILE, [json.dumps(tfrecord.dataset_info_json(sizes), indent=1)])
    job_rows.clear(job.data_dir)
    splits = {name: {split: counts.by_split[name, split] for split in SPLITS} for name in names}
    examples = sum(row["examples"] for row in shards)
    numbers = {"sources": counts.sources, "examples": examples, "failures": failures}
    return {**numbers, "splits": splits, "warnings": warnings}


def _write_lines(job: PreprocessJob, name: str, texts: Iterable[str]) -> None:
    with filesystem.new_file(posixpath.join(job.data_dir, name)) as file:
        file.writelines(text.encode() for text in texts)


def _write_failures(job: PreprocessJob) -> tuple[int, dict[str, str]]:
    """Writes `failures.jsonl`; how many there are, and the first of each domain."""
    first: dict[str, str] = {}
    count = 0

    def counted() -> Iterator[dict]:
        nonlocal count
        last = None
        for row in job_rows.read_rows(job.data_dir, "failures", order=SORT_KEYS["failures"]):
            if row != last:  # the parts of a recording fail alike
                first.setdefault(row["domain"], f"{row['path']}: {row['reason']}")
                count += 1
                yield row
            last = row

    _write_lines(job, "failures.jsonl", tfrecord.json_lines(counted()))
    return count, first


def _warnings(job: PreprocessJob, counts: _ManifestCounts) -> list[str]:
    """What the user should know before training."""
    out = [f"left out of {domain.name}: {domain.left_out}" for domain in job.domains if domain.left_out]
    if counts.noted:
        more = f"{counts.noted} files were read with a remark, see notes in {job.data_dir}/manifest.jsonl"
        out.append(f"{more}; the first: {counts.first_note}")
    shares = {"train": 1 - sum(job.fractions), "val": job.fractions[0], "test": job.fractions[1]}
    for domain in job.domains:
        for split in (split for split, share in shares.items() if share > 1e-9):
            advice = "give more files" + (f", or --{split}_fraction" if split != "train" else "")
            if not counts.by_split[domain.name, split]:
                out.append(f"{domain.name} has no file for {split}: {advice}")
            elif (domain.name, split) not in counts.sounding:
                out.append(f"{domain.name} has nothing that sounds for {split}: {advice}")
    return out + list(_duplicate_warnings(job))


def _duplicate_warnings(job: PreprocessJob) -> Iterator[str]:
    """A warning for files of the same bytes in two domains, and one for those in two splits."""
    counts: collections.Counter[str] = collections.Counter()
    first: dict[str, str] = {}
    for row in job_rows.read_rows(job.data_dir, "duplicates", order=SORT_KEYS["duplicates"]):
        places = row["places"]
        for what, values in (("domains", {domain for domain, _, _ in places}), ("splits", {s for _, s, _ in places})):
            if len(values) > 1:
                counts[what] += 1
                first.setdefault(what, " and ".join(identifier for _, _, identifier in places[:2]))
    for what, count in sorted(counts.items()):
        leak = "; what is trained on is then tested" if what == "splits" else "; these teach no difference"
        yield f"{count} files have the same bytes in two {what}, such as {first[what]}{leak}"


def _merged_moments(rows: list[dict], domain: str, of: str) -> stats.Moments:
    """Of features or pitch of the training split; of all splits where there is none, as of test files."""
    mine = [row for row in rows if (row["domain"], row["of"]) == (domain, of)]
    kept = [row for row in mine if row["split"] == "train"] or sorted(mine, key=lambda row: row["split"])
    return functools.reduce(stats.merge, (stats.Moments.from_json(row) for row in kept))


def _shard_sizes(shards: list[dict]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Examples and bytes of every shard; one that no source fell into is empty."""
    sizes: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in shards:
        each = sizes.setdefault((row["domain"], row["split"]), [(0, 0)] * row["shards"])
        each[row["shard"]] = (row["examples"], row["bytes"])
    return sizes
