"""Trains the network of models.recognition.pitch_encoder on F0 that models.features.pitch tracks in recordings.

    python -m tests.train_pitch_encoder --speech=DIR [--speech=DIR] --held_out=10 \\
        --output=models/recognition/pitch_encoder.npz

The folders hold files of LibriSpeech: the name of a file begins with its speaker. Every N-th speaker is held out. The
mel axis is stretched at random, with F0 changed by the same factor, filters, levels and noise are random. Then prints
how far the network is from the tracker on the held-out speakers.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

import pathlib
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from models import stateless_random
from models.features import audio, pitch
from models.recognition import pitch_encoder, voice_perturbation
from models.recognition.content_encoder import SPEC
from tests import speaker_clips

FLAGS = flags.FLAGS
CROP_FRAMES, BATCH_SIZE = 192, 16
STRETCH = 1.5
FILTER_DEVIATION, LEVEL_DEVIATION = 0.4, 0.5
NOISE_RANGE = (1.2, 6.0)  # levels of the noise below the loud frames, natural logarithm of amplitude
LABEL_DEVIATION = 0.8  # of the labels around the F0, in bins
GROSS = 0.2  # relative error of F0 that is gross


def track(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Log-mels `[frames, 80]` of a recording and its log-F0 `[frames]`, NaN where unvoiced."""
    y = audio.normalize_level(audio.read(str(path), SPEC), SPEC)
    x = audio.log_mel(y, SPEC)
    f0_hz = pitch.track_f0(y, SPEC.sample_rate_hz)
    rows = np.round(np.arange(len(x)) * SPEC.hop_length / pitch.hop_length(SPEC.sample_rate_hz)).astype(int)
    return np.float32(x), np.float32(np.log(f0_hz[np.minimum(rows, len(f0_hz) - 1)]))


def labels(log_f0: tf.Tensor) -> tf.Tensor:
    """Distribution `[..., 1 + BINS]` of unvoiced and each F0, Gaussian around the F0."""
    voiced = tf.math.is_finite(log_f0)
    step = np.log(2) / pitch_encoder.BINS_PER_OCTAVE
    distance = (tf.where(voiced, log_f0, 0.0)[..., None] - pitch_encoder.bin_frequencies()) / step / LABEL_DEVIATION
    near = tf.nn.softmax(-0.5 * tf.square(distance)) * tf.cast(voiced, tf.float32)[..., None]
    return tf.concat([1 - tf.cast(voiced, tf.float32)[..., None], near], axis=-1)


def initial_weights(examples: list, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights (He et al. 2015) and moments of the bands."""
    x = np.concatenate([x for x, _ in examples])[:, : pitch_encoder.BANDS]
    weights = {"mean": x.mean(axis=0), "std": x.std(axis=0)}
    inputs = pitch_encoder.BANDS
    for n in range(pitch_encoder.LAYERS):
        shape = (pitch_encoder.KERNEL, inputs, pitch_encoder.CHANNELS)
        weights[f"kernel_{n}"] = rng.normal(size=shape) * np.sqrt(2 / (shape[0] * inputs))
        weights[f"bias_{n}"] = np.zeros(shape[-1])
        inputs = shape[-1]
    weights["output"] = rng.normal(size=(inputs, 1 + pitch_encoder.BINS)) * 0.01
    weights["output_bias"] = np.zeros(1 + pitch_encoder.BINS)
    return {name: np.float32(value) for name, value in weights.items()}


def alter(x: tf.Tensor, log_f0: tf.Tensor, rng: stateless_random.StatelessRng) -> tuple[tf.Tensor, tf.Tensor]:
    """Another pitch, filter, level and noise; returns log-mels and log-F0."""
    index = voice_perturbation.random_stretch(rng)
    factors = tf.gather(np.log(voice_perturbation.stretch_factors(STRETCH)), index)
    x = voice_perturbation.stretch(x, index, SPEC, largest=STRETCH)
    x = voice_perturbation.random_filter(x, rng, deviation=FILTER_DEVIATION)
    x += LEVEL_DEVIATION * rng.stream("level").normal(1, 1)
    loud = tf.reduce_max(x, axis=[1, 2], keepdims=True)
    low, high = NOISE_RANGE
    noise = loud - low - (high - low) * rng.stream("noise_level").uniform(1, 1)
    noise += 0.45 * rng.stream("noise").normal(*x.shape[1:])
    return tf.maximum(0.5 * tf.math.log(tf.exp(2 * x) + tf.exp(2 * noise)), SPEC.log_floor), log_f0 + factors[:, None]


def train(weights: dict[str, np.ndarray], examples: list, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Train on the cross entropy of the distribution over F0."""
    variables = {name: tf.Variable(value, trainable=name not in ("mean", "std")) for name, value in weights.items()}
    trained = [v for v in variables.values() if v.trainable]
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(2e-3, FLAGS.steps))

    @tf.function
    def train_step(x, log_f0, step):
        seed = tf.stack([step, tf.constant(FLAGS.seed, tf.int64)])
        x, log_f0 = alter(x, log_f0, stateless_random.StatelessRng(seed, tf.range(BATCH_SIZE), BATCH_SIZE))
        with tf.GradientTape() as tape:
            logits = pitch_encoder.logits(x, variables)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels(log_f0), logits))
        optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))
        return loss

    long, mean, began = [e for e in examples if len(e[0]) > CROP_FRAMES], 0.0, time.monotonic()
    for step in range(1, FLAGS.steps + 1):
        rows = rng.integers(len(long), size=BATCH_SIZE)
        starts = [int(rng.integers(len(long[n][0]) - CROP_FRAMES)) for n in rows]
        batch = [[part[s : s + CROP_FRAMES] for part in long[n]] for n, s in zip(rows, starts, strict=True)]
        x, log_f0 = (np.stack(part) for part in zip(*batch, strict=True))
        loss = float(train_step(x, log_f0, tf.constant(step, tf.int64)))
        mean += (loss - mean) / min(step, 100)
        if step % 100 == 0:
            print(f"step {step}: cross entropy {mean:.3f}, {time.monotonic() - began:.0f} s", flush=True)
    return {name: variable.numpy() for name, variable in variables.items()}


def validate(weights: dict[str, np.ndarray], examples: list) -> str:
    """How far the network is from the tracker."""
    rows = []
    for x, log_f0 in examples:
        found, voicing = (v[0].numpy() for v in pitch_encoder.decode(pitch_encoder.logits(x[None], weights)))
        voiced = np.isfinite(log_f0)
        both = voiced & (voicing > 0.5)
        error = np.abs(np.expm1(found[both] - log_f0[both]))
        fine = 1200 / np.log(2) * np.abs(found[both] - log_f0[both])[error < GROSS]
        rows.append((np.mean(voiced != (voicing > 0.5)), np.mean(error >= GROSS), np.median(fine)))
    voicing, gross, fine = np.nanmean(rows, axis=0)
    return f"other voicing {voicing:.3f} of the frames, gross errors {gross:.4f}, median of the others {fine:.0f} cents"


def main(_):
    """Track F0, train, write the weights, and compare on held-out speakers."""
    speakers, rng = speaker_clips.list_speakers(FLAGS.speech), np.random.default_rng(FLAGS.seed)
    held_out = sorted(speakers)[:: FLAGS.held_out] if FLAGS.held_out else []
    examples = {True: [], False: []}
    for name, paths in speakers.items():
        examples[name in held_out] += [track(path) for path in paths[: FLAGS.files]]
    print(f"{len(examples[False])} recordings, {len(examples[True])} held out", flush=True)
    weights = train(initial_weights(examples[False], rng), examples[False], rng)
    np.savez_compressed(FLAGS.output, **{name: np.float16(value) for name, value in weights.items()})
    print(validate(weights, examples[True]))


if __name__ == "__main__":
    flags.DEFINE_multi_string("speech", [], "Folder of LibriSpeech files; may be repeated.")
    flags.DEFINE_integer("held_out", 0, "Every N-th speaker is held out.")
    flags.DEFINE_integer("files", 4, "Recordings of each speaker, at most.")
    flags.DEFINE_string("output", None, "File of the weights.", required=True)
    flags.DEFINE_integer("steps", 2500, "Training steps.")
    flags.DEFINE_integer("seed", 0, "Random seed.")
    app.run(main)
