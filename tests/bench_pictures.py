"""How well pictures are translated where the truth is known: the second domain is the first, transformed.

  python -m tests.bench_pictures --pictures="digits/*/*.png" --output_dir=out/pictures --plugin=cut --transform=tinted

Pictures lie in one folder for each class. Half of those for training are the first domain as they are, the other
half, transformed, the second (with `--paired` all are both). Held-out pictures are translated through the scripts
and held against their transforms; a classifier that has only seen transformed pictures says their class.
What follows `--` goes to train.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import pathlib
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import PIL.Image
import PIL.ImageFilter
import tensorflow as tf

from models.metrics import image
from tests.jobs import script

HELD_OUT = 500


def tinted(picture: PIL.Image.Image) -> np.ndarray:
    """Thickened, inverted, and in sepia: `[height, width, 3]` uint8."""
    thick = np.asarray(picture.filter(PIL.ImageFilter.MaxFilter(3)), np.float32)
    return np.uint8((255 - thick)[..., None] * [1.0, 0.75, 0.45] + thick[..., None] * [0.1, 0.1, 0.35])


def outlined(picture: PIL.Image.Image) -> np.ndarray:
    """Only its outlines, in light green on dark blue."""
    thick = np.asarray(picture.filter(PIL.ImageFilter.MaxFilter(3)), np.float32)
    edge = (thick - np.asarray(picture, np.float32))[..., None] / 255
    return np.uint8(edge * [150, 250, 150] + (1 - edge) * [20, 20, 90])


def embossed(picture: PIL.Image.Image) -> np.ndarray:
    """In relief, lit from the upper left, in dull copper."""
    wide = np.pad(np.asarray(picture, np.float32), 1)
    slope = (wide[2:, 2:] - wide[:-2, :-2])[..., None] / 255
    return np.uint8(np.clip(np.array([140, 110, 90]) + slope * [110, 90, 70], 0, 255))


TRANSFORMS: dict[str, Callable[[PIL.Image.Image], np.ndarray]] = {
    "tinted": tinted,
    "outlined": outlined,
    "embossed": embossed,
}


def write(folder: pathlib.Path, paths: list[str], change: Callable | None) -> None:
    """The pictures of these files, changed or as they are, in colour."""
    for path in paths:
        out = folder / pathlib.Path(path).parent.name / pathlib.Path(path).name
        out.parent.mkdir(parents=True, exist_ok=True)
        picture = PIL.Image.open(path).convert("L")
        (PIL.Image.fromarray(change(picture)) if change else picture.convert("RGB")).save(out)


def read(folder: pathlib.Path, paths: list[str]) -> np.ndarray:
    """These files' pictures of that folder, in [-1, 1]."""
    names = [folder / pathlib.Path(path).parent.name / pathlib.Path(path).name for path in paths]
    return np.stack([np.asarray(PIL.Image.open(name).convert("RGB"), np.float32) for name in names]) / 127.5 - 1


def classifier(x: np.ndarray, labels: np.ndarray) -> keras.Model:
    """A small convolutional classifier of pictures."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input(x.shape[1:])])
    for channels in (32, 64):
        network.add(keras.layers.Conv2D(channels, 3, padding="same", activation="relu"))
        network.add(keras.layers.MaxPooling2D())
    for layer in (keras.layers.Flatten(), keras.layers.Dropout(0.3), keras.layers.Dense(int(labels.max()) + 1)):
        network.add(layer)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss)
    network.fit(x, labels, batch_size=64, epochs=8, verbose=0)
    return network


def main() -> None:
    """Prints a line of numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", required=True, metavar="GLOB")
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--transform", choices=TRANSFORMS, default="tinted")
    parser.add_argument("--paired", action="store_true")
    parser.add_argument("training", nargs="*", help="flags of train, after --")
    flags = parser.parse_args()
    out, change = flags.output_dir, TRANSFORMS[flags.transform]
    paths = list(np.random.default_rng(0).permutation(sorted(glob.glob(flags.pictures))))
    held_out, training = paths[:HELD_OUT], paths[HELD_OUT:]
    firsts, seconds = (training, training) if flags.paired else (training[::2], training[1::2])
    write(out / "plain", firsts, None)
    write(out / "changed", seconds, change)
    write(out / "held_out", held_out, None)
    write(out / "truth", held_out, change)
    domains = [f"--domain={name}={out / name}" for name in ("plain", "changed")]
    script("preprocess", *domains, f"--data_dir={out}/records", "--test_fraction=0", "--val_fraction=.02")
    taken = script(
        "train", f"--data_dir={out}/records", f"--run_dir={out}/run", f"--plugin={flags.plugin}", *flags.training
    )
    script(
        "translate", f"--run_dir={out}/run", f"--input={out}/held_out", f"--output_dir={out}/made", "--target=changed"
    )
    names = sorted({pathlib.Path(path).parent.name for path in paths})
    labels = np.array([names.index(pathlib.Path(path).parent.name) for path in held_out])
    write(out / "all_changed", training, change)
    learnt = np.array([names.index(pathlib.Path(path).parent.name) for path in training])
    judge = classifier(read(out / "all_changed", training), learnt)
    made, truth = (read(out / name, held_out) for name in ("made", "truth"))
    right = {name: float(np.mean(np.argmax(judge(x), -1) == labels)) for name, x in (("made", made), ("truth", truth))}
    similar = float(np.mean(image.ssim(tf.constant(made), tf.constant(truth))))
    facts = {"plugin": flags.plugin, "transform": flags.transform, "ssim": similar, "right": right["made"]}
    facts |= {"right_on_truth": right["truth"], "wall_s": taken[0], "cpu_s": taken[1]}
    print(json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in facts.items()}))
    grid = np.concatenate(
        [np.concatenate(read(out / name, held_out[:12]), axis=1) for name in ("held_out", "made", "truth")]
    )
    PIL.Image.fromarray(np.uint8((grid + 1) * 127.5)).resize((12 * 56, 3 * 56)).save(out / "grid.png")


if __name__ == "__main__":
    main()
