"""TensorFlow datasets as domains: tiny ones, prepared here without a network."""

import json
import os
import pathlib
import re
import shutil
import sys

import numpy as np
import PIL.Image
import pytest
import scipy.io.wavfile
import store
import tensorflow as tf
import tensorflow_datasets
from testbed import script

from pipelines.beam import filesystem
from pipelines.data import cropping, dataset, domains, tfds_source

RATE_HZ = 8000
CORE, FEATURES = tensorflow_datasets.core, tensorflow_datasets.features
RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (12, 8, 12, 3), np.uint8)
SOUNDS = [RNG.integers(-9000, 9000, 900 + 100 * n) for n in range(4)]
IMAGE = FEATURES.Image(shape=(8, 12, 3))
LABEL = FEATURES.ClassLabel(names=["cat", "rock/pop", ".."])
AUDIO = FEATURES.Audio(sample_rate=RATE_HZ)


def pictures(images, **more):
    return {n: {"image": image, "label": n % 2, **more} for n, image in enumerate(images)}


DATASETS = {  # name: features, and the examples of each split
    "pictures": (
        {"image": IMAGE, "label": LABEL},
        {"train": pictures(PICTURES[:10]), "test": pictures(PICTURES[10:]), "odd": pictures(PICTURES[:1], label=-1)},
    ),
    "sounds": (
        {"audio": AUDIO, "label": LABEL, "mood": LABEL},
        {"train": {n: {"audio": x, "label": 0, "mood": 1} for n, x in enumerate(SOUNDS)}},
    ),
    "grey": (
        {"image": FEATURES.Image(shape=(8, 12, 1), dtype=np.uint16, encoding_format="png")},
        {"train": {0: {"image": np.uint16(256 * PICTURES[0, ..., :1].astype(int) + 7)}}},
    ),
    "floats": (
        {"audio": FEATURES.Audio(shape=(None, 2), dtype=np.float32, sample_rate=RATE_HZ), "name": FEATURES.Text()},
        {"train": {0: {"audio": RNG.uniform(-1, 1, (500, 2)).astype(np.float32), "name": "x"}}},
    ),
    "loud": ({"audio": AUDIO}, {"train": {0: {"audio": np.array([0, 40000])}}}),
    "none": ({"label": LABEL}, {"train": {0: {"label": 0}}}),
    "several": ({"image": IMAGE, "mask": IMAGE}, {"train": {0: {"image": PICTURES[0], "mask": PICTURES[1]}}}),
    "no_rate": ({"audio": FEATURES.Audio()}, {"train": {0: {"audio": SOUNDS[0]}}}),
    "real": (
        {"image": FEATURES.Image(shape=(8, 12, 1), dtype=np.float32)},
        {"train": {0: {"image": np.float32(PICTURES[0, ..., :1])}}},
    ),
    "bytes": (
        {"audio": FEATURES.Audio(sample_rate=RATE_HZ, dtype=np.uint8)},
        {"train": {0: {"audio": np.uint8(SOUNDS[0] % 256)}}},
    ),
}


def prepare(folder, name):
    """A dataset on disk, whose name TFDS knows from then on; its folder."""
    features, splits = DATASETS[name]
    table = FEATURES.FeaturesDict(features)
    fields = {
        "name": f"crossfade_{name}",
        "VERSION": CORE.Version("1.0.0"),
        "BUILDER_CONFIGS": [CORE.BuilderConfig(name="dry")] if name == "sounds" else [],
        "_info": lambda self: CORE.DatasetInfo(builder=self, features=table),
        "_split_generators": lambda self, _: {split: self._generate_examples(split) for split in splits},
        "_generate_examples": lambda self, split: iter(splits[split].items()),
    }
    made = type(f"Crossfade{name}", (CORE.GeneratorBasedBuilder,), fields)(data_dir=str(folder))
    made.download_and_prepare(download_config=tensorflow_datasets.download.DownloadConfig(try_download_gcs=False))
    return str(made.data_dir)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    return {name: prepare(folder, name) for name in DATASETS}


def export(data_dir, dataset_name, split="train", domain="a"):
    """The files that a domain becomes: path below its folder to bytes."""
    (made,) = domains.read_domains([f"{domain}=tfds:{dataset_name}/{split}"], str(data_dir))
    found = {}
    for path in [entry.path for entry in made.files]:
        with filesystem.open_file(path) as file:
            found[path.removeprefix(made.root)] = file.read()
    return found


def of_folder(data_dir):
    return sorted(str(path.relative_to(data_dir)) for path in pathlib.Path(data_dir).rglob("*") if path.is_file())


# ------------------------------------------------------------------ the files


def test_pictures_become_png_files_in_a_folder_for_each_class(prepared, tmp_path):
    export(tmp_path, prepared["pictures"])
    found = {}
    for path in (tmp_path / "sources" / "a").rglob("*.png"):
        with PIL.Image.open(path) as picture:
            found[np.asarray(picture).tobytes()] = path.parent.name
    assert found == {x.tobytes(): ["cat", "rock_pop"][n % 2] for n, x in enumerate(PICTURES[:10])}


def test_pictures_of_16_bits_keep_them(prepared, tmp_path):
    (path,) = export(tmp_path, prepared["grey"])
    with PIL.Image.open(tmp_path / "sources" / "a" / path) as picture:
        wanted = DATASETS["grey"][1]["train"][0]["image"][..., 0]
        np.testing.assert_array_equal(np.asarray(picture, np.uint16), wanted)


@pytest.mark.parametrize(("name", "dtype"), [("sounds", np.int16), ("floats", np.float32)])
def test_sounds_become_wav_files_of_the_same_samples(prepared, tmp_path, name, dtype):
    wanted = {example["audio"].astype(dtype).tobytes() for example in DATASETS[name][1]["train"].values()}
    found = set()
    for path in export(tmp_path, prepared[name]):
        rate_hz, samples = scipy.io.wavfile.read(tmp_path / "sources" / "a" / path)
        assert (rate_hz, samples.dtype) == (RATE_HZ, dtype) and "/" not in path
        found.add(samples.tobytes())
    assert found == wanted


def test_what_has_no_label_lies_in_a_folder_that_says_so(prepared, tmp_path):
    assert list(export(tmp_path, prepared["pictures"], "odd")) == [
        "unlabelled/crossfade_pictures-odd-00000-of-00001__0.png"
    ]


@pytest.mark.parametrize("number", [0, 1, 2, -1])
def test_a_class_may_have_any_name(number):
    name = tfds_source._class_folder(LABEL, number)
    assert "/" not in name and name.strip(".")


def test_a_file_is_named_for_its_example_whatever_the_slice(prepared, tmp_path):
    whole = export(tmp_path / "whole", prepared["pictures"])
    for split in ("train[:30%]", "train[3:]", "train[2:4]+train[7:]"):
        part = export(tmp_path / split.replace(":", ""), prepared["pictures"], split)
        assert part.items() < whole.items() and part
    assert not export(tmp_path / "test", prepared["pictures"], "test").keys() & whole.keys()


def test_examples_of_different_configurations_are_not_called_the_same(prepared, tmp_path):
    assert all(path.startswith("dry-crossfade_sounds-train-") for path in export(tmp_path, prepared["sounds"]))


def test_a_store_without_folders_gets_the_same_files(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "OBJECTS", {})
    wanted = export(tmp_path, prepared["pictures"])
    export("store://bucket/out", prepared["pictures"], "test")
    assert export("store://bucket/out", prepared["pictures"]) == wanted
    below = [path.removeprefix("store://bucket/out/") for path in store.OBJECTS]
    assert sorted(below) == of_folder(tmp_path)


# ------------------------------------------------------------------ once, whole or not at all


def test_a_second_run_takes_what_is_there(prepared, tmp_path, monkeypatch):
    first = export(tmp_path, prepared["pictures"])
    monkeypatch.setattr(tfds_source, "_import_tfds", lambda: pytest.fail("the dataset was opened again"))
    assert export(tmp_path, prepared["pictures"]) == first


def test_another_split_replaces_what_is_there(prepared, tmp_path):
    export(tmp_path, prepared["pictures"])
    export(tmp_path, prepared["sounds"], domain="b")
    test = export(tmp_path, prepared["pictures"], "test")
    assert len(test) == 2
    files = [path for path in of_folder(tmp_path / "sources") if path.startswith("a/")]
    assert files == sorted(f"a/{path}" for path in test)
    assert len(of_folder(tmp_path / "sources" / "b")) == len(SOUNDS)


def test_what_was_lost_is_written_again(prepared, tmp_path):
    first = export(tmp_path, prepared["pictures"])
    os.remove(tmp_path / "sources" / "a" / next(iter(first)))
    assert export(tmp_path, prepared["pictures"]) == first


def test_a_folder_that_holds_another_dataset_now_is_exported_anew(prepared, tmp_path):
    folder = tmp_path / "prepared"
    for name, examples in (("pictures", 10), ("sounds", 4)):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(prepared[name], folder)
        assert len(export(tmp_path, folder)) == examples


def png_until_the_disk_is_full(pictures):
    left, png = iter(range(pictures)), tfds_source._encode_png

    def failing(pixels):
        if next(left, None) is None:
            raise OSError("disk full")
        return png(pixels)

    return failing


@pytest.mark.parametrize("before", [None, "test"])
def test_an_export_that_was_cut_off_is_not_taken_for_whole(prepared, tmp_path, before):
    """Nor for the one that it was to replace, though as many files are there."""
    first = export(tmp_path, prepared["pictures"], before) if before else {}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(tfds_source, "_encode_png", png_until_the_disk_is_full(2))
        export(tmp_path, prepared["pictures"])
    files = of_folder(tmp_path / "sources")
    assert sum(path.endswith(".png") for path in files) == 2 and "a.json" not in files
    if before:
        assert export(tmp_path, prepared["pictures"], before) == first
    assert len(export(tmp_path, prepared["pictures"])) == 10
    assert sum(path.endswith(".png") for path in of_folder(tmp_path / "sources")) == 10


def test_files_that_no_command_exported_stay(prepared, tmp_path):
    path = tmp_path / "sources" / "a" / "mine.png"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(ValueError, match="mine.png exists and was not written by preprocess"):
        export(tmp_path, prepared["pictures"])
    assert of_folder(tmp_path / "sources") == ["a/mine.png"]


def test_the_home_directory_is_expanded_in_the_folder_of_a_dataset(prepared, tmp_path, monkeypatch):
    home, folder = os.path.split(prepared["pictures"])
    monkeypatch.setenv("HOME", home)
    assert len(export(tmp_path, f"~/{folder}")) == 10


def test_the_marker_says_what_was_exported(prepared, tmp_path):
    export(tmp_path, prepared["sounds"], "train[:2]")
    said = json.loads((tmp_path / "sources" / "a.json").read_text())
    assert said["dataset"] == prepared["sounds"] and said["split"] == "train[:2]"
    assert said["version"] == "crossfade_sounds/dry/1.0.0" and said["files"] == 2


# ------------------------------------------------------------------ which dataset


@pytest.mark.parametrize("name", ["crossfade_sounds", "crossfade_sounds/dry", "crossfade_sounds/dry/1.0.0"])
def test_a_dataset_is_found_by_its_name(prepared, tmp_path, monkeypatch, name):
    monkeypatch.setattr(CORE.constants, "DATA_DIR", prepared["sounds"].partition("/crossfade_sounds")[0])
    assert export(tmp_path / "name", name) == export(tmp_path / "folder", prepared["sounds"])


@pytest.mark.parametrize(
    ("name", "split", "complaint"),
    [
        ("pictures", "trian", "Unknown split 'trian'.*; did you mean train"),
        ("pictures", "zzz", "there are: odd, test, train"),
        ("pictures", "train[:x]", "Unrecognized split format: 'train\\[:x\\]'"),
        ("pictures", "train[:0]", "its split train\\[:0\\] has no examples"),
        ("loud", "train", "samples from 0 to 40000; wanted integers of 16 bits"),
        ("none", "train", "wanted exactly one feature that is an image or audio; there are none among label"),
        ("several", "train", "wanted exactly one .*; there are several \\(image, mask\\)"),
        ("no_rate", "train", "its feature audio has no sample rate"),
        ("real", "train", "has pixels of type float32; wanted uint8 or uint16"),
        ("bytes", "train", "has samples of type uint8; wanted signed integers or floats"),
    ],
)
def test_what_cannot_be_exported_is_refused(prepared, tmp_path, name, split, complaint):
    with pytest.raises(ValueError, match=complaint):
        export(tmp_path, prepared[name], split)
    assert not (tmp_path / "sources" / "a.json").exists()


@pytest.mark.parametrize(
    ("spelt", "nearest"),
    [
        ("mnst", "mnist, "),
        ("mnist/3.0.2", "mnist/3.0.1, mnist$"),
        ("mnist:9.9.9", "mnist/3.0.1, mnist$"),
        ("cycle_gan/horse_zebra", "cycle_gan/horse2zebra, "),
        ("PREPARED", "PREPARED/1.0.0$"),
        ("PREPARED/1.0.1", "PREPARED/1.0.0$"),
    ],
)
def test_an_unknown_dataset_is_answered_with_the_nearest(prepared, tmp_path, spelt, nearest):
    folder = os.path.dirname(prepared["pictures"])
    with pytest.raises(ValueError, match=f"; the nearest: {nearest.replace('PREPARED', folder)}"):
        export(tmp_path, spelt.replace("PREPARED", folder))


@pytest.mark.parametrize("flag", ["a=tfds:mnist", "a=tfds:/train", "a=tfds:mnist/", "a=tfds:"])
def test_a_dataset_without_split_is_refused(tmp_path, flag):
    with pytest.raises(ValueError, match=f"--domain={flag}; wanted tfds:DATASET/SPLIT, such as"):
        domains.read_domains([flag], str(tmp_path))


def test_two_datasets_in_one_domain_are_refused(prepared, tmp_path):
    flags = [f"a=tfds:{prepared['pictures']}/{split}" for split in ("train", "test")]
    with pytest.raises(ValueError, match="domain a: two TensorFlow datasets; wanted one; .* DATASET/train\\+test"):
        domains.read_domains(flags, str(tmp_path))
    assert len(export(tmp_path, prepared["pictures"], "train+test")) == 12


def test_without_tfds_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match=re.escape("pip install 'crossfade[tfds]'")):
        domains.read_domains(["a=tfds:mnist/train"], str(tmp_path))


def test_a_dataset_that_does_not_download_is_no_fault(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(CORE.constants, "DATA_DIR", str(tmp_path))
    monkeypatch.setattr(CORE.DatasetBuilder, "download_and_prepare", offline)
    with pytest.raises(ValueError, match="mnist/3.0.1 cannot be downloaded and prepared: ConnectionError: no route"):
        export(tmp_path, "mnist")


# ------------------------------------------------------------------ the whole way


def test_a_dataset_goes_the_way_of_any_folder(prepared, picture_folder, tmp_path):
    out = tmp_path / "out"
    flags = [f"--domain=a=tfds:{prepared['pictures']}/train[:6]", f"--domain=a={picture_folder}/plain"]
    flags += [f"--domain=b=tfds:{prepared['pictures']}/test", f"--data_dir={out}", "--kind=image"]
    done = script("preprocess", *flags, "--val_fraction=0", "--test_fraction=0")
    assert done.returncode == 0, done.stderr
    assert "24 sources, 24 examples, 0 failures" in done.stdout and "WARNING" not in done.stderr.upper()
    data = dataset.open_records(str(out))
    labels = {"a": set(), "b": set()}
    for domain, found in labels.items():
        for record in tf.data.TFRecordDataset(data.shards("train", domain)):
            found.add(cropping.parse_example(record, data.spec)["label"].numpy().decode())
    assert labels == {"a": {"cat", "rock_pop", "plain"}, "b": {"cat", "rock_pop"}}
    assert tensorflow_datasets.builder_from_directory(str(out)).info.splits["a_train"].num_examples == 22


def test_tensorflow_is_not_loaded_for_ordinary_files(picture_folder, tmp_path, in_new_process):
    in_new_process(
        "import sys; from pipelines import preprocess\n"
        "preprocess.define_flags()\n"
        "preprocess.FLAGS(sys.argv)\n"
        "assert preprocess.main(sys.argv[:1]) == 0\n"
        "loaded = [name for name in sys.modules if name.startswith('tensorflow')]\n"
        "assert not loaded, loaded",
        f"--domain=a={picture_folder}/plain",
        f"--data_dir={tmp_path}/out",
    )
