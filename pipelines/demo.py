"""Run all steps on a synthetic corpus: preprocess, train, translate, evaluate."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time

from absl import app, flags

from models.errors import UserError
from pipelines import cli, demo_corpus, progress

FLAGS = flags.FLAGS
EXAMPLE = "python -m pipelines.demo --output_dir=demo"
VOICES = {"low": "en-us+m3", "high": "en-us+f2"}
TRAINING_SENTENCES = 160  # of each voice, different ones
HELD_OUT_SENTENCES = 10  # the same of both voices
STEPS = 240


def define_flags() -> None:
    """Define the flags of this script."""
    flags.DEFINE_string("output_dir", None, "Output directory of corpus, records, run, converted speech and report.")
    flags.DEFINE_integer("steps", STEPS, "Number of training steps.", lower_bound=1)
    flags.DEFINE_integer("sentences", TRAINING_SENTENCES, "Number of training sentences for each voice.", lower_bound=4)
    flags.DEFINE_integer("seed", 0, "Random seed of the sentences and of training.")


def write_corpus(folder: str, count: int, seed: int) -> None:
    """Synthesize the corpus: in `training` different sentences of each voice, in `held_out` the same ones."""
    synthesizer = demo_corpus.SpeechSynthesizer()
    texts = demo_corpus.sentences(2 * count + HELD_OUT_SENTENCES, seed)
    training_texts = {"low": texts[:count], "high": texts[count : 2 * count]}
    for name, voice in VOICES.items():
        synthesizer.synthesize_folder(os.path.join(folder, "training", name), training_texts[name], voice)
        synthesizer.synthesize_folder(os.path.join(folder, "held_out", name), texts[2 * count :], voice)


def run_script(name: str, *arguments: str) -> None:
    """Print and run the command of a script.

    Raises:
      UserError: its exit code is not 0.
    """
    print(f"\n$ python -m pipelines.{name} {shlex.join(arguments)}", flush=True)
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", f"pipelines.{name}", *arguments], check=False)  # noqa: S603
    if done.returncode:
        raise UserError(f"{name} ended with exit code {done.returncode}")
    print(f"({progress.format_duration(time.monotonic() - began)})", flush=True)


def main(argv: list[str]) -> int:
    """Run the demo; return the exit code."""
    cli.require_flags(FLAGS, "output_dir")
    cli.refuse_extra_arguments(argv)
    out = FLAGS.output_dir
    corpus, records, held_out, run_dir = (os.path.join(out, n) for n in ("corpus", "records", "held_out", "run"))
    began = time.monotonic()
    print(f"synthesizing {FLAGS.sentences} training and {HELD_OUT_SENTENCES} held-out sentences of two voices")
    write_corpus(corpus, FLAGS.sentences, FLAGS.seed)

    def domains(part: str) -> list[str]:
        return [f"--domain={name}={os.path.join(corpus, part, name)}" for name in VOICES]

    seed = f"--seed={FLAGS.seed}"
    run_script("preprocess", *domains("training"), f"--data_dir={records}", "--test_fraction=0", seed)
    run_script(
        "preprocess", *domains("held_out"), f"--data_dir={held_out}", "--val_fraction=0", "--test_fraction=1", seed
    )
    training = [f"--steps={FLAGS.steps}", seed]
    run_script("train", f"--data_dir={records}", f"--run_dir={run_dir}", *training)
    for source, target in (("low", "high"), ("high", "low")):
        folder = os.path.join(corpus, "held_out", source)
        converted = os.path.join(out, "converted", f"{source}_to_{target}")
        run_script(
            "translate", f"--run_dir={run_dir}", f"--input={folder}", f"--output_dir={converted}", f"--target={target}"
        )
    evaluation = [f"--run_dir={run_dir}", f"--data_dir={held_out}", f"--output_dir={out}"]
    run_script("evaluate", *evaluation, "--external_metrics=none")  # they take a second or two per result
    print(
        f"\nfinished in {progress.format_duration(time.monotonic() - began)}; open {os.path.join(out, 'report.html')}"
    )
    return 0


def run() -> None:
    """Entry point of `crossfade-demo`."""
    define_flags()
    parse = cli.parser(FLAGS, "pipelines.demo", sys.modules[__name__].__doc__, EXAMPLE)
    app.run(cli.handle_errors(main), flags_parser=parse)


if __name__ == "__main__":
    run()
