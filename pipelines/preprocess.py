"""Convert folders of recordings or images into training records."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

from models.errors import UserError
from pipelines import cli, isolation

if TYPE_CHECKING:
    from pipelines.data.domains import Domain
    from pipelines.jobs.preprocess_job import PreprocessJob

FLAGS = flags.FLAGS
EXAMPLE = "python -m pipelines.preprocess --domain=anna='anna/*.wav' --domain=bert='bert/*.wav' --data_dir=records"
CONDITIONING = {  # flags, and what they are called in `Conditioning`
    "trim": "trim",
    "cut_at_pauses": "cut_s",
    "min_seconds": "min_s",
    "max_seconds": "max_s",
    "min_level_db": "min_level_db",
    "max_clipped": "max_clipped",
}
SPEECH_FLAGS = ("keep_waveforms", "pitch", *CONDITIONING)


def define_flags() -> None:
    """Define the flags of this script."""
    flags.DEFINE_multi_string(
        "domain",
        [],
        "A domain and its files: NAME=GLOB, NAME=FOLDER, NAME=ARCHIVE, NAME=tfds:DATASET/SPLIT or "
        "NAME=factors:SET/COUNT. Give it once for each domain; the files of a repeated name are combined.",
    )
    flags.DEFINE_multi_string(
        "list",
        [],
        "A CSV or JSONL file with a row for each file: path or file_name (relative to the list) and domain; optionally "
        "label, speaker, and split (train, val or test). NAME=FILE is a list of one domain, without that column.",
    )
    flags.DEFINE_string("data_dir", None, "Output directory of the records.")
    flags.DEFINE_enum("kind", None, ["audio", "image"], "Kind of the files; by default inferred from their extensions.")
    flags.DEFINE_multi_string(
        "set", [], "KEY=VALUE of the front end: sample_rate_hz, n_fft, ... for speech; height, width, ... for images."
    )
    flags.DEFINE_float(
        "val_fraction", 0.05, "Fraction of the sources for validation; raised for small domains.", 0.0, 1.0
    )
    flags.DEFINE_float(
        "test_fraction", 0.05, "Fraction of the sources for testing; raised for small domains.", 0.0, 1.0
    )
    flags.DEFINE_enum(
        "split_by",
        "file",
        ["file", "parent", "prefix", "speaker"],
        "Unit of the split: single files, all files of a parent folder, all files whose names are equal up to the "
        "first hyphen or underscore, such as the speakers of LibriSpeech, or all files of a speaker of --list.",
    )
    flags.DEFINE_string(
        "reject_outliers_with", "", "RUN with an outlier detector of explore --do=outliers; its outliers are left out."
    )
    flags.DEFINE_integer("seed", 0, "Random seed of the split.")
    flags.DEFINE_bool("keep_waveforms", False, "Store waveforms beside the features of speech, to train vocoders.")
    flags.DEFINE_bool("drop_duplicates", False, "Keep only one of the files of a domain with the same bytes.")
    flags.DEFINE_bool("pitch", False, "Track the F0 of speech, for translate --pitch=mean_variance.")
    _define_conditioning_flags()
    _define_job_flags()


def _define_job_flags() -> None:
    flags.DEFINE_string(
        "cache_dir", "", "Folder that caches features, so that later runs decode only new or changed files."
    )
    flags.DEFINE_bool("shared_paths", False, "Declare that local paths are the same on all workers of a remote runner.")
    flags.DEFINE_float(*isolation.TIMEOUT_FLAG)


def _define_conditioning_flags() -> None:
    flags.DEFINE_bool("trim", False, "Cut off silence at both ends of every recording, except for 0.1 s.")
    flags.DEFINE_float("cut_at_pauses", None, "Cut recordings at pauses into pieces of at most this many seconds.")
    flags.DEFINE_float("min_seconds", 0.0, "Leave out recordings or pieces of fewer seconds.", 0.0)
    flags.DEFINE_float("max_seconds", None, "Leave out recordings or pieces of more seconds.")
    flags.DEFINE_float(
        "min_level_db", None, "Leave out recordings or pieces with a lower active level (dB re full scale)."
    )
    flags.DEFINE_float("max_clipped", None, "Leave out recordings with a larger share of clipped samples.", 0.0, 1.0)


def main(argv: list[str]) -> int:
    """Preprocess; return the exit code."""
    cli.require_flags(FLAGS, "data_dir", *([] if FLAGS.list else ["domain"]))
    if FLAGS.val_fraction + FLAGS.test_fraction > 1 + 1e-9:
        raise UserError(f"--val_fraction={FLAGS.val_fraction} --test_fraction={FLAGS.test_fraction}; wanted 1 at most")
    from models.features.conditioning import Conditioning
    from pipelines.beam import runner, runner_checks
    from pipelines.data import front_end
    from pipelines.data.domains import read_domains
    from pipelines.data.split_fractions import adjust_fractions
    from pipelines.jobs import dataset_writer
    from pipelines.jobs.preprocess_job import PreprocessJob

    conditioning = Conditioning(**{key: FLAGS[name].value for name, key in CONDITIONING.items()})
    data_dir, cache_dir, reject = FLAGS.data_dir, FLAGS.cache_dir, FLAGS.reject_outliers_with
    parsed = runner.parse_options(argv[1:])
    _warn(runner_checks.check_paths(parsed, _flag_paths(), shared=FLAGS.shared_paths))
    dataset_writer.check_output(data_dir, parsed)
    domains = read_domains(FLAGS.domain, data_dir, FLAGS.list)
    _warn(runner_checks.check_paths(parsed, _listed_paths(domains), shared=FLAGS.shared_paths))
    kind = front_end.infer_kind(domains, FLAGS.kind)
    _check_kind(kind)
    if reject:
        from pipelines.inference import exported_model, outlier_detector

        outlier_detector.Detector.load(reject, exported_model.Model(reject), kind=kind)  # raises before the job starts
    requested_fractions = (FLAGS.val_fraction, FLAGS.test_fraction)
    job = PreprocessJob(
        kind=kind,
        spec=front_end.infer_spec(kind, domains, FLAGS.set),
        domains=domains,
        data_dir=data_dir,
        fractions=adjust_fractions(domains, requested_fractions, split_by=FLAGS.split_by, seed=FLAGS.seed),
        split_by=FLAGS.split_by,
        seed=FLAGS.seed,
        waveforms=FLAGS.keep_waveforms,
        pitch=FLAGS.pitch,
        reject=reject,
        cache_dir=cache_dir,
        conditioning=conditioning,
        drop_duplicates=FLAGS.drop_duplicates,
        file_timeout_s=FLAGS.file_timeout_s,
    )
    _print_report(job, dataset_writer.write_dataset(job, parsed))
    return 0


def _check_kind(kind: str) -> None:
    """Raise UserError if a flag is set that does not apply to files of this kind."""
    for name in SPEECH_FLAGS if kind == "image" else ():
        if FLAGS[name].value != FLAGS[name].default:
            raise UserError(f"--{name} is for speech, and the files are images")


def _flag_paths() -> Iterator[tuple[str, str]]:
    """Yield flags and paths that workers need; examples of datasets become files in the data directory first."""
    from pipelines.data.domains import split_list_flag

    yield from ((f"--{name}", FLAGS[name].value) for name in ("data_dir", "cache_dir", "reject_outliers_with"))
    for name, _, pattern in (flag.partition("=") for flag in FLAGS.domain):
        if not pattern.startswith(("tfds:", "factors:")):
            yield f"--domain={name}", pattern
    yield from ((f"--list ({n})", split_list_flag(flag)[1]) for n, flag in enumerate(FLAGS.list, 1))


def _listed_paths(domains: Iterable[Domain]) -> Iterator[tuple[str, str]]:
    """Yield the first local file of each domain of a list, whose rows may name it although the list is remote."""
    from pipelines.beam import filesystem

    of_globs = {flag.partition("=")[0] for flag in FLAGS.domain}
    for domain in domains:
        paths = (entry.path for entry in domain.files if not filesystem.is_remote(entry.path))
        if domain.name not in of_globs and (path := next(paths, None)):
            yield f"a row of --list, domain {domain.name}", path


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _print_report(job: PreprocessJob, report: dict | None) -> None:
    """Print the front end, the number of sources of each split, warnings, what is left out, and failures."""
    from pipelines.jobs import excluded_files

    if report is None:
        print("dry run: the job was built and not submitted")
        return
    print(f"{job.kind}: {', '.join(f'{key} {value}' for key, value in dataclasses.asdict(job.spec).items())}")
    for name, splits in report["splits"].items():
        print(f"{name}: {', '.join(f'{count} {split}' for split, count in splits.items())}")
    _warn(report["warnings"])
    counts = ", ".join(f"{report[name]} {name}" for name in ("sources", "examples", "failures"))
    hint = f"; see {job.data_dir}/failures.jsonl" if report["failures"] else ""
    if report["failures"]:
        _warn([f"{report['failures']} files could not be read; the first: {report['first_failure']}"])
    reused = f"; features of {report['reused']} files were there" if report["reused"] else ""
    if report["excluded"]:
        print(f"left out: {excluded_files.summarize(report['excluded'])}; see {job.data_dir}/excluded.jsonl")
    print(f"{counts} in {job.data_dir}{hint}{reused}")


def run() -> None:
    """Entry point of `crossfade-preprocess`."""
    define_flags()
    parse = cli.parser(FLAGS, "pipelines.preprocess", sys.modules[__name__].__doc__, EXAMPLE)
    app.run(cli.handle_errors(main), flags_parser=parse)


if __name__ == "__main__":
    run()
