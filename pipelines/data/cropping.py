"""Parsing of single records, and crops of them for training."""

from __future__ import annotations

import tensorflow as tf

from models import spectral
from models.features.spec import Spec
from pipelines.data import dataset, tfrecord


def parse_example(record: tf.Tensor, spec: Spec, *, waveform: bool = False) -> dict[str, tf.Tensor]:
    """Parse a serialised example.

    Returns:
      `features` as float32 (log-mels, or pixels in [-1, 1]), the texts and integers, and `waveform` if requested.
    """
    name, waveform_names = tfrecord.FEATURE_NAME[spec.kind], [tfrecord.WAVEFORM_FEATURE] * waveform
    feature_specs = {
        key: tf.io.FixedLenFeature([], tf.string) for key in (name, *waveform_names, *tfrecord.TEXT_FEATURES)
    }
    feature_specs |= {key: tf.io.FixedLenFeature([], tf.int64) for key in tfrecord.INTEGER_FEATURES}
    example = tf.io.parse_single_example(record, feature_specs)
    raw = tf.io.decode_raw(example.pop(name), tf.as_dtype(tfrecord.DTYPE[spec.kind]))
    shape = [-1 if dimension is None else dimension for dimension in spec.feature_shape()]
    values = tf.cast(tf.reshape(raw, shape), tf.float32)
    example["features"] = values if spec.kind == "audio" else values / 127.5 - 1.0
    for key in waveform_names:
        example[key] = tf.cast(tf.io.decode_raw(example[key], tf.as_dtype(tfrecord.DTYPE["audio"])), tf.float32)
    return example


def random_crop(log_mels: tf.Tensor, frames: int, spec: Spec, seed: tf.Tensor) -> tf.Tensor:
    """Crop `frames` frames of `[any, mels]` around a random active frame; silence outside the recording.

    A crop may extend beyond either end by a quarter of its length, as in conversion, so that every frame has context.
    """
    return crop_at(log_mels, random_crop_start(log_mels, frames, spec, seed), frames, spec)


def random_crop_start(log_mels: tf.Tensor, frames: int, spec: Spec, seed: tf.Tensor) -> tf.Tensor:
    """Return the first frame of a random crop; it may be negative."""
    available = tf.shape(log_mels)[0]
    active = tf.where(spectral.active_frames(log_mels, spec.features))[:, 0]
    uniform = tf.random.stateless_uniform([2], seed, alg="philox")
    index = tf.cast(uniform[0] * tf.cast(tf.shape(active)[0], tf.float32), tf.int32)
    centre = tf.cast(tf.concat([active, [tf.cast(available // 2, active.dtype)]], axis=0)[index], tf.int32)
    start = centre - tf.cast(uniform[1] * frames, tf.int32)
    overhang = frames // 4
    room = available - frames
    return tf.clip_by_value(start, tf.minimum(0, room) - overhang, tf.maximum(0, room) + overhang)


def crop_at(log_mels: tf.Tensor, start: tf.Tensor, frames: int, spec: Spec) -> tf.Tensor:
    """Crop `frames` frames from frame `start`; silence outside the recording."""
    return _padded_slice(log_mels, start, frames, padding=spec.features.log_floor)


def _padded_slice(rows: tf.Tensor, start: tf.Tensor, count: int, *, padding: float) -> tf.Tensor:
    """Return `count` rows of `[any, ...]` from row `start`; rows outside are filled with `padding`."""
    available = tf.shape(rows)[0]
    before, after = tf.maximum(0, -start), tf.maximum(0, start + count - available)
    inside = rows[tf.maximum(0, start) : start + count]
    padded = tf.pad(inside, [[before, after], *[[0, 0]] * (len(rows.shape) - 1)], constant_values=padding)
    return tf.ensure_shape(padded, [count, *rows.shape[1:]])


def crop_with_waveform(example: dict, frames: int, data: dataset.Records, seed: tf.Tensor, row: tf.Tensor) -> dict:
    """Crop an example, as `x`, and its samples from the middle of the first frame to that of the last."""
    spec, hop = data.spec, data.spec.features.hop_length
    margin = data.mel_transform.margin if data.mel_transform else 0
    start = random_crop_start(example["features"], frames, spec, seed)
    x = crop_at(example["features"], start - margin, frames + 2 * margin, spec)
    waveform = _padded_slice(example[tfrecord.WAVEFORM_FEATURE], start * hop, (frames - 1) * hop, padding=0.0)
    if data.mel_transform:
        x = tf.ensure_shape(data.mel_transform(x, domain_index(example, spec), row), [frames, spec.bins])
    return {"x": x, "waveform": waveform}


def domain_index(example: dict, spec: Spec) -> tf.Tensor:
    """Return the index of a parsed example's domain."""
    return tf.cast(tf.argmax(example["domain"] == tf.constant(spec.domains)), tf.int32)


def crop_pair(pair: list[tf.Tensor], frames: int, spec: Spec, seed: tf.Tensor) -> list[tf.Tensor]:
    """Crop the same random frames of two time-aligned recordings, around an active frame of the first."""
    shorter = tf.reduce_min([tf.shape(x)[0] for x in pair])
    start = random_crop_start(pair[0][:shorter], frames, spec, seed)
    return [crop_at(x[:shorter], start, frames, spec) for x in pair]


def crops_per_epoch(active: int, frames: int) -> int:
    """Return how many crops an epoch draws from a record with `active` active frames; 0 for a silent record."""
    return max(1, round(active / frames)) if active else 0
