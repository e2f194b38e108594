"""The records as one table: names, types, bytes on disk, and the JSON files beside them.

Nothing here needs TensorFlow, so a Beam worker can write records without loading it: the messages
of `tf.train.Example` are declared in a pool of their own. The folder is one that
`tfds.builder_from_directory` opens.
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
DTYPE = {"audio": "float16", "image": "uint8"}  # samples too: 77 dB under them, and nothing above 1 is clipped
TEXT_FEATURES = ("id", "domain", "label")  # label: the name of the folder that the file lies in
INTEGER_FEATURES = ("segment", "active")  # the part of a long recording; frames that sound
WAVEFORM_FEATURE = "waveform"  # of speech, where it is kept
DATASET_NAME = "crossfade"  # in dataset_info.json
SHARD_BYTES = 128 << 20
SEGMENT_FRAMES = 1024  # longer recordings become several records


def shard_name(domain: str, split: str, shard: int, shards: int) -> str:
    """Name of a shard file, as TFDS spells it.

    >>> shard_name("a", "train", 0, 2)
    'a-train.tfrecord-00000-of-00002'
    """
    return f"{domain}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"


def shard_count(examples: int, shape: tuple[int | None, ...]) -> int:
    """Shards of about `SHARD_BYTES` for so many examples of a shape, speech at its longest.

    >>> shard_count(100, (None, 80)), shard_count(10**6, (64, 64, 3))
    (1, 92)
    """
    each = 2 * SEGMENT_FRAMES * shape[1] if shape[0] is None else int(np.prod(shape))
    return max(1, round(examples * each / SHARD_BYTES))


@functools.cache
def _example_class():
    """`tf.train.Example`, declared in a private pool: TensorFlow's own would clash in the default one."""
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
    """A serialised `tf.train.Example`.

    Args:
      kind: "audio" or "image".
      array: `[frames, mels]` or `[height, width, channels]`; stored raw, speech in half precision.
      texts: the values of `TEXTS`.
      segment: which part of a long recording this is.
      active: frames of it that sound.
      waveform: the samples that speech is of, `[frames * hop_length]`, frame `t` centred on sample
        `t * hop_length`; None where they are not kept.
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
    """A record as it stands in a TFRecord file: length, its checksum, bytes, their checksum."""
    length = struct.pack("<Q", len(record))
    return length + _masked_crc(length) + record + _masked_crc(record)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def features_json(kind: str, shape: tuple[int | None, ...], *, waveforms: bool = False) -> dict:
    """`features.json` in TFDS's layout; `shape` of one example, None where it varies."""
    prefix = "tensorflow_datasets.core.features"
    table = {}
    for name, sizes in {FEATURE_NAME[kind]: shape, **({WAVEFORM_FEATURE: (None,)} if waveforms else {})}.items():
        dimensions = [str(-1 if size is None else size) for size in sizes]
        tensor = {"shape": {"dimensions": dimensions}, "dtype": DTYPE[kind], "encoding": "bytes"}
        table[name] = {"pythonClassName": f"{prefix}.tensor_feature.Tensor", "tensor": tensor}
    for name in INTEGER_FEATURES:
        scalar = {"shape": {}, "dtype": "int64", "encoding": "none"}
        table[name] = {"pythonClassName": f"{prefix}.scalar.Scalar", "tensor": scalar}
    for name in TEXT_FEATURES:
        table[name] = {"pythonClassName": f"{prefix}.text_feature.Text", "text": {}}
    return {"pythonClassName": f"{prefix}.features_dict.FeaturesDict", "featuresDict": {"features": table}}


def dataset_info_json(shards: Mapping[tuple[str, str], list[tuple[int, int]]]) -> dict:
    """`dataset_info.json` in TFDS's layout.

    Args:
      shards: (domain, split) to (examples, bytes) of each shard. A TFDS split is `domain_split`.
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
    r"""Rows as JSON lines, keys in order.

    >>> list(lines([{"b": 1, "a": "é"}]))
    ['{"a": "é", "b": 1}\n']
    """
    return (json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows)
