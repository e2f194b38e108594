"""Explore the latent space of a run: reconstruction, interpolation, disentanglement, outliers and more."""

from __future__ import annotations

import os
import sys

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

from pipelines import cli

FLAGS = flags.FLAGS
EXAMPLE = "python -m pipelines.explore --do=interpolate --run_dir=run --data_dir=records --output_dir=lab"


def define_flags() -> None:
    """Define the flags of this script."""
    jobs = "reconstruct, interpolate, sample, traverse, perturb, disentangle, outliers, debias or sweep"
    flags.DEFINE_string("do", None, f"Job to run: {jobs}.")
    flags.DEFINE_string("run_dir", None, "RUN to explore; sweep: output directory of the runs.")
    flags.DEFINE_string("data_dir", None, "Directory of records with the front end of the run.")
    flags.DEFINE_string("output_dir", None, "Output directory of report.html, JOB.json and JOB.csv.")
    flags.DEFINE_enum(
        "split",
        None,
        ["train", "val", "test", "all"],
        "Split of the examples; by default test, and all for disentangle, which alone takes all. sample, outliers and "
        "debias compare with the training split, so they take val or test; debias: files for the accuracy.",
    )
    flags.DEFINE_integer("count", 8, "Number of examples, samples or latent dimensions in the report.", 1)
    flags.DEFINE_integer("seed", 0, "Random seed.")
    flags.DEFINE_integer("points", 9, "interpolate, traverse: number of points of a path.", 2)
    flags.DEFINE_multi_string("between", [], "interpolate: an end of the path (id, file or domain); give two.")
    flags.DEFINE_string(
        "labels", "", "disentangle, traverse, debias: CSV with the column id and the factors, or with id and group."
    )
    flags.DEFINE_multi_string("against", [], "outliers: NAME=GLOB of files that are known to be out of distribution.")
    flags.DEFINE_float(
        "false_positive_rate",
        0.05,
        "outliers: fraction of in-distribution files over the threshold, 0 to 1.",
        0.0,
        1.0,
    )
    flags.DEFINE_float(
        "alpha", 1e-3, "debias: smoothing of the latent histogram; larger is closer to uniform sampling.", 0.0
    )
    flags.DEFINE_enum(
        "rarity", "largest", ["largest", "product"], "debias: how the rarities of the latent dimensions are combined."
    )
    flags.DEFINE_string("weights", "", "debias: output file of the sampling weights; by default DATA_DIR/weights.csv.")
    flags.DEFINE_multi_string("plugin", [], "sweep: a plugin to train; may be repeated. By default ae and vae.")
    flags.DEFINE_multi_string(
        "grid", [], "sweep: values of a key, KEY=VALUE,VALUE,..., such as seed=0,1,2. By default latent=2,4,8,16,32."
    )
    flags.DEFINE_multi_string("training", [], "sweep: FLAG=VALUE of train for every run, such as steps=500.")
    flags.DEFINE_integer("processes", 0, "sweep: number of runs in parallel; 0 for one on every two cores.", 0)


def main(argv: list[str]) -> int:
    """Explore; return the exit code."""
    cli.require_flags(FLAGS, "do", "run_dir", "data_dir", "output_dir")
    cli.refuse_extra_arguments(argv)
    from pipelines.exploration import job
    from pipelines.training import distribution

    distribution.configure_threads()
    scalars = (
        "do run_dir data_dir output_dir count seed points labels false_positive_rate alpha rarity weights processes"
    )
    lists = {"between": "between", "against": "against", "plugin": "plugins", "grid": "grid", "training": "training"}
    options = {name: FLAGS[name].value for name in scalars.split()}
    options["split"] = FLAGS.split or job.default_split(FLAGS.do)
    options |= {field: tuple(FLAGS[name].value) for name, field in lists.items()}
    job.explore(job.JobConfig(**options))
    return 0


def run() -> None:
    """Entry point of `crossfade-explore`."""
    define_flags()
    parse = cli.parser(FLAGS, "pipelines.explore", sys.modules[__name__].__doc__, EXAMPLE)
    app.run(cli.handle_errors(main), flags_parser=parse)


if __name__ == "__main__":
    run()
