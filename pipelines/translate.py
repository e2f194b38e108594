"""Translates a folder of files into another domain with a trained run."""

from __future__ import annotations

import os
import sys

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

from pipelines import cli

FLAGS = flags.FLAGS
EXAMPLE = "python -m pipelines.translate --run_dir=run --input='anna/*.wav' --output_dir=converted --target=bert"


def define_flags() -> None:
    """This script's flags."""
    flags.DEFINE_string("run_dir", None, "The run whose export translates.")
    flags.DEFINE_string("input", None, "GLOB or FOLDER of files.")
    flags.DEFINE_string("output_dir", None, "Where results go, under the same relative paths.")
    flags.DEFINE_string("target", None, "The domain to translate to.")
    flags.DEFINE_string("source", None, "The domain the files are of; with two domains, the other one.")
    flags.DEFINE_string("inverter", "griffin_lim", "griffin_lim, source_phase or vocoder:RUN.")
    flags.DEFINE_enum("pitch", "keep", ["keep", "mean_variance"], "Move the source's F0 to the target's distribution.")
    flags.DEFINE_string("flag_outliers_with", "", "RUN in which explore --do=outliers left a detector.")
    flags.DEFINE_bool("shared_paths", False, "Local paths are the same on every worker of a remote runner.")
    flags.DEFINE_integer("seed", 0, "Nothing is drawn in translation; taken so that all scripts take it.")


def main(argv: list[str]) -> int:
    """Translates; the exit code."""
    cli.require_flags(FLAGS, "run_dir", "input", "output_dir", "target")
    from pipelines.jobs import translate_folder

    done = translate_folder.translate(
        run_dir=FLAGS.run_dir,
        pattern=FLAGS.input,
        output_dir=FLAGS.output_dir,
        target=FLAGS.target,
        source=FLAGS.source,
        inverter=FLAGS.inverter,
        pitch=FLAGS.pitch,
        screen=FLAGS.flag_outliers_with,
        beam_arguments=argv[1:],
        shared_paths=FLAGS.shared_paths,
    )
    if done:
        print(f"{done['translations']} translated to {FLAGS.target}, {done['failures']} failures in {FLAGS.output_dir}")
    return 0


def run() -> None:
    """Entry point of `crossfade-translate`."""
    define_flags()
    parse = cli.parser(FLAGS, "pipelines.translate", sys.modules[__name__].__doc__, EXAMPLE)
    app.run(cli.handle_errors(main), flags_parser=parse)


if __name__ == "__main__":
    run()
