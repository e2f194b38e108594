"""Compare a run with baselines on held-out records: report.html, metrics.json and scores.csv."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

from pipelines import cli

FLAGS = flags.FLAGS
DOES_NOT_CONVERT = 3  # exit code
EXAMPLE = "python -m pipelines.evaluate --run_dir=run --data_dir=records --output_dir=evaluation"


def define_flags() -> None:
    """Define the flags of this script."""
    flags.DEFINE_multi_string("run_dir", None, "RUN to evaluate; may be repeated to compare several.")
    flags.DEFINE_string("data_dir", None, "Directory of the records; their test split is the held-out data.")
    flags.DEFINE_string("output_dir", None, "Output directory of report.html, metrics.json and scores.csv.")
    flags.DEFINE_string(
        "inverter",
        "auto",
        "Method from log-mels to waveforms: griffin_lim, vocoder:RUN, or auto for the universal vocoder of the front "
        "end where there is one, else griffin_lim.",
    )
    flags.DEFINE_string(
        "external_metrics",
        "all",
        "External metrics of translated speech: all (those whose packages are installed), none, or names separated by "
        "commas, such as dnsmos,phones_lost,speaker_similarity,words_lost.",
    )
    flags.DEFINE_string(
        "features",
        "pca64",
        "Features of the distances between sets (KID, FID, density, coverage): pca64, pixels, efficientnet_lite0 "
        "(images), or the name of an installed feature extractor.",
    )
    flags.DEFINE_integer("seed", 0, "Random seed of the domain classifier.")


def main(argv: list[str]) -> int:
    """Evaluate; return the exit code."""
    cli.require_flags(FLAGS, "run_dir", "data_dir", "output_dir")
    cli.refuse_extra_arguments(argv)
    from pipelines.evaluation import comparison, run_evaluation
    from pipelines.training import distribution

    distribution.configure_threads()
    options = {"inverter": FLAGS.inverter, "seed": FLAGS.seed, "external": FLAGS.external_metrics}
    options["extractor"] = FLAGS.features
    if len(FLAGS.run_dir) > 1:
        runs = comparison.evaluate_runs(FLAGS.run_dir, FLAGS.data_dir, FLAGS.output_dir, **options)["runs"].values()
    else:
        runs = [run_evaluation.evaluate(*FLAGS.run_dir, FLAGS.data_dir, FLAGS.output_dir, **options)]
    return exit_code(runs)


def exit_code(runs: Iterable[Mapping]) -> int:
    """Return 3 if a direction of a run does not convert, else 0.

    The verdict on samples does not count: the runs that have one include autoencoders, whose samples are secondary.

    Args:
      runs: the content of `metrics.json` of each run.
    """
    from pipelines.evaluation.verdict import Verdict

    return DOES_NOT_CONVERT if any(run.get("verdict") == Verdict.DOES_NOT_CONVERT.value for run in runs) else 0


def run() -> None:
    """Entry point of `crossfade-evaluate`."""
    define_flags()
    parse = cli.parser(FLAGS, "pipelines.evaluate", sys.modules[__name__].__doc__, EXAMPLE)
    app.run(cli.handle_errors(main), flags_parser=parse)


if __name__ == "__main__":
    run()
