"""The output directory of `preprocess`: prepared without touching other files, completed from the workers' rows."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping

from models.errors import UserError
from models.features import stats
from models.features.spec import Spec
from pipelines import cli, config
from pipelines.beam import filesystem, runner, runner_checks
from pipelines.beam import rows as job_rows
from pipelines.beam.job_counters import JobCounters
from pipelines.data import long_lists, part_names, tfrecord, work_rows
from pipelines.data.splits import SPLITS
from pipelines.jobs import dataset_warnings, excluded_files
from pipelines.jobs.preprocess_job import BATCH_FILES, PASSES, REUSED, SORT_KEYS, WORK_NAME, PreprocessJob
from pipelines.progress import Progress, poll_progress

INFO_FILE = "dataset_info.json"  # written last: its presence means that the directory is complete
MANIFEST, FAILURES = "manifest.jsonl", "failures.jsonl"
LISTS = (MANIFEST, FAILURES, excluded_files.NAME)  # in several files if they are long
JSON_FILES = (INFO_FILE, "features.json", "statistics.json")


def check_output(data_dir: str, parsed) -> None:
    """Check the options of the job before anything is read or written.

    Args:
      data_dir: output directory.
      parsed: Beam's options, from `runner.parse_options`.

    Raises:
      UserError: the job cannot start, `data_dir` is not a folder, or it holds files that `preprocess` did not write.
    """
    cli.require_folder("data_dir", data_dir)
    if not runner.is_dry_run(parsed):
        runner_checks.check_options(parsed)
        _list_dataset_files(data_dir, _written_domains(data_dir))


def write_dataset(job: PreprocessJob, parsed) -> dict | None:
    """Run the job and complete the directory.

    Args:
      job: configuration of the job.
      parsed: Beam's options, from `runner.parse_options`.

    Returns:
      A summary: numbers of sources, examples, failures, and of what is left out by reason, path and reason of the first
      failure, numbers of sources by domain and split, and warnings; None
      for a dry run.

    Raises:
      UserError: the directory holds files that `preprocess` did not write, another command writes to it, the cache
        cannot be listed, or no file of a domain can be read.
    """
    if runner.is_dry_run(parsed):
        runner.run(job.build, parsed)
        return None
    runner_checks.check_options(parsed)
    cli.create_output_folder("data_dir", job.data_dir)
    if job.cache_dir:
        cli.create_output_folder("cache_dir", job.cache_dir)
        job.store.delete_stale_files()
    with filesystem.folder_lock("data_dir", job.data_dir):
        unfinished = job_rows.owned_domains(job.data_dir) is not None
        begin_dataset(job)
        token = job_rows.begin_job(job.data_dir)
        heartbeat = job_rows.heartbeat(job.data_dir, token, runner.worker_timeout_s(parsed))
        job = dataclasses.replace(job, token=token, heartbeat=heartbeat)
        reused = _run_job(job, parsed, isolated=unfinished)
        return finish_dataset(job) | {"reused": reused}


def _run_job(job: PreprocessJob, parsed, *, isolated: bool) -> int:
    """Run the job; return the number of files whose features were there, 0 if the runner does not report it."""
    job_rows.write_work(job.data_dir, WORK_NAME, _work_rows(job))
    local = runner.is_local(parsed)
    work_bytes = sum(entry.size for domain in job.domains for entry in domain.files) if local else 0
    progress, counters = Progress(f"preprocess {job.kind}", 2 * job.file_count, "file passes"), JobCounters()
    with poll_progress(progress, lambda: counters.total(*PASSES)):
        runner.run(
            job.build, parsed, work_bytes=work_bytes, counters=counters, isolated=isolated, heartbeat=job.heartbeat
        )
    return counters.total(REUSED) or 0


def _work_rows(job: PreprocessJob) -> Iterator[dict]:
    """Yield the batches of files."""
    files = work_rows.work_rows(job.domains, job.kind, job.fractions, split_by=job.split_by, seed=job.seed)
    while batch := list(itertools.islice(files, BATCH_FILES)):
        yield {"files": batch}


def begin_dataset(job: PreprocessJob) -> None:
    """Delete the files of an earlier `preprocess`, `dataset_info.json` first, and write the ownership file.

    Raises:
      UserError: files exist that have the names of outputs, and `preprocess` did not write them.
    """
    written = _written_domains(job.data_dir)
    paths = _list_dataset_files(job.data_dir, written)
    names = sorted({*(written or ()), *(domain.name for domain in job.domains)})
    job_rows.write_ownership(job.data_dir, names)
    shard_name = re.compile(rf"({'|'.join(map(re.escape, names))})-({'|'.join(SPLITS)})\.tfrecord-\d{{5}}-of-\d{{5}}")
    outputs = [
        path
        for path in paths
        if _is_json_file(posixpath.basename(path)) or shard_name.fullmatch(posixpath.basename(path))
    ]
    filesystem.delete(sorted(outputs, key=lambda path: not path.endswith(f"/{INFO_FILE}")))
    filesystem.delete_partial_files(job.data_dir)
    job_rows.clear(job.data_dir, keep_ownership=True)


def _list_dataset_files(data_dir: str, written: list[str] | None) -> list[str]:
    """List the files of a directory that are named as in a dataset.

    Raises:
      UserError: there are such files, and `written` is None.
    """
    paths = [path for path in filesystem.list_folder(data_dir) if _is_dataset_file(posixpath.basename(path))]
    if written is None and paths:
        raise UserError(
            f"--data_dir={data_dir}: {posixpath.basename(paths[0])} exists and was not written by preprocess; "
            "wanted a new or empty folder"
        )
    return paths


def _is_dataset_file(name: str) -> bool:
    return _is_json_file(name) or ".tfrecord" in name


def _is_json_file(name: str) -> bool:
    return name in JSON_FILES or any(part_names.parts([name], of) for of in LISTS)


def _written_domains(data_dir: str) -> list[str] | None:
    """Return the domains that an earlier `preprocess` wrote or began to write here; None if there was none."""
    if domains := job_rows.owned_domains(data_dir):  # an empty list is the mark of translate
        return domains
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


def finish_dataset(job: PreprocessJob) -> dict:
    """Complete the directory from the rows of the workers; the rows of files are not held in memory.

    Returns:
      A summary, see :func:`write_dataset`.

    Raises:
      UserError: no file of a domain can be read; `failures.jsonl` is written all the same.
    """
    failures, first_failures = _write_failures(job)
    excluded = excluded_files.write_list(job) if job.excludes else {}
    shards, moment_rows = (list(job_rows.read_rows(job.data_dir, name)) for name in ("shards", "statistics"))
    names = [domain.name for domain in job.domains]
    if not (failures or shards or excluded):
        raise UserError(f"{job.data_dir}: the workers wrote no results there; do all workers see the same folder?")
    for name in names:
        if not any(row["examples"] for row in shards if row["domain"] == name):
            raise UserError(f"domain {name}: {_why_empty(name, first_failures, excluded)}")
    pitch_moments = {name: _merged_moments(moment_rows, name, "pitch") for name in names if job.pitch}
    spec = Spec(
        job.spec, tuple(names), {name: _merged_moments(moment_rows, name, "features") for name in names}, pitch_moments
    )
    _write_lines(job, "statistics.json", [json.dumps(config.spec_to_json(spec))])
    counts = dataset_warnings.ManifestCounts()
    manifest = counts.count(job_rows.read_rows(job.data_dir, "sources", order=SORT_KEYS["sources"]))
    long_lists.write_list(job.data_dir, MANIFEST, manifest)
    features = tfrecord.features_json(job.kind, spec.feature_shape(), waveforms=job.waveforms)
    _write_lines(job, "features.json", [json.dumps(features, indent=1)])
    sizes = _shard_sizes(shards)
    for (domain, split), shard_sizes in sizes.items():
        for shard in (n for n, size in enumerate(shard_sizes) if size == (0, 0)):
            _write_lines(job, tfrecord.shard_name(domain, split, shard, len(shard_sizes)), [])
    warnings = dataset_warnings.warnings_of(job, counts)
    _write_lines(job, INFO_FILE, [json.dumps(tfrecord.dataset_info_json(sizes), indent=1)])
    if not job.cache_dir:
        job.store.delete_all()
    filesystem.delete_partial_files(job.data_dir)  # of workers that died
    job_rows.clear(job.data_dir)
    splits = {name: {split: counts.by_split[name, split] for split in SPLITS} for name in names}
    examples = sum(row["examples"] for row in shards)
    summary = {"sources": counts.sources, "examples": examples, "failures": failures, "excluded": excluded}
    summary["first_failure"] = next(iter(first_failures.values()), "")
    return {**summary, "splits": splits, "warnings": warnings}


def _why_empty(name: str, first_failures: Mapping[str, str], excluded: Mapping[str, int]) -> str:
    """Return why a domain has no examples."""
    if name not in first_failures and excluded:
        return f"all its files are left out; of all domains: {excluded_files.summarize(excluded)}"
    return f"no file could be read; the first failure: {first_failures.get(name, 'no files')}"


def _write_lines(job: PreprocessJob, name: str, texts: Iterable[str]) -> None:
    with filesystem.new_file(posixpath.join(job.data_dir, name)) as file:
        file.writelines(text.encode() for text in texts)


def _write_failures(job: PreprocessJob) -> tuple[int, dict[str, str]]:
    """Write `failures.jsonl`; return the number of failures and the first of each domain."""
    first: dict[str, str] = {}
    count = 0

    def unique_rows() -> Iterator[dict]:
        nonlocal count
        previous = None
        for row in job_rows.read_rows(job.data_dir, "failures", order=SORT_KEYS["failures"]):
            if row != previous:  # the parts of one recording fail for the same reason
                first.setdefault(row["domain"], f"{row['path']}: {row['reason']}")
                count += 1
                yield row
            previous = row

    long_lists.write_list(job.data_dir, FAILURES, unique_rows())
    return count, first


def _merged_moments(rows: list[dict], domain: str, of: str) -> stats.Moments:
    """Merge the moments of the training split; of all splits if there is none, as for test files."""
    domain_rows = [row for row in rows if (row["domain"], row["of"]) == (domain, of)]
    selected = [row for row in domain_rows if row["split"] == "train"] or sorted(
        domain_rows, key=lambda row: row["split"]
    )
    return functools.reduce(stats.merge, (stats.Moments.from_json(row) for row in selected))


def _shard_sizes(shards: list[dict]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Return the examples and bytes of every shard; a shard without sources is empty."""
    sizes: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in shards:
        split_sizes = sizes.setdefault((row["domain"], row["split"]), [(0, 0)] * row["shards"])
        split_sizes[row["shard"]] = (row["examples"], row["bytes"])
    return sizes
