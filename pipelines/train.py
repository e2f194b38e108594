"""Trains a plugin on records; the same command again goes on where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by default without AVX-512, where it is worth as much

import plugins  # noqa: E402
from pipelines import cli, config, run_directory
from pipelines.training import resume

FLAGS = flags.FLAGS
EXAMPLE = "python -m pipelines.train --data_dir=records --plugin=cyclegan --run_dir=run"


def define_flags() -> None:
    """This script's flags."""
    flags.DEFINE_string("data_dir", None, "The records, from preprocess.")
    flags.DEFINE_string("plugin", None, "Which model; --plugin=help lists them, --plugin=NAME --help shows its keys.")
    flags.DEFINE_string("run_dir", None, "Where configuration, checkpoints, logs and the export go.")
    flags.DEFINE_integer("steps", None, "Training steps; the preset's if not given.", lower_bound=0)
    flags.DEFINE_integer("batch_size", None, "Examples a step over all replicas; the preset's if not given.", 1)
    flags.DEFINE_multi_string("set", [], "KEY=VALUE of the plugin's configuration.")
    flags.DEFINE_string("preset", "small", "small trains on a laptop's CPU in minutes; full is the paper's size.")
    flags.DEFINE_enum("strategy", "auto", config.STRATEGIES, "How training is distributed.")
    flags.DEFINE_enum("precision", "float32", config.PRECISIONS, "What networks compute in; weights stay float32.")
    flags.DEFINE_bool("jit_compile", False, "Compile the training step with XLA.")
    flags.DEFINE_string("sample_weights", "", "Sidecar of explore --do=debias: how often each record is drawn.")
    flags.DEFINE_string("warm_start", None, "A run of the same networks whose weights a fresh run begins with.")
    flags.DEFINE_enum(
        "export", "last", ["last", "best"], "Weights to export: the last, or those of the best validation."
    )
    flags.DEFINE_bool("onnx", False, "Also write the networks as RUN/export/onnx/NAME.onnx; wants crossfade[onnx].")
    flags.DEFINE_integer("seed", 0, "Initial weights and all draws depend on it.")


def list_plugins() -> str:
    """Every plugin with the first line of its docstring."""
    return "\n".join(f"{name:14} {plugins.summary(name)}" for name in plugins.available())


def list_keys(name: str) -> str:
    """Every key of a plugin's configuration."""
    rows = config.describe(plugins.load(name).Config)
    lines = [f"  {key} ({kind}) [{default}]\n      {meaning}" for key, kind, default, meaning in rows]
    return f"Keys of {name}, for --set=KEY=VALUE:\n\n" + "\n".join(lines)


def parse(argv: list[str]) -> list[str]:
    """Parses flags; answers --plugin=help and --plugin=NAME --help."""
    given = [a.partition("=")[2] for a in argv if a.startswith(("--plugin=", "-plugin="))]
    asked = not {"--help", "-h", "-help"}.isdisjoint(argv)
    if given and (asked or given[-1] == "help"):
        try:
            print(list_plugins() if given[-1] == "help" else list_keys(given[-1]))
        except ValueError as error:
            raise SystemExit(cli.complain(str(error))) from None
        raise SystemExit(0)
    return cli.parser(FLAGS, "pipelines.train", sys.modules[__name__].__doc__, EXAMPLE)(argv)


def main(argv: list[str]) -> int:
    """Trains; the exit code."""
    cli.need(FLAGS, "data_dir", "plugin", "run_dir")
    cli.no_more(argv)
    from pipelines.data import dataset, fingerprint, pairs, sample_weights
    from pipelines.export import onnx_model
    from pipelines.training import distribution, step_metrics, trainer

    if FLAGS.onnx:
        onnx_model.needs_extra()
    distribution.use_cores()
    data = dataset.open_records(FLAGS.data_dir)
    if FLAGS.sample_weights:
        data = dataclasses.replace(data, weights=sample_weights.read_weights(FLAGS.sample_weights, data.sources))
    run = resume.resolve_resume(FLAGS.run_dir, new_run(data))
    if plugins.load(run.plugin).BATCHES == "paired":
        print(pairs.describe_pairs(data), flush=True)
    if run.config["steps"] == 0:
        print(trainer.summary(run, data.spec))
        return 0
    strategy = distribution.strategy_of(FLAGS.strategy)
    writes = distribution.place_of(strategy)[0] == 0
    try:
        with run_directory.lock_run(FLAGS.run_dir) if writes else contextlib.nullcontext():
            if writes:
                run_directory.write_run(FLAGS.run_dir, run)
                fingerprint.write_training_files(FLAGS.run_dir, data.sources, initial_run_dir=run.warm_start)
            trained = trainer.Trainer(run, data, FLAGS.run_dir, strategy, trainer.Pace())
            values = trained.fit(exported=FLAGS.export)
            if FLAGS.onnx and writes:
                names = onnx_model.write(FLAGS.run_dir)
                print(f"as ONNX: {', '.join(names) or f'nothing, which {run.plugin} has no functions for'}")
    except (trainer.Diverged, trainer.WorkerLost) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    reached = f": {step_metrics.spoken(values)}" if values else ""
    print(f"trained {run.plugin} for {trained.step} steps{reached}; exported to {FLAGS.run_dir}/export")
    return 0


def new_run(data):
    """The run on records that the flags ask for."""
    from pipelines.data import fingerprint, sample_weights

    plugin_class = plugins.load(FLAGS.plugin)
    run = config.preset(plugin_class, FLAGS.preset, data.spec.kind)
    pairs = [*FLAGS.set, f"seed={FLAGS.seed}"]
    pairs += [f"{key}={FLAGS[key].value}" for key in ("steps", "batch_size") if FLAGS[key].value is not None]
    run = config.overridden(run, pairs)
    return run_directory.Run(
        plugin=FLAGS.plugin,
        preset=FLAGS.preset,
        config=config.to_json(run),
        data_dir=os.path.abspath(FLAGS.data_dir) if "://" not in FLAGS.data_dir else FLAGS.data_dir,
        spec=run_directory.describe_spec(data.spec),
        precision=FLAGS.precision,
        strategy=FLAGS.strategy,
        jit_compile=FLAGS.jit_compile,
        warm_start=FLAGS.warm_start or "",
        sample_weights=sample_weights.config_entry(FLAGS.sample_weights),
        versions=run_directory.versions(),
        records=fingerprint.records_fingerprint(data.spec, data.sources, getattr(run, "mels_from", "")),
    )


def run() -> None:
    """Entry point of `crossfade-train`."""
    define_flags()
    app.run(cli.guarded(main), flags_parser=parse)


if __name__ == "__main__":
    run()
