"""Translate a folder of files into another domain with a trained run."""

from __future__ import annotations

import os
import sys

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

from pipelines import cli, isolation

FLAGS = flags.FLAGS
EXAMPLE = "python -m pipelines.translate --run_dir=run --input='anna/*.wav' --output_dir=converted --target=bert"


class ChannelsFlag(flags.Flag):
    """A flag whose value may be left out: bare `--keep_channels` is `each`, `--nokeep_channels` is empty."""

    def __init__(self, *, name: str, default: str, help_string: str):
        parser = flags.EnumParser(["", "each", "mid_side"])
        super().__init__(parser, flags.ArgumentSerializer(), name, default, help_string, boolean=True)

    def _parse(self, argument: str) -> str:
        return super()._parse({"true": "each", "false": ""}.get(argument.lower(), argument))


def define_flags() -> None:
    """Define the flags of this script."""
    flags.DEFINE_string("run_dir", None, "RUN with the exported model.")
    flags.DEFINE_string("input", None, "Input files: a folder, file, archive or glob.")
    flags.DEFINE_string("output_dir", None, "Output directory; output files keep the relative paths of the input.")
    flags.DEFINE_string("target", None, "Target domain.")
    flags.DEFINE_string(
        "source", None, "Source domain of the files; needed only if target and model do not determine it."
    )
    flags.DEFINE_string(
        "inverter",
        "auto",
        "Method from log-mels to waveforms: griffin_lim, source_phase, vocoder:RUN, or auto for the universal vocoder "
        "of the front end where there is one, else griffin_lim.",
    )
    flags.DEFINE_enum(
        "pitch",
        "keep",
        ["keep", "mean_variance"],
        "F0 of speech before translation: kept, or transformed to mean and variance of the target domain, which needs "
        "records of preprocess --pitch.",
    )
    flags.DEFINE_string(
        "flag_outliers_with", "", "RUN with an outlier detector of explore --do=outliers; its outliers are marked."
    )
    flags.DEFINE_enum(
        "format",
        "",
        ["", "wav", "flac", "ogg", "png", "jpg"],
        "Format of the output files: wav (16-bit), flac (16-bit), ogg (Vorbis); png, jpg. By default wav or png.",
    )
    flags.DEFINE_bool("keep_rate", False, "Resample the results to the sample rate of their source.")
    flags.DEFINE_flag(
        ChannelsFlag(
            name="keep_channels",
            default="",
            help_string="<each|mid_side>: Keep the channels. each, also the bare --keep_channels, translates every "
            "channel; mid_side translates the average of two channels and keeps half their difference.",
        )
    )
    flags.DEFINE_enum(
        "image_size",
        "records",
        ["records", "residual", "tiles"],
        "Size of translated images. records: that of the records. residual, tiles: that of their source, by adding the "
        "upsampled difference between output and input of the model, or by translating overlapping tiles.",
    )
    _define_job_flags()


def _define_job_flags() -> None:
    flags.DEFINE_bool("reuse", True, "Keep up-to-date results of an earlier run; --noreuse translates all again.")
    flags.DEFINE_bool("shared_paths", False, "Declare that local paths are the same on all workers of a remote runner.")
    flags.DEFINE_float(*isolation.TIMEOUT_FLAG)
    flags.DEFINE_integer("seed", 0, "Without effect, as translation is deterministic; every script accepts it.")


def main(argv: list[str]) -> int:
    """Translate; return the exit code."""
    cli.require_flags(FLAGS, "run_dir", "input", "output_dir", "target")
    from pipelines.jobs import translate_folder

    counts = translate_folder.translate(
        run_dir=FLAGS.run_dir,
        pattern=FLAGS.input,
        output_dir=FLAGS.output_dir,
        target=FLAGS.target,
        source=FLAGS.source,
        inverter=FLAGS.inverter,
        pitch=FLAGS.pitch,
        screen=FLAGS.flag_outliers_with,
        file_format=FLAGS.format,
        keep_rate=FLAGS.keep_rate,
        keep_channels=FLAGS.keep_channels,
        image_size=FLAGS.image_size,
        reuse=FLAGS.reuse,
        file_timeout_s=FLAGS.file_timeout_s,
        beam_arguments=argv[1:],
        shared_paths=FLAGS.shared_paths,
    )
    if counts:
        translations, failures = counts["translations"], counts["failures"]
        up_to_date = f" ({counts['reused']} of them were up to date)" if counts["reused"] else ""
        print(f"{translations} translated to {FLAGS.target}{up_to_date}, {failures} failures in {FLAGS.output_dir}")
    return 0


def run() -> None:
    """Entry point of `crossfade-translate`."""
    define_flags()
    parse = cli.parser(FLAGS, "pipelines.translate", sys.modules[__name__].__doc__, EXAMPLE)
    app.run(cli.handle_errors(main), flags_parser=parse)


if __name__ == "__main__":
    run()
