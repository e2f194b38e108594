"""Serve a page on which recordings or pictures are converted by a trained run."""

from __future__ import annotations

import os
import sys

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

from pipelines import cli

FLAGS = flags.FLAGS
EXAMPLE = "python -m pipelines.listen --run_dir=run"


def define_flags() -> None:
    """Define the flags of this script."""
    flags.DEFINE_string("run_dir", None, "RUN with the exported model.")
    flags.DEFINE_string(
        "inverter",
        "auto",
        "Inverter that is selected at first: auto (the universal vocoder of the front end where there is one), "
        "griffin_lim, source_phase, or vocoder:RUN, which adds a vocoder to the choices.",
    )
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 lets other machines use the page.")
    flags.DEFINE_integer("port", 7860, "Port to listen on; 0 for any free one.", lower_bound=0, upper_bound=65535)
    flags.DEFINE_float(
        "max_megabytes", 200.0, "Size limit of all files of a conversion, also unpacked, in 10^6 bytes.", lower_bound=0
    )
    flags.DEFINE_float("max_seconds", 600.0, "Duration limit of a recording in seconds.", lower_bound=0)
    flags.DEFINE_float("max_megapixels", 50.0, "Size limit of a picture in 10^6 pixels.", lower_bound=0)
    flags.DEFINE_integer("max_files", 1000, "Maximum number of files of a batch.", lower_bound=1)
    flags.DEFINE_string("keep", "", "DIR in which sources and results are kept; by default nothing is kept.")
    flags.DEFINE_integer("seed", 0, "Without effect, as translation is deterministic; every script accepts it.")


def main(argv: list[str]) -> int:
    """Serve the page; return the exit code."""
    cli.require_flags(FLAGS, "run_dir")
    cli.refuse_extra_arguments(argv)
    if FLAGS.keep:
        cli.create_output_folder("keep", FLAGS.keep)
    from pipelines.web import limits, server

    names = ("max_megabytes", "max_seconds", "max_megapixels", "max_files")
    server.serve(
        server.ServerOptions(
            run_dir=FLAGS.run_dir,
            inverter=FLAGS.inverter,
            host=FLAGS.host,
            port=FLAGS.port,
            limits=limits.Limits(**{name: FLAGS[name].value for name in names}),
            keep_dir=FLAGS.keep,
        )
    )
    return 0


def run() -> None:
    """Entry point of `crossfade-listen`."""
    define_flags()
    parse = cli.parser(FLAGS, "pipelines.listen", sys.modules[__name__].__doc__, EXAMPLE)
    app.run(cli.handle_errors(main), flags_parser=parse)


if __name__ == "__main__":
    run()
