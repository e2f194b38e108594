"""The format of the records: names, types, bytes on disk, and the JSON files that TFDS reads.

Nothing here needs TensorFlow, so that a Beam worker can write records without loading it: the messages of
`tf.train.Example` are declared in a private descriptor pool. `tfds.builder_from_directory` opens the directory.
"""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Iterable, Iterator, Mapping

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FEATURE_NAME = {"audio": "log_mel", "image": "image"}
DTYPE = {"audio": "float16", "image": "uint8"}  # of samples too: quantisation noise at -77 dB, no clipping above 1
TEXT_FEATURES = ("id", "domain", "label")  # label: by a list, or the name of the folder of the file
INTEGER_FEATURES = ("segment", "active")  # index of the record in a long recording; active frames
WAVEFORM_FEATURE = "waveform"  # samples of speech, if stored
DATASET_NAME = "crossfade"  # in dataset_info.json
SHARD_BYTES = 128 << 20
SEGMENT_FRAMES = 1024  # longer recordings become several records


def shard_name(domain: str, split: str, shard: int, shards: int) -> str:
    """Return the name of a shard file in TFDS's format.

    >>> shard_name("a", "train", 0, 2)
    'a-train.tfrecord-00000-of-00002'
    """
    return f"{domain}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"


def shard_count(examples: int, shape: tuple[int | None, ...]) -> int:
    """Return the number of shards of about `SHARD_BYTES`; an example of speech counts with the maximum length.

    >>> shard_count(100, (None, 80)), shard_count(10**6, (64, 64, 3))
    (1, 92)
    """
    example_bytes = 2 * SEGMENT_FRAMES * shape[1] if shape[0] is None else int(np.prod(shape))
    return max(1, round(examples * example_bytes / SHARD_BYTES))


@functools.cache
def _example_class():
    """Return `tf.train.Example`, declared in a private pool: TensorFlow's own would clash in the default pool."""
    file = descriptor_pb2.FileDescriptorProto(name="crossfade/example.proto", package="tensorflow", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    lists = {"BytesList": field.TYPE_BYTES, "FloatList": field.TYPE_FLOAT, "Int64List": field.TYPE_INT64}
    for name, kind in lists.items():
        file.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=field.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, key) in enumerate(zip(lists, ("bytes_list", "float_list", "int64_list"), strict=True), start=1):
        _add(feature, key, number, f".tensorflow.{name}", oneof_index=0)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    _add(entry, "value", 2, ".tensorflow.Feature")
    _add(features, "feature", 1, ".tensorflow.Features.FeatureEntry", label=field.LABEL_REPEATED)
    _add(file.message_type.add(name="Example"), "features", 1, ".tensorflow.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def _add(message, name: str, number: int, type_name: str, **options) -> None:
    field = descriptor_pb2.FieldDescriptorProto
    options.setdefault("label", field.LABEL_OPTIONAL)
    message.field.add(name=name, number=number, type=field.TYPE_MESSAGE, type_name=type_name, **options)


def encode_example(
    kind: str,
    array: np.ndarray,
    texts: Mapping[str, str],
    segment: int = 0,
    active: int = 1,
    *,
    waveform: np.ndarray | None = None,
) -> bytes:
    """Return a serialised `tf.train.Example`.

    Args:
      kind: "audio" or "image".
      array: `[frames, mels]` or `[height, width, channels]`; stored as raw bytes, speech in half precision.
      texts: values of `TEXT_FEATURES`.
      segment: index of the record in a long recording.
      active: number of its active frames.
      waveform: samples of speech, `[frames * hop_length]`, frame `t` centred on sample `t * hop_length`; None to store
        none.
    """
    example = _example_class()()
    feature = example.features.feature
    arrays = {FEATURE_NAME[kind]: array} | ({} if waveform is None else {WAVEFORM_FEATURE: waveform})
    for name, values in arrays.items():
        feature[name].bytes_list.value.append(np.ascontiguousarray(values, np.dtype(DTYPE[kind])).tobytes())
    for name in TEXT_FEATURES:
        feature[name].bytes_list.value.append(texts[name].encode())
    for name, number in zip(INTEGER_FEATURES, (segment, active), strict=True):
        feature[name].int64_list.value.append(number)
    return example.SerializeToString(deterministic=True)


def frame_record(record: bytes) -> bytes:
    """Return a record in TFRecord framing: length, its checksum, bytes, their checksum."""
    length = struct.pack("<Q", len(record))
    return length + _masked_crc(length) + record + _masked_crc(record)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def features_json(kind: str, shape: tuple[int | None, ...], *, waveforms: bool = False) -> dict:
    """Return `features.json` in TFDS's format; `shape` is that of an example, None for a variable dimension."""
    prefix = "tensorflow_datasets.core.features"
    features = {}
    for name, sizes in {
        FEATURE_NAME[kind]: shape,
        **({WAVEFORM_FEATURE: (None,)} if waveforms else {}),
    }.items():
        dimensions = [str(-1 if size is None else size) for size in sizes]
        tensor = {"shape": {"dimensions": dimensions}, "dtype": DTYPE[kind], "encoding": "bytes"}
        features[name] = {"pythonClassName": f"{prefix}.tensor_feature.Tensor", "tensor": tensor}
    for name in INTEGER_FEATURES:
        scalar = {"shape": {}, "dtype": "int64", "encoding": "none"}
        features[name] = {"pythonClassName": f"{prefix}.scalar.Scalar", "tensor": scalar}
    for name in TEXT_FEATURES:
        features[name] = {"pythonClassName": f"{prefix}.text_feature.Text", "text": {}}
    return {"pythonClassName": f"{prefix}.features_dict.FeaturesDict", "featuresDict": {"features": features}}


def dataset_info_json(shards: Mapping[tuple[str, str], list[tuple[int, int]]]) -> dict:
    """Return `dataset_info.json` in TFDS's format.

    Args:
      shards: (examples, bytes) of each shard by (domain, split). A TFDS split is `domain_split`.
    """
    splits = [
        {
            "name": f"{domain}_{split}",
            "filepathTemplate": f"{domain}-{split}.tfrecord-{{SHARD_X_OF_Y}}",
            "shardLengths": [str(examples) for examples, _ in sizes],
            "numBytes": str(sum(size for _, size in sizes)),
        }
        for (domain, split), sizes in sorted(shards.items())
    ]
    return {"name": DATASET_NAME, "version": "1.0.0", "fileFormat": "tfrecord", "splits": splits}


def json_lines(rows: Iterable[Mapping]) -> Iterator[str]:
    r"""Return rows as JSON lines with sorted keys.

    >>> list(json_lines([{"b": 1, "a": "é"}]))
    ['{"a": "é", "b": 1}\n']
    """
    return (json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows)
