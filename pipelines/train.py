"""Train a plugin on records; the same command resumes an interrupted run."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sys

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by default without AVX-512, although as fast there

import plugins  # noqa: E402
from pipelines import cli, config, config_help  # noqa: E402

FLAGS = flags.FLAGS
EXAMPLE = "python -m pipelines.train --data_dir=records --run_dir=run"


def define_flags() -> None:
    """Define the flags of this script."""
    flags.DEFINE_string("data_dir", None, "Directory of the records, the output of preprocess.")
    flags.DEFINE_string(
        "plugin",
        None,
        "Model to train; by default recognition_synthesis for speech, cut for photographs (from the first domain to "
        "the second), cyclegan for other images (vae for one domain). "
        "--plugin=help lists all, --plugin=NAME --help its keys with their values in the preset.",
    )
    flags.DEFINE_string("run_dir", None, "Run directory: output of configuration, checkpoints, logs and export.")
    flags.DEFINE_integer("steps", None, "Number of training steps; by default that of the preset.", lower_bound=0)
    flags.DEFINE_integer(
        "batch_size", None, "Global batch size in examples, over all replicas; by default that of the preset.", 1
    )
    flags.DEFINE_multi_string("set", [], "KEY=VALUE of the plugin's configuration; see --plugin=NAME --help.")
    flags.DEFINE_string(
        "preset",
        "small",
        "Model size: small trains on a laptop's CPU in minutes; medium (cut and cyclegan on photographs only) is for a "
        "GPU; full has the size of the paper.",
    )
    flags.DEFINE_enum(
        "strategy", "auto", config.STRATEGIES, "Strategy of tf.distribute; auto is mirrored if there are several GPUs."
    )
    flags.DEFINE_enum("precision", "float32", config.PRECISIONS, "Dtype policy of the networks; weights stay float32.")
    flags.DEFINE_bool("jit_compile", False, "Compile the training step with XLA.")
    flags.DEFINE_string(
        "sample_weights", "", "CSV of sampling weights of the records, from explore --do=debias; by default uniform."
    )
    flags.DEFINE_string(
        "warm_start", None, "RUN whose weights initialise the networks, which must have the same sizes."
    )
    flags.DEFINE_enum(
        "export", "last", ["last", "best"], "Weights to export: of the last step, or with the best validation metric."
    )
    flags.DEFINE_bool("onnx", False, "Also export the networks as RUN/export/onnx/NAME.onnx; needs crossfade[onnx].")
    flags.DEFINE_integer(
        "seed",
        None,
        "Random seed of the initial weights and of the random numbers during training; by default 0, or that of --set.",
    )


def list_plugins() -> str:
    """Return every plugin with the first line of its docstring."""
    names = plugins.available()
    width = max(map(len, names))
    return "\n".join(f"{name:{width}} {plugins.summary(name)}" for name in names)


def parse(argv: list[str]) -> list[str]:
    """Parse flags; handle --plugin=help and --plugin=NAME --help."""
    plugin = _last_value(argv, "plugin")
    help_requested = not {"--help", "-h", "-help"}.isdisjoint(argv)
    if plugin and (help_requested or plugin == "help"):
        try:
            preset = _last_value(argv, "preset") or FLAGS["preset"].default
            print(list_plugins() if plugin == "help" else config_help.list_keys(plugin, preset))
        except ValueError as error:
            raise SystemExit(cli.print_error(str(error))) from None
        raise SystemExit(0)
    return cli.parser(FLAGS, "pipelines.train", sys.modules[__name__].__doc__, EXAMPLE)(argv)


def _last_value(argv: list[str], flag: str) -> str | None:
    """Return the last value of a flag among arguments, after ``=`` or as the next argument; None without one.

    >>> _last_value(["train", "--preset=small", "--preset", "full"], "preset")
    'full'
    """
    value = None
    for argument, following in itertools.pairwise([*argv, ""]):
        name, equals, text = argument.partition("=")
        if name in (f"--{flag}", f"-{flag}"):
            value = text if equals else following
    return value


def main(argv: list[str]) -> int:
    """Train; return the exit code."""
    cli.require_flags(FLAGS, "data_dir", "run_dir")
    cli.refuse_extra_arguments(argv)
    from pipelines import run_directory
    from pipelines.data import dataset, fingerprint, pairs, sample_weights
    from pipelines.export import onnx_model
    from pipelines.training import distribution, model_summary, resume, step_metrics, trainer

    if FLAGS.onnx:
        onnx_model.check_installed()
    distribution.configure_threads()
    data = dataset.open_records(FLAGS.data_dir)
    if FLAGS.sample_weights:
        data = dataclasses.replace(data, weights=sample_weights.read_weights(FLAGS.sample_weights, data.sources))
    kind = _preset_kind(data.spec)
    if FLAGS.plugin is None:
        FLAGS.plugin = plugins.default(kind, len(data.spec.domains))
        print(f"plugin: {FLAGS.plugin}, the default for these records; --plugin=help lists others", flush=True)
    run = resume.resolve_resume(FLAGS.run_dir, new_run(data, kind))
    if plugins.load(run.plugin).BATCHES == "paired":
        print(pairs.describe_pairs(data), flush=True)
    if run.config["steps"] == 0:
        print(model_summary.summarize(run, data.spec))
        return 0
    strategy = distribution.make_strategy(FLAGS.strategy)
    is_chief = distribution.worker_rank(strategy)[0] == 0
    try:
        with run_directory.lock_run(FLAGS.run_dir) if is_chief else contextlib.nullcontext():
            if is_chief:
                is_resumed = resume.has_checkpoint(FLAGS.run_dir)
                fingerprint.write_training_files(FLAGS.run_dir, data.sources, run.warm_start, is_resumed=is_resumed)
                run_directory.write_run(FLAGS.run_dir, run)
            trained = trainer.Trainer(run, data, FLAGS.run_dir, strategy, trainer.Intervals())
            values = trained.fit(exported=FLAGS.export)
            if FLAGS.onnx and is_chief:
                names = onnx_model.write(FLAGS.run_dir)
                print(f"ONNX models: {', '.join(names) or f'none; {run.plugin} has no signature that ONNX supports'}")
    except (trainer.Diverged, distribution.WorkerLost) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    metrics = f": {step_metrics.format_metrics(values)}" if values else ""
    print(f"trained {run.plugin} for {trained.step} steps{metrics}; exported to {FLAGS.run_dir}/export")
    return 0


def new_run(data, kind: str):
    """Return the `Run` that the flags describe, with a fingerprint of the records `data` of a kind of presets."""
    from pipelines import run_directory
    from pipelines.data import fingerprint, sample_weights

    plugin_class = plugins.load(FLAGS.plugin)
    plugin_config = config.preset(plugin_class, FLAGS.preset, kind)
    separate = [key for key in ("seed", "steps", "batch_size") if FLAGS[key].value is not None]
    pairs = [*FLAGS.set, *(f"{key}={FLAGS[key].value}" for key in separate)]
    plugin_config = config.override(plugin_config, pairs)
    return run_directory.Run(
        plugin=FLAGS.plugin,
        preset=FLAGS.preset,
        config=config.to_json(plugin_config),
        data_dir=os.path.abspath(FLAGS.data_dir) if "://" not in FLAGS.data_dir else FLAGS.data_dir,
        spec=run_directory.describe_spec(data.spec),
        precision=FLAGS.precision,
        strategy=FLAGS.strategy,
        jit_compile=FLAGS.jit_compile,
        warm_start=FLAGS.warm_start or "",
        sample_weights=sample_weights.config_entry(FLAGS.sample_weights),
        versions=run_directory.versions(),
        records=fingerprint.records_fingerprint(data.spec, data.sources, getattr(plugin_config, "mels_from", "")),
    )


def _preset_kind(spec) -> str:
    """Kind of the records for the preset; presets for photographs need the weights of a pretrained network."""
    from models.networks import efficientnet_lite

    if spec.preset_kind == "photograph" and not efficientnet_lite.is_available():
        print(f"preset for images instead of photographs: {efficientnet_lite.INSTALL_HINT}", flush=True)
        return "image"
    return spec.preset_kind


def run() -> None:
    """Entry point of `crossfade-train`."""
    define_flags()
    app.run(cli.handle_errors(main), flags_parser=parse)


if __name__ == "__main__":
    run()
