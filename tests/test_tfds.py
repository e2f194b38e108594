"""TensorFlow datasets as domains: tiny ones, prepared here without a network."""

import io
import json
import os
import re
import sys

import numpy as np
import PIL.Image
import pytest
import soundfile
import tensorflow_datasets

from pipelines import corpus, dataset, records, tfds, transforms

RATE_HZ = 8000
CLASSES = ("cat", "rock/pop")
PICTURES = {n: np.random.default_rng(n).integers(0, 256, (8, 12, 3), np.uint8) for n in range(10)}
SOUNDS = {n: np.random.default_rng(n).integers(-9000, 9000, 900 + 100 * n) for n in range(6)}
FEATURES = tensorflow_datasets.features
AUDIO = FEATURES.Audio(sample_rate=RATE_HZ)
IMAGE = FEATURES.Image(shape=(8, 12, 3))
LABEL = FEATURES.ClassLabel(names=CLASSES)
UNUSABLE = {
    "none": ({"label": LABEL}, "none among label"),
    "several": ({"image": IMAGE, "mask": IMAGE}, r"several \(image, mask\)"),
    "no_rate": ({"audio": FEATURES.Audio()}, "does not say its sample rate"),
    "float_pixels": ({"image": FEATURES.Image(shape=(8, 12, 1), dtype=np.float32)}, "pixels as float32"),
    "bytes_of_sound": ({"audio": FEATURES.Audio(sample_rate=RATE_HZ, dtype=np.uint8)}, "samples as uint8"),
}


def builder(name, features, splits, config=None):
    """A class of datasets, which TFDS knows by its name from now on."""

    def info(self):
        return tensorflow_datasets.core.DatasetInfo(builder=self, features=FEATURES.FeaturesDict(features))

    fields = {
        "VERSION": tensorflow_datasets.core.Version("1.0.0"),
        "BUILDER_CONFIGS": [tensorflow_datasets.core.BuilderConfig(name=config)] if config else [],
        "_info": info,
        "_split_generators": lambda self, _: {split: self._generate_examples(split) for split in splits},
        "_generate_examples": lambda self, split: iter(splits[split].items()),
    }
    return type(name, (tensorflow_datasets.core.GeneratorBasedBuilder,), fields)


def prepare(folder, made):
    offline = tensorflow_datasets.download.DownloadConfig(try_download_gcs=False)
    prepared = made(data_dir=str(folder))
    prepared.download_and_prepare(download_config=offline)
    return str(prepared.data_dir)


def labelled(key, values):
    return {n: {key: value, "label": n % 2} for n, value in values.items()}


PictureSet = builder(
    "PictureSet",
    {"image": IMAGE, "label": LABEL},
    {"train": labelled("image", PICTURES), "test": {0: {"image": PICTURES[0], "label": -1}}},
)
SoundSet = builder(
    "SoundSet",
    {"audio": AUDIO, "label": LABEL, "mood": LABEL},
    {"train": {n: {"audio": x, "label": 0, "mood": 1} for n, x in SOUNDS.items()}},
    config="dry",
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Both datasets, and where TFDS looks for the datasets that it knows by name."""
    folder = tmp_path_factory.mktemp("prepared")
    return folder, {"pictures": prepare(folder, PictureSet), "sounds": prepare(folder, SoundSet)}


def test_x(prepared, tmp_path):
    (domain,) = corpus.domains([f"a=tfds:{prepared[1]['pictures']}/train"], str(tmp_path))
    print(domain)
    print((tmp_path/"sources/a.json").read_text())
    print(transforms.match(domain.paths[0]))
    (domain,) = corpus.domains([f"b=tfds:{prepared[1]['sounds']}/train[:3]"], str(tmp_path))
    print(domain)
    print((tmp_path/"sources/b.json").read_text())
    print(transforms.match(domain.paths[0]))
    for s in ("trian", "train[", "train[90:]", "train[:0%]", "tset"):
        with pytest.raises(ValueError) as e: corpus.domains([f"b=tfds:{prepared[1]['sounds']}/{s}"], str(tmp_path))
        print(e.value)
    for s in (prepared[1]["pictures"][:-1], prepared[1]["pictures"][:-6], prepared[1]["sounds"][:-6],prepared[1]["sounds"]+"x", "mnst", "mnist/3.0.2", "cycle_gan/horze", "Weird", "/nowhere/x", "mnist:9.9.9", "sound_set/try"):
        with pytest.raises(ValueError) as e: corpus.domains([f"b=tfds:{s}/train"], str(tmp_path))
        print(e.value)
    for name in UNUSABLE:
        b= builder("Bad"+name, UNUSABLE[name][0], {"train": {}})
