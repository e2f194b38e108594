"""How good pictures drawn from noise are: kernel distance (KID) of 2,048 samples to held-out pictures.

  python -m tests.bench_generation --pictures="digits/*/*.png" --output_dir=out/generation --plugin=wgan_gp

Pictures lie in one folder for each class. KID is on the features of a small classifier of the classes, trained on
the training pictures; beside it that of training pictures, and for models with an ELBO the last validation of it.
Writes `samples.png`. What follows `--` goes to train.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import PIL.Image

from models.metrics.generation import kernel_distance
from pipelines.inference.exported_model import Model
from pipelines.training import metrics_log
from tests.bench_pictures import classifier
from tests.jobs import script

SAMPLES = 2048
ROWS, COLUMNS = 8, 16


def read(paths: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Grey pictures in [-1, 1], and the numbers of their folders."""
    names = sorted({pathlib.Path(path).parent.name for path in paths})
    pixels = [np.asarray(PIL.Image.open(path).convert("L"), np.float32)[..., None] for path in paths]
    return np.stack(pixels) / 127.5 - 1, np.array([names.index(pathlib.Path(path).parent.name) for path in paths])


def main() -> None:
    """Prints a line of numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", required=True, metavar="GLOB")
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--plugin", required=True)
    parser.add_argument("training", nargs="*", help="flags of train, after --")
    flags = parser.parse_args()
    out = flags.output_dir
    paths = list(np.random.default_rng(0).permutation(sorted(glob.glob(flags.pictures))))
    held_out, training = paths[:SAMPLES], paths[SAMPLES:]
    for path in training:
        link = out / "training" / f"{pathlib.Path(path).parent.name}_{pathlib.Path(path).name}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(pathlib.Path(path).resolve())
    split = ["--set=channels=1", "--test_fraction=0", "--val_fraction=.05"]
    script("preprocess", f"--domain=all={out}/training", f"--data_dir={out}/records", *split)
    taken = script(
        "train", f"--data_dir={out}/records", f"--run_dir={out}/run", f"--plugin={flags.plugin}", *flags.training
    )
    drawn = Model(str(out / "run")).call("sample", count=np.int32(SAMPLES), seed=np.int32(0))
    judge = classifier(*read(training))
    features = keras.Model(judge.inputs, judge.layers[-2].output)
    wanted, known = (features.predict(read(some)[0], verbose=0) for some in (held_out, training[:SAMPLES]))
    facts = {"plugin": flags.plugin, "kid": kernel_distance(features.predict(drawn, verbose=0), wanted)}
    facts |= {"kid_of_training": kernel_distance(known, wanted), "wall_s": taken[0], "cpu_s": taken[1]}
    validations = [row for row in metrics_log.read_metrics(str(out / "run")) if row["split"] == "val"]
    facts |= {key: validations[-1][key] for key in ("negative_elbo", "diversity") if key in validations[-1]}
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in facts.items()}))
    shown = drawn[: ROWS * COLUMNS].reshape(ROWS, COLUMNS, *drawn.shape[1:3]).transpose(0, 2, 1, 3)
    grid = np.uint8((shown.reshape(ROWS * drawn.shape[1], -1) + 1) * 127.5)
    PIL.Image.fromarray(grid).resize((2 * grid.shape[1], 2 * grid.shape[0])).save(out / "samples.png")


if __name__ == "__main__":
    main()
