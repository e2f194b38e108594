"""Turns folders of recordings or pictures into records to train on."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

from models.errors import UserError
from pipelines import cli
from pipelines.data import front_end
from pipelines.data.split_fractions import split_fractions

if TYPE_CHECKING:
    from pipelines.jobs.preprocess_job import Preprocess

FLAGS = flags.FLAGS
EXAMPLE = "python -m pipelines.preprocess --domain=anna='anna/*.wav' --domain=bert='bert/*.wav' --data_dir=records"


def define_flags() -> None:
    """This script's flags."""
    flags.DEFINE_multi_string(
        "domain", [], "NAME=GLOB, NAME=FOLDER, NAME=tfds:DATASET/SPLIT or NAME=factors:SET/COUNT."
    )
    flags.DEFINE_string("data_dir", None, "Where the records go.")
    flags.DEFINE_enum("kind", None, ["audio", "image"], "What the files are; found from their endings if not given.")
    flags.DEFINE_multi_string(
        "set", [], "KEY=VALUE of the front end: sample_rate_hz, n_fft, ..., or height, width, ..."
    )
    flags.DEFINE_float("val_fraction", 0.05, "Share of the sources held back for validation.", 0.0, 1.0)
    flags.DEFINE_float("test_fraction", 0.05, "Share of the sources held back for testing.", 0.0, 1.0)
    flags.DEFINE_enum("split_by", "file", ["file", "parent"], "Keep the files of one parent folder in one split.")
    flags.DEFINE_string("reject_outliers_with", "", "RUN in which explore --do=outliers left a detector.")
    flags.DEFINE_bool("shared_paths", False, "Local paths are the same on every worker of a remote runner.")
    flags.DEFINE_integer("seed", 0, "Another seed gives another split.")
    flags.DEFINE_bool("keep_waveforms", False, "Keep the samples of speech beside its features, as vocoders want them.")
    flags.DEFINE_bool("pitch", False, "Track the pitch of speech, for translate --pitch=mean_variance; slow.")


def main(argv: list[str]) -> int:
    """Preprocesses; the exit code."""
    cli.require_flags(FLAGS, "domain", "data_dir")
    if FLAGS.val_fraction + FLAGS.test_fraction > 1 + 1e-9:
        raise UserError(f"--val_fraction={FLAGS.val_fraction} --test_fraction={FLAGS.test_fraction}; wanted 1 at most")
    from pipelines.beam import runner
    from pipelines.data import domains as corpus
    from pipelines.jobs import dataset_writer
    from pipelines.jobs.preprocess_job import Preprocess

    data_dir, reject = FLAGS.data_dir, FLAGS.reject_outliers_with
    parsed = runner.options(argv[1:])
    paths = {"--data_dir": data_dir, "--reject_outliers_with": reject}
    paths |= {f"--domain={name}": path for name, path in _read_paths(FLAGS.domain)}
    _warn(runner.check_paths(parsed, paths, shared=FLAGS.shared_paths))
    dataset_writer.check(data_dir, parsed)
    domains = corpus.read_domains(FLAGS.domain, data_dir)
    kind = front_end.infer_kind(domains, FLAGS.kind)
    for name in ("keep_waveforms", "pitch") if kind == "image" else ():
        if FLAGS[name].value:
            raise UserError(f"--{name}: these are pictures")
    if reject:
        from pipelines.inference import exported_model, outlier_detector

        outlier_detector.Detector.load(
            reject, exported_model.Model(reject), kind=kind
        )  # says what is wrong before work begins
    asked = (FLAGS.val_fraction, FLAGS.test_fraction)
    job = Preprocess(
        kind=kind,
        spec=front_end.infer_spec(kind, domains, FLAGS.set),
        domains=domains,
        data_dir=data_dir,
        fractions=split_fractions(domains, asked, split_by=FLAGS.split_by, seed=FLAGS.seed),
        split_by=FLAGS.split_by,
        seed=FLAGS.seed,
        waveforms=FLAGS.keep_waveforms,
        pitch=FLAGS.pitch,
        reject=reject,
    )
    done = dataset_writer.prepare(job, parsed)
    if done is None:
        print("the job is built; a dry run sends nothing")
        return 0
    _report(job, done)
    return 0


def _read_paths(domains: list[str]) -> Iterator[tuple[str, str]]:
    """Names and paths of the domains that are files; others are written below the data directory first."""
    for name, _, pattern in (flag.partition("=") for flag in domains):
        if not pattern.startswith(("tfds:", "factors:")):
            yield name, pattern


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _report(job: Preprocess, done: dict) -> None:
    """Prints the front end, the sources of each split, and what the user should know before training."""
    print(f"{job.kind}: {', '.join(f'{key} {value}' for key, value in dataclasses.asdict(job.spec).items())}")
    for name, splits in done["splits"].items():
        print(f"{name}: {', '.join(f'{count} {split}' for split, count in splits.items())}")
    _warn(done["warnings"])
    numbers = ", ".join(f"{done[name]} {name}" for name in ("sources", "examples", "failures"))
    listed = f"; see {job.data_dir}/failures.jsonl" if done["failures"] else ""
    print(f"{numbers} in {job.data_dir}{listed}")


def run() -> None:
    """Entry point of `crossfade-preprocess`."""
    define_flags()
    parse = cli.parser(FLAGS, "pipelines.preprocess", sys.modules[__name__].__doc__, EXAMPLE)
    app.run(cli.handle_errors(main), flags_parser=parse)


if __name__ == "__main__":
    run()
