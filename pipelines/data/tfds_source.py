"""TensorFlow datasets as folders: the examples of `tfds:DATASET/SPLIT`, written once as ordinary files.

After that they are files like any others, so that a Beam worker needs no TensorFlow; it is imported here, and only if
such a domain is named and its files do not exist yet.
"""

from __future__ import annotations

import difflib
import functools
import io
import itertools
import logging
import os
import posixpath
import re
from collections.abc import Callable
from concurrent import futures

import numpy as np
import scipy.io.wavfile

from models.errors import UserError
from pipelines import config, path_patterns, stable_hash
from pipelines.beam import filesystem
from pipelines.data import file_listing, generated_sources
from pipelines.progress import Progress

PREFIX = "tfds:"
INFO_FILE = "dataset_info.json"  # in the folder of every prepared dataset
WRITER_THREADS = 8  # parallel writes, because of the latency of remote stores
UNLABELLED = "unlabelled"  # folder of examples whose label is -1: their split has no labels
VERSION = re.compile(r"/(?=[\d*]+\.[\d*]+\.[\d*]+$)")  # TFDS itself separates the version by a colon


def export_split(pattern: str, domain: str, data_dir: str) -> str:
    """Write the examples of a split as files below ``DATA_DIR/sources/DOMAIN``, unless they exist already.

    The name of a file is the id of the example in the dataset; its folder is the class if there is exactly one label.

    Args:
      pattern: ``tfds:DATASET/SPLIT``. DATASET is the name of a dataset of TFDS, with configuration or version, or the
        folder of a prepared dataset; SPLIT is the part after the last slash.
      domain: name of the domain.
      data_dir: data directory of the records.

    Returns:
      The glob of the files.

    Raises:
      UserError: the pattern is not of that form, there is no such dataset or split, it has not exactly one image or
        audio feature, or TFDS is not installed.
    """
    dataset, _, split = pattern.removeprefix(PREFIX).rpartition("/")
    if not dataset or not split:
        raise UserError(f"--domain={domain}={pattern}; wanted tfds:DATASET/SPLIT, such as tfds:mnist/train[:10%]")
    folder = posixpath.join(data_dir, "sources", domain)
    dataset = path_patterns.expand_user(dataset)
    request = {"dataset": dataset, "split": split, "fingerprint": _fingerprint(dataset)}
    suffix = _existing_suffix(folder, request) or _write_examples(_open_builder(dataset), split, folder, request)
    return f"{path_patterns.escape(folder)}/**{suffix}"


def _fingerprint(dataset: str) -> str:
    """Return a hash of the metadata of a prepared dataset, which changes if it is prepared again; empty for a name."""
    path = posixpath.join(dataset, INFO_FILE)
    info = filesystem.read_text(path) if filesystem.exists(path) else ""
    return stable_hash.digest(info.encode()) if info else ""


def _existing_suffix(folder: str, request: dict) -> str | None:
    """Return the file extension of a complete export of the same split, or None."""
    marker = generated_sources.read_marker(folder)
    if marker is None or {**marker, **request} != marker or marker["files"] != len(file_listing.list_tree(folder)):
        return None
    return marker["suffix"]


def _write_examples(builder, split: str, folder: str, request: dict) -> str:
    """Write the examples, then the marker; return the file extension."""
    tfds, info = _import_tfds(), builder.info
    key, suffix, encode = _encoding(info)
    total = _split_info(info, split).num_examples
    if not total:
        raise UserError(f"{info.full_name}: its split {split} has no examples")
    generated_sources.begin_folder(folder)
    labels = [name for name, feature in info.features.items() if isinstance(feature, tfds.features.ClassLabel)]
    label = labels[0] if len(labels) == 1 else None

    def write(example: dict) -> None:
        stem = example["tfds_id"].decode().replace(".tfrecord", "").replace("/", "-")
        name = f"{info.config_name}-{stem}" if info.config_name else stem
        class_folder = _class_folder(info.features[label], example[label]) if label else ""
        with filesystem.new_file(posixpath.join(folder, class_folder, name + suffix)) as file:
            file.write(encode(example[key]))

    data = builder.as_dataset(
        split=split,
        decoders=tfds.decode.PartialDecoding({name: True for name in (key, label) if name}),
        read_config=tfds.ReadConfig(add_tfds_id=True, try_autocache=False),
    )
    progress = Progress(f"read {info.full_name} {split}", total, "examples")
    examples, done = iter(tfds.as_numpy(data)), 0
    with futures.ThreadPoolExecutor(WRITER_THREADS) as pool:
        while chunk := list(itertools.islice(examples, 8 * WRITER_THREADS)):
            done += len(list(pool.map(write, chunk)))
            progress.show(done)
    progress.close()
    marker = {**request, "version": info.full_name, "suffix": suffix, "files": len(file_listing.list_tree(folder))}
    generated_sources.finish_folder(folder, marker)
    return suffix


def _class_folder(feature, number: int) -> str:
    """Return the folder of a class: its name, with characters replaced that a folder name cannot have."""
    name = feature.int2str(int(number)).replace("/", "_") if number >= 0 else UNLABELLED
    return name if name.strip(".") else f"_{name}"


def _import_tfds():
    """Import `tensorflow_datasets`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # TFDS uses what TensorFlow deprecates
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(f"tfds: requires TensorFlow Datasets; pip install 'crossfade[tfds]' ({error})") from None
    return tensorflow_datasets


def _open_builder(dataset: str):
    """Return the builder of a dataset; downloads and prepares it if necessary."""
    tfds = _import_tfds()
    if filesystem.exists(posixpath.join(dataset, INFO_FILE)):
        return tfds.builder_from_directory(dataset)
    try:
        builder = tfds.builder(VERSION.sub(":", dataset))
    except (ValueError, AssertionError, ImportError):  # depending on the wrong part of the name
        near = difflib.get_close_matches(dataset, _candidate_names(dataset), n=3, cutoff=0.0)
        problem = "neither a dataset's name nor the folder of a prepared one"
        raise UserError(f"tfds:{dataset}: {problem}; the nearest: {', '.join(near)}") from None
    try:
        builder.download_and_prepare()
    except Exception as error:  # the code of a dataset raises errors of many types
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{builder.info.full_name} cannot be downloaded and prepared: {reason}") from error
    return builder


def _candidate_names(dataset: str) -> list[str]:
    """Return names that may be meant: prepared folders nearby, configurations and versions, or all datasets."""
    tfds = _import_tfds()
    folders = [folder for folder in (dataset, posixpath.dirname(dataset)) if folder]
    paths = [
        path for folder in folders for path in file_listing.glob_files(f"{path_patterns.escape(folder)}/*/{INFO_FILE}")
    ]
    names = tfds.list_builders(with_community_datasets=False)
    name = re.split("[/:]", dataset)[0]
    if name in names:
        builder = tfds.builder_cls(name)
        names = [name, *(f"{name}/{variant}" for variant in (*builder.builder_configs, builder.VERSION) if variant)]
    return [posixpath.dirname(path) for path in paths] or names


def _split_info(info, split: str):
    try:
        return info.splits[split]
    except ValueError as error:
        reason = str(error).splitlines()[-1].rstrip(".")
        raise UserError(f"{info.full_name}: {reason}; {config.suggest(split, info.splits)}") from None


def _encoding(info) -> tuple[str, str, Callable[[np.ndarray], bytes]]:
    """Return the name of the only image or audio feature, the extension of its files, and the encoder."""
    tfds = _import_tfds()
    candidates = {k: f for k, f in info.features.items() if isinstance(f, (tfds.features.Image, tfds.features.Audio))}
    if len(candidates) != 1:
        count = f"several ({', '.join(candidates)})" if candidates else f"none among {', '.join(info.features)}"
        raise UserError(f"{info.full_name}: wanted exactly one feature that is an image or audio; there are {count}")
    ((key, feature),) = candidates.items()
    dtype, feature_name = np.dtype(feature.np_dtype), f"{info.full_name}: its feature {key}"
    if isinstance(feature, tfds.features.Image):
        if dtype not in (np.uint8, np.uint16):
            raise UserError(f"{feature_name} has pixels of type {dtype}; wanted uint8 or uint16")
        return key, ".png", _encode_png
    if not feature.sample_rate:
        raise UserError(f"{feature_name} has no sample rate; wanted a dataset with one")
    if dtype.kind not in "if":
        raise UserError(f"{feature_name} has samples of type {dtype}; wanted signed integers or floats")
    return key, ".wav", functools.partial(_encode_wav, rate_hz=feature.sample_rate)


def _encode_png(pixels: np.ndarray) -> bytes:
    import tensorflow as tf

    return tf.io.encode_png(pixels).numpy()


def _encode_wav(samples: np.ndarray, rate_hz: int) -> bytes:
    """Encode `[samples]` or `[samples, channels]` as WAV: integers as 16 bits, floats as they are.

    SciPy writes the file, because libsndfile writes the current time into files of floats.
    """
    is_integer = np.issubdtype(samples.dtype, np.integer)
    if is_integer and len(samples) and not -32768 <= samples.min() <= samples.max() <= 32767:
        raise UserError(f"samples from {samples.min()} to {samples.max()}; wanted integers of 16 bits")
    file = io.BytesIO()
    scipy.io.wavfile.write(file, rate_hz, samples.astype(np.int16 if is_integer else np.float32))
    return file.getvalue()
