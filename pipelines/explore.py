"""The latent lab: what a run's codes hold, and what can be done with them."""

from __future__ import annotations

import os
import sys

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

from pipelines import cli

FLAGS = flags.FLAGS
EXAMPLE = "python -m pipelines.explore --do=interpolate --run_dir=run --data_dir=records --output_dir=lab"


def define_flags() -> None:
    """This script's flags."""
    jobs = "reconstruct, interpolate, sample, traverse, perturb, disentangle, outliers, debias or sweep."
    flags.DEFINE_string("do", None, jobs)
    flags.DEFINE_string("run_dir", None, "The run to look into; of a sweep, the folder of its runs.")
    flags.DEFINE_string("data_dir", None, "Records with the run's front end.")
    flags.DEFINE_string("output_dir", None, "Where report.html, JOB.json and JOB.csv go.")
    flags.DEFINE_enum("split", "test", ["train", "val", "test"], "Whose files are looked at; disentangle: all.")
    flags.DEFINE_integer("count", 8, "Examples, samples or dimensions to show.", 1)
    flags.DEFINE_integer("seed", 0, "Of all draws.")
    flags.DEFINE_integer("points", 9, "interpolate, traverse: points of a path.", 2)
    flags.DEFINE_multi_string("between", [], "interpolate: an id, a file or a domain; give it twice.")
    flags.DEFINE_string("labels", "", "disentangle, traverse, debias: CSV of id and factors, or of id and group.")
    flags.DEFINE_multi_string("against", [], "outliers: NAME=GLOB of files known to be strange.")
    flags.DEFINE_float("false_positive_rate", 0.05, "outliers: share of usual files above the threshold.", 0.0, 1.0)
    flags.DEFINE_float("alpha", 1e-3, "debias: what is added to a bin's share; the larger, the more alike.", 0.0)
    flags.DEFINE_enum("rarity", "largest", ["largest", "product"], "debias: of the rarities by dimension.")
    flags.DEFINE_string("weights", "", "debias: where the weights go; DATA_DIR/weights.csv if not given.")
    flags.DEFINE_multi_string("plugin", [], "sweep: what to train; once for each. [ae and vae]")
    flags.DEFINE_multi_string("grid", [], "sweep: KEY=VALUE,VALUE,... such as seed=0,1,2. [latent=2,4,8,16,32]")
    flags.DEFINE_multi_string("training", [], "sweep: FLAG=VALUE of train for every run, such as steps=500.")
    flags.DEFINE_integer("processes", 0, "sweep: runs trained at a time; one for two cores if not given.", 0)


def main(argv: list[str]) -> int:
    """Explores; the exit code."""
    cli.need(FLAGS, "do", "run_dir", "data_dir", "output_dir")
    cli.no_more(argv)
    from pipelines.exploration import job
    from pipelines.training import distribution

    distribution.use_cores()
    same = (
        "do run_dir data_dir output_dir split count seed points labels "
        "false_positive_rate alpha rarity weights processes"
    )
    lists = {"between": "between", "against": "against", "plugin": "plugins", "grid": "grid", "training": "training"}
    asked = {name: FLAGS[name].value for name in same.split()}
    asked |= {field: tuple(FLAGS[name].value) for name, field in lists.items()}
    job.explore(job.JobConfig(**asked))
    return 0


def run() -> None:
    """Entry point of `crossfade-explore`."""
    define_flags()
    parse = cli.parser(FLAGS, "pipelines.explore", sys.modules[__name__].__doc__, EXAMPLE)
    app.run(cli.guarded(main), flags_parser=parse)


if __name__ == "__main__":
    run()
