"""Parsing of single records, and crops of them for training."""

from __future__ import annotations

import tensorflow as tf

from models import spectral
from models.features.spec import Spec
from pipelines.data import dataset, tfrecord


def parse_example(record: tf.Tensor, spec: Spec, *, waveform: bool = False) -> dict[str, tf.Tensor]:
    """A serialised example: `features` as float32 (log-mels, pixels in [-1, 1]), texts, numbers; samples if asked."""
    name, kept = tfrecord.FEATURE_NAME[spec.kind], [tfrecord.WAVEFORM_FEATURE] * waveform
    table = {key: tf.io.FixedLenFeature([], tf.string) for key in (name, *kept, *tfrecord.TEXT_FEATURES)}
    table |= {key: tf.io.FixedLenFeature([], tf.int64) for key in tfrecord.INTEGER_FEATURES}
    example = tf.io.parse_single_example(record, table)
    raw = tf.io.decode_raw(example.pop(name), tf.as_dtype(tfrecord.DTYPE[spec.kind]))
    shape = [-1 if size is None else size for size in spec.feature_shape()]
    values = tf.cast(tf.reshape(raw, shape), tf.float32)
    example["features"] = values if spec.kind == "audio" else values / 127.5 - 1.0
    for key in kept:
        example[key] = tf.cast(tf.io.decode_raw(example[key], tf.as_dtype(tfrecord.DTYPE["audio"])), tf.float32)
    return example


def random_crop(log_mels: tf.Tensor, frames: int, spec: Spec, seed: tf.Tensor) -> tf.Tensor:
    """`frames` frames of `[any, mels]` around a random one that sounds; silence where there are none.

    A crop may reach a quarter of its length over either end, as conversion does to give every frame
    its context.
    """
    return crop_at(log_mels, random_crop_start(log_mels, frames, spec, seed), frames, spec)


def random_crop_start(log_mels: tf.Tensor, frames: int, spec: Spec, seed: tf.Tensor) -> tf.Tensor:
    """The first frame of a random crop, which may be negative."""
    available = tf.shape(log_mels)[0]
    sounds = tf.where(spectral.active_frames(log_mels, spec.features))[:, 0]
    draw = tf.random.stateless_uniform([2], seed, alg="philox")
    place = tf.cast(draw[0] * tf.cast(tf.shape(sounds)[0], tf.float32), tf.int32)
    centre = tf.cast(tf.concat([sounds, [tf.cast(available // 2, sounds.dtype)]], axis=0)[place], tf.int32)
    start = centre - tf.cast(draw[1] * frames, tf.int32)
    slack = frames // 4
    room = available - frames
    return tf.clip_by_value(start, tf.minimum(0, room) - slack, tf.maximum(0, room) + slack)


def crop_at(log_mels: tf.Tensor, start: tf.Tensor, frames: int, spec: Spec) -> tf.Tensor:
    """`frames` frames from `start` on; silence where there are none."""
    return _padded_slice(log_mels, start, frames, beyond=spec.features.log_floor)


def _padded_slice(rows: tf.Tensor, start: tf.Tensor, count: int, *, beyond: float) -> tf.Tensor:
    """`count` rows of `[any, ...]` from `start` on; `beyond` where there are none."""
    available = tf.shape(rows)[0]
    before, after = tf.maximum(0, -start), tf.maximum(0, start + count - available)
    inside = rows[tf.maximum(0, start) : start + count]
    padded = tf.pad(inside, [[before, after], *[[0, 0]] * (len(rows.shape) - 1)], constant_values=beyond)
    return tf.ensure_shape(padded, [count, *rows.shape[1:]])


def crop_with_waveform(example: dict, frames: int, data: dataset.Records, seed: tf.Tensor, row: tf.Tensor) -> dict:
    """A :func:`crop` of an example, `x`, and the samples from the middle of its first frame to that of its last."""
    spec, hop = data.spec, data.spec.features.hop_length
    margin = data.imitate.margin if data.imitate else 0
    start = random_crop_start(example["features"], frames, spec, seed)
    x = crop_at(example["features"], start - margin, frames + 2 * margin, spec)
    waveform = _padded_slice(example[tfrecord.WAVEFORM_FEATURE], start * hop, (frames - 1) * hop, beyond=0.0)
    if data.imitate:
        x = tf.ensure_shape(data.imitate(x, domain_index(example, spec), row), [frames, spec.bins])
    return {"x": x, "waveform": waveform}


def domain_index(example: dict, spec: Spec) -> tf.Tensor:
    """The number of a parsed example's domain."""
    return tf.cast(tf.argmax(example["domain"] == tf.constant(spec.domains)), tf.int32)


def crop_pair(pair: list[tf.Tensor], frames: int, spec: Spec, seed: tf.Tensor) -> list[tf.Tensor]:
    """The same random frames of recordings that run alike, where the first sounds."""
    shorter = tf.reduce_min([tf.shape(x)[0] for x in pair])
    start = random_crop_start(pair[0][:shorter], frames, spec, seed)
    return [crop_at(x[:shorter], start, frames, spec) for x in pair]


def crops_per_epoch(active: int, frames: int) -> int:
    """How often an epoch draws from a record in which `active` frames sound; never from silence."""
    return max(1, round(active / frames)) if active else 0
