"""Trains the speaker encoder of models.metrics.speaker_embedding, and prints its equal error rate on held-out speakers.

    python -m tests.train_speaker_encoder --speech=DIR [--speech=DIR] --output=models/metrics/speaker_encoder.npz

The folders hold files of LibriSpeech: the name of a file begins with its speaker. With `--hold_out=N`, every
N-th speaker of at least 6 files is held out for the error rate; without, all speakers are trained on.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

import collections
import concurrent.futures
import pathlib

import numpy as np
import soundfile
import tensorflow as tf
from absl import app, flags
from sklearn import metrics

from models.metrics import speaker_embedding
from models.metrics.speaker_embedding import DILATIONS, EMBEDDING_SIZE, LEAK, MAX_HZ, MELS, MIN_HZ, SCALE

FLAGS = flags.FLAGS
SUFFIXES = (".flac", ".opus", ".ogg", ".wav")
KERNEL_SIZES = (5, 3, 3, 1)
CHANNELS = 160
CROP = 128  # frames
BATCH_SIZE = 64
WARPS = (1.0, 0.88, 1.13)  # of the frequency axis; a warped voice counts as another speaker
MARGIN, LOGIT_SCALE = 0.2, 20.0
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-4
NARROW_BAND = 38  # mels below 4 kHz


def read_log_mels(path: pathlib.Path) -> np.ndarray:
    """Front end of one file, without the mean."""
    y, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return speaker_embedding.log_mels(y.mean(axis=1), rate_hz).astype(np.float16)


def read_corpus(folders: list[str]) -> dict[str, list[np.ndarray]]:
    """Log-mels of the files of each speaker."""
    paths = sorted(path for folder in folders for path in pathlib.Path(folder).rglob("*") if path.suffix in SUFFIXES)
    speakers = collections.defaultdict(list)
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for path, x in zip(paths, pool.map(read_log_mels, paths, chunksize=16), strict=True):
            speakers[path.name.split("-")[0]].append(x)
    return dict(sorted(speakers.items()))


def warp_frequencies(x: np.ndarray, factor: float) -> np.ndarray:
    """Log-mels `[frames, mels]` of the voice whose frequencies are divided by the factor."""
    low, high = (1127 * np.log1p(hz / 700) for hz in (MIN_HZ, MAX_HZ))
    hz = 700 * np.expm1(np.linspace(low, high, MELS + 2)[1:-1] / 1127)
    position = (1127 * np.log1p(np.minimum(hz * factor, MAX_HZ) / 700) - low) / (high - low) * (MELS + 1) - 1
    index = np.clip(position.astype(int), 0, MELS - 2)
    weight = np.clip(position - index, 0, 1).astype(np.float32)
    return x[:, index] * (1 - weight) + x[:, index + 1] * weight


def augment(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Log-mels `[frames, mels]` with a small warp, and sometimes with stationary noise or without the upper band."""
    x = warp_frequencies(x, float(np.exp(rng.normal(0, 0.015))))
    if rng.random() < 0.5:
        spectrum = np.cumsum(rng.normal(0, 0.3, MELS))
        x = np.logaddexp(x, x.max() - rng.uniform(5, 11) + spectrum - spectrum.max())
    if rng.random() < 0.25:
        x[:, NARROW_BAND:] = x[:, NARROW_BAND:].min()
    return x - x.mean(axis=0)


class Encoder(tf.keras.Model):
    """Encoder `[batch, frames, mels] -> [batch, embedding]`."""

    def __init__(self):
        super().__init__()
        layers = tf.keras.layers
        self.convolutions = [
            layers.Conv1D(CHANNELS, size, dilation_rate=dilation, use_bias=False)
            for size, dilation in zip(KERNEL_SIZES, DILATIONS, strict=True)
        ]
        self.norms = [layers.BatchNormalization(momentum=0.98) for _ in DILATIONS]
        self.projection = layers.Dense(EMBEDDING_SIZE, use_bias=False)

    def call(self, x, training=False):
        """Return embeddings of unit length."""
        x = x / SCALE
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = tf.nn.leaky_relu(norm(convolution(x), training=training), LEAK)
        statistics = tf.concat([tf.reduce_mean(x, 1), tf.math.reduce_std(x, 1)], axis=-1)
        return tf.math.l2_normalize(self.projection(statistics), -1)

    def inference_weights(self) -> dict[str, np.ndarray]:
        """Return the weights with the normalization in the convolutions, as float16."""
        weights = {"projection": self.projection.kernel.numpy()}
        for n, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            scale = norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
            weights[f"kernel_{n}"] = convolution.kernel.numpy() * scale
            weights[f"bias_{n}"] = norm.beta.numpy() - norm.moving_mean.numpy() * scale
        return {name: value.astype(np.float16) for name, value in weights.items()}


def make_batch(speakers: list[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random crops `[batch, frames, mels]`, and their classes `[batch]`: a class is a speaker at one of the warps."""
    chosen, warps = rng.integers(len(speakers), size=BATCH_SIZE), rng.integers(len(WARPS), size=BATCH_SIZE)
    crops = []
    for n, warp in zip(chosen, warps, strict=True):
        begin = rng.integers(max(1, len(speakers[n]) - CROP))
        crop = np.resize(speakers[n][begin : begin + CROP].astype(np.float32), (CROP, MELS))
        crops.append(augment(warp_frequencies(crop, WARPS[warp]), rng))
    return np.stack(crops).astype(np.float32), chosen * len(WARPS) + warps


def train(speakers: list[np.ndarray], steps: int, seed: int) -> Encoder:
    """Train the encoder with the additive angular margin loss."""
    tf.keras.utils.set_random_seed(seed)
    rng, encoder, num_classes = np.random.default_rng(seed), Encoder(), len(speakers) * len(WARPS)
    centres = tf.Variable(tf.random.normal([EMBEDDING_SIZE, num_classes], stddev=0.1))
    schedule = tf.keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    optimizer = tf.keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY)

    @tf.function
    def train_step(x, labels):
        with tf.GradientTape() as tape:
            cosines = encoder(x, training=True) @ tf.math.l2_normalize(centres, 0)
            logits = LOGIT_SCALE * (cosines - MARGIN * tf.one_hot(labels, num_classes))
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        variables = [*encoder.trainable_variables, centres]
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    for step in range(1, steps + 1):
        loss = train_step(*make_batch(speakers, rng))
        if step % 250 == 0:
            print(f"step {step}: loss {float(loss):.2f}", flush=True)
    return encoder


def equal_error_rate(encoder: Encoder, speakers: dict[str, list[np.ndarray]]) -> float:
    """Return the equal error rate over all pairs of recordings of at least 64 frames."""
    recordings = [(name, x) for name, group in speakers.items() for x in group if len(x) >= CROP // 2]
    embeddings = np.stack([encoder(x[None].astype(np.float32)).numpy()[0] for _, x in recordings])
    names = np.array([name for name, _ in recordings])
    pairs = np.triu_indices(len(names), 1)
    false_alarms, hits, _ = metrics.roc_curve((names[:, None] == names)[pairs], (embeddings @ embeddings.T)[pairs])
    n = int(np.argmin(np.abs(false_alarms - (1 - hits))))
    return float(false_alarms[n] + 1 - hits[n]) / 2


def main(_):
    """Train, evaluate on the held-out speakers, and write the weights."""
    corpus = read_corpus(FLAGS.speech)
    many = [name for name, group in corpus.items() if len(group) >= 6]
    held_out = set(many[:: FLAGS.hold_out]) if FLAGS.hold_out else set()
    encoder = train(
        [np.concatenate(group) for name, group in corpus.items() if name not in held_out], FLAGS.steps, FLAGS.seed
    )
    if held_out:
        rate = equal_error_rate(encoder, {name: corpus[name] for name in held_out})
        print(f"equal error rate of {len(held_out)} held-out speakers: {100 * rate:.1f} %")
    np.savez_compressed(FLAGS.output, **encoder.inference_weights())


if __name__ == "__main__":
    flags.DEFINE_multi_string("speech", None, "Folder of LibriSpeech files; may be repeated.", required=True)
    flags.DEFINE_string("output", None, "File of the weights.", required=True)
    flags.DEFINE_integer("hold_out", 0, "Every N-th speaker of at least 6 files is held out; 0 for none.")
    flags.DEFINE_integer("steps", 3000, "Training steps.")
    flags.DEFINE_integer("seed", 0, "Random seed.")
    app.run(main)
