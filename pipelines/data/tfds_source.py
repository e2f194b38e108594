"""TensorFlow datasets as folders: the examples of `tfds:DATASET/SPLIT`, written once as ordinary files.

From there on everything goes the normal way, so a worker needs no TensorFlow; it is loaded here,
and only where such a domain is named and its files are not there yet.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
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
from pipelines import config, path_patterns
from pipelines.beam import filesystem
from pipelines.data import file_listing, generated_sources
from pipelines.progress import Progress

PREFIX = "tfds:"
INFO_FILE = "dataset_info.json"  # in the folder of every prepared dataset
WRITER_THREADS = 8  # files written at a time: a remote store takes its time for each
UNLABELLED = "unlabelled"  # TFDS says -1 where a split has no labels
VERSION = re.compile(r"/(?=[\d*]+\.[\d*]+\.[\d*]+$)")  # TFDS itself wants a colon before it


def export_split(pattern: str, domain: str, data_dir: str) -> str:
    """The examples of a split as files below ``DATA_DIR/sources/DOMAIN``, written unless they are there already.

    A file's name is the example's id in the dataset, its folder the class where there is exactly one class label.

    Args:
      pattern: ``tfds:DATASET/SPLIT``. DATASET is a name that TFDS knows, with its configuration or
        version, or the folder of a prepared dataset; SPLIT is what follows the last slash.
      domain: its name.
      data_dir: where the records will be.

    Returns:
      The glob that names the files.

    Raises:
      UserError: not of that form, no such dataset or split, no picture or sound in it or several,
        or TFDS is not installed.
    """
    dataset, _, split = pattern.removeprefix(PREFIX).rpartition("/")
    if not dataset or not split:
        raise UserError(f"--domain={domain}={pattern}; wanted tfds:DATASET/SPLIT, such as tfds:mnist/train[:10%]")
    folder = posixpath.join(data_dir, "sources", domain)
    dataset = path_patterns.expand_user(dataset)
    wanted = {"dataset": dataset, "split": split, "fingerprint": _fingerprint(dataset)}
    suffix = _existing_suffix(folder, wanted) or _write_examples(_open_builder(dataset), split, folder, wanted)
    return f"{path_patterns.escape(folder)}/**{suffix}"


def _fingerprint(dataset: str) -> str:
    """Another one where a dataset was prepared anew in the same folder; nothing for a name."""
    path = posixpath.join(dataset, INFO_FILE)
    info = filesystem.read_text(path) if filesystem.exists(path) else ""
    return hashlib.blake2b(info.encode(), digest_size=8).hexdigest() if info else ""


def _existing_suffix(folder: str, wanted: dict) -> str | None:
    """The ending of the files that an earlier, complete export of the same split left, or None."""
    facts = generated_sources.read_marker(folder)
    if facts is None or {**facts, **wanted} != facts or facts["files"] != len(file_listing.list_tree(folder)):
        return None
    return facts["suffix"]


def _write_examples(builder, split: str, folder: str, wanted: dict) -> str:
    """Writes the examples, then the marker; the ending of the files."""
    tfds, info = _import_tfds(), builder.info
    key, suffix, encode = _encoding(info)
    total = _split_info(info, split).num_examples
    if not total:
        raise UserError(f"{info.full_name}: its split {split} holds no examples")
    generated_sources.begin_folder(folder)
    labels = [name for name, feature in info.features.items() if isinstance(feature, tfds.features.ClassLabel)]
    label = labels[0] if len(labels) == 1 else None

    def write(example: dict) -> None:
        stem = example["tfds_id"].decode().replace(".tfrecord", "").replace("/", "-")
        name = f"{info.config_name}-{stem}" if info.config_name else stem
        place = _class_folder(info.features[label], example[label]) if label else ""
        with filesystem.new_file(posixpath.join(folder, place, name + suffix)) as file:
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
    facts = {**wanted, "version": info.full_name, "suffix": suffix, "files": len(file_listing.list_tree(folder))}
    generated_sources.finish_folder(folder, facts)
    return suffix


def _class_folder(feature, number: int) -> str:
    """The folder of a class: its name, but for what no folder may be called."""
    name = feature.int2str(int(number)).replace("/", "_") if number >= 0 else UNLABELLED
    return name if name.strip(".") else f"_{name}"


def _import_tfds():
    """`tensorflow_datasets`, loaded now."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # TFDS uses what TensorFlow deprecates
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(f"tfds: wants TensorFlow Datasets; pip install 'crossfade[tfds]' ({error})") from None
    return tensorflow_datasets


def _open_builder(dataset: str):
    """The builder of a dataset that is prepared, or is now."""
    tfds = _import_tfds()
    if filesystem.exists(posixpath.join(dataset, INFO_FILE)):
        return tfds.builder_from_directory(dataset)
    try:
        builder = tfds.builder(VERSION.sub(":", dataset))
    except (ValueError, AssertionError, ImportError):  # each for another part of the name
        near = difflib.get_close_matches(dataset, _candidate_names(dataset), n=3, cutoff=0.0)
        what = "neither a dataset's name nor the folder of a prepared one"
        raise UserError(f"tfds:{dataset}: {what}; the nearest: {', '.join(near)}") from None
    try:
        builder.download_and_prepare()
    except Exception as error:  # whatever a dataset's own code meets on the way
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{builder.info.full_name} could not be downloaded and prepared: {reason}") from error
    return builder


def _candidate_names(dataset: str) -> list[str]:
    """Names that could have been meant: prepared folders nearby, what the dataset comes as, or all datasets."""
    tfds = _import_tfds()
    places = [place for place in (dataset, posixpath.dirname(dataset)) if place]
    paths = [
        path for place in places for path in file_listing.glob_files(f"{path_patterns.escape(place)}/*/{INFO_FILE}")
    ]
    names = tfds.list_builders(with_community_datasets=False)
    name = re.split("[/:]", dataset)[0]
    if name in names:
        builder = tfds.builder_cls(name)
        names = [name, *(f"{name}/{which}" for which in (*builder.builder_configs, builder.VERSION) if which)]
    return [posixpath.dirname(path) for path in paths] or names


def _split_info(info, split: str):
    try:
        return info.splits[split]
    except ValueError as error:
        reason = str(error).splitlines()[-1].rstrip(".")
        raise UserError(f"{info.full_name}: {reason}; {config.suggest(split, info.splits)}") from None


def _encoding(info) -> tuple[str, str, Callable[[np.ndarray], bytes]]:
    """Name of the one feature that is a picture or sound, ending of its files, and their bytes of a value."""
    tfds = _import_tfds()
    candidates = {k: f for k, f in info.features.items() if isinstance(f, (tfds.features.Image, tfds.features.Audio))}
    if len(candidates) != 1:
        what = f"several ({', '.join(candidates)})" if candidates else f"none among {', '.join(info.features)}"
        raise UserError(f"{info.full_name}: wanted exactly one feature that is an image or audio; there are {what}")
    ((key, feature),) = candidates.items()
    kind, about = np.dtype(feature.np_dtype), f"{info.full_name}: its feature {key}"
    if isinstance(feature, tfds.features.Image):
        if kind not in (np.uint8, np.uint16):
            raise UserError(f"{about} holds pixels as {kind}; wanted uint8 or uint16")
        return key, ".png", _encode_png
    if not feature.sample_rate:
        raise UserError(f"{about} does not say its sample rate; wanted one that does")
    if kind.kind not in "if":
        raise UserError(f"{about} holds samples as {kind}; wanted signed integers or floats")
    return key, ".wav", functools.partial(_encode_wav, rate_hz=feature.sample_rate)


def _encode_png(pixels: np.ndarray) -> bytes:
    import tensorflow as tf

    return tf.io.encode_png(pixels).numpy()


def _encode_wav(samples: np.ndarray, rate_hz: int) -> bytes:
    """A WAV file of `[samples]` or `[samples, channels]`: 16 bits of integers, floats as they are.

    SciPy writes it, because libsndfile puts the time of day into files of floats.
    """
    whole = np.issubdtype(samples.dtype, np.integer)
    if whole and len(samples) and not -32768 <= samples.min() <= samples.max() <= 32767:
        raise UserError(f"samples from {samples.min()} to {samples.max()}; wanted integers of 16 bits")
    file = io.BytesIO()
    scipy.io.wavfile.write(file, rate_hz, samples.astype(np.int16 if whole else np.float32))
    return file.getvalue()
