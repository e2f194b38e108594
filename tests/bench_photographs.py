"""How well photographs are translated between two domains without pairs, several seeds.

  python -m tests.bench_photographs --photographs=horse2zebra --output_dir=out/photographs \\
      --viewer='python viewer.py --target={target} {rows}' -- --steps=4000

`--photographs` is a folder with `train/NAME/*` and `test/NAME/*`. For every pair of names and seed the script
preprocesses at `--side` pixels, trains (`--plugin`, by default that of `train`, and flags after `--`), and translates
the held-out pictures in all directions of the plugin. Each direction has a folder for each row of `evaluate`, and
`grid.png`: sources above results. The script prints the verdict of `evaluate` and what the command of `--viewer`
prints, whose fields are the folder of the target's held-out pictures and all rows as NAME=FOLDER.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

import argparse
import itertools
import pathlib
import shlex
import subprocess
from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image

from pipelines.evaluation import translation_quality
from pipelines.evaluation.examples import Example
from tests.jobs import all_pairs, script

GRID_COLUMNS, GRID_SIDE = 12, 96


def train(photographs: pathlib.Path, pair: Sequence[str], out: pathlib.Path, side: int, flags: list[str]):
    """Preprocess and train; returns the seconds of the training, and those of all cores."""
    size = [f"--set=height={side}", f"--set=width={side}"]
    for part, fractions in (
        ("train", ["--val_fraction=.02", "--test_fraction=0"]),
        ("test", ["--val_fraction=0", "--test_fraction=1"]),
    ):
        domains = [f"--domain={name}={photographs / part / name}" for name in pair]
        script("preprocess", *domains, f"--data_dir={out / part}", *fractions, *size)
    return script("train", f"--data_dir={out / 'train'}", f"--run_dir={out / 'run'}", *flags)


def to_bytes(features: np.ndarray) -> np.ndarray:
    """Pixels in [-1, 1] as uint8, `[height, width, 3]`."""
    pixels = np.uint8(np.round((np.clip(features, -1, 1) + 1) * 127.5))
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels


def write_row(folder: pathlib.Path, examples: Sequence[Example]) -> None:
    """A row as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for example in examples:
        PIL.Image.fromarray(to_bytes(example.features)).save(folder / f"{pathlib.Path(example.stem).name}.png")


def write_grid(path: pathlib.Path, rows: Mapping[str, Sequence[Example]]) -> None:
    """Sources above results, of pictures that are spread over all."""
    chosen = np.linspace(0, len(rows["model"]) - 1, GRID_COLUMNS).astype(int)
    lines = [np.concatenate([to_bytes(rows[name][n].features) for n in chosen], axis=1) for name in ("no_op", "model")]
    PIL.Image.fromarray(np.concatenate(lines)).resize((GRID_COLUMNS * GRID_SIDE, 2 * GRID_SIDE)).save(path)


def view(command: str, out: pathlib.Path, target: str) -> str:
    """Output of the viewer on all rows of a direction."""
    rows = " ".join(f"{path.name}={path}" for path in sorted(out.iterdir()) if path.is_dir())
    filled = shlex.split(command.format(target=target, rows=rows))
    return subprocess.run(filled, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Every pair and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=pathlib.Path, required=True)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--pair", action="append", metavar="A,B", help="default: all pairs of the folder")
    parser.add_argument("--side", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--seed", action="append", type=int, help="default: 0, 1 and 2")
    parser.add_argument("--viewer", default="", metavar="COMMAND")
    parser.add_argument("--plugin", default="")
    parser.add_argument("training", nargs="*", help="flags of train, after --")
    flags = parser.parse_args()
    pairs = all_pairs(flags.photographs / "train", flags.pair)
    plugin = [f"--plugin={flags.plugin}"] if flags.plugin else []
    for pair, seed in itertools.product(pairs, flags.seed or (0, 1, 2)):
        out = flags.output_dir / "_".join(pair) / f"seed_{seed}"
        training = [f"--seed={seed}", *plugin, *flags.training]
        wall_s, cpu_s = train(flags.photographs, pair, out, flags.side, training)
        evaluator = translation_quality.Evaluator(str(out / "run"), str(out / "test"))
        classifier, scores = evaluator.train_classifier()
        accuracy = min(scores["accuracy"].values())
        for source, target in evaluator.model.directions():
            direction = evaluator.evaluate_direction(source, target, classifier, accuracy)
            folder = out / f"{source}_to_{target}"
            for row, examples in direction.examples.items():
                write_row(folder / row, examples)
            write_grid(folder / "grid.png", direction.examples)
            title = f"{source} to {target}, seed {seed}: trained in {wall_s:.0f} s ({cpu_s:.0f} of CPU)"
            print(f"{title}; {direction.verdict.sentence()}", flush=True)
            if flags.viewer:
                print(view(flags.viewer, folder, str(flags.photographs / "test" / target)), flush=True)


if __name__ == "__main__":
    main()
