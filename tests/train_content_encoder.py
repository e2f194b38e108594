"""Trains models.recognition.content_encoder to give the posteriors of the phoneme recogniser of `hama`.

    python -m tests.train_content_encoder --speech=DIR [--speech=DIR] --held_out=10 --examples=examples.npz \\
        --output=models/recognition/content_encoder.npz

The folders hold files of LibriSpeech: the name of a file begins with its speaker. Every N-th speaker is held out. The
teacher (`tests.phone_recogniser`) gets each recording as it is, the student its log-mels with another voice, filter,
level, noise and band width. The first convolution starts as the teacher's after a linear map from this project's
log-mels to the teacher's. `--examples` names a file that keeps the log-mels and the teacher's log-probabilities for
the next stage. Then prints how far the student is from the teacher on the held-out speakers: frames whose most
probable token differs, and phonemes lost.
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
from models.features import audio
from models.features.audio_spec import band_centres
from models.metrics import edit_distance
from models.recognition import content_encoder, voice_perturbation
from models.recognition.content_encoder import SPEC
from tests import phone_recogniser, speaker_clips

FLAGS = flags.FLAGS
CROP_FRAMES = 256
BATCH_SIZE = 12
STRETCH = 1.28  # largest factor of pitch and formants
UNCHANGED = 0.2  # probability of the recording's own voice
FILTER_DEVIATION, LEVEL_DEVIATION = 0.5, 0.5  # natural logarithm of amplitude
NOISE, NOISE_RANGE = 0.5, (0.8, 5.0)  # probability, and levels below the loud frames (7 to 43 dB)
NARROW_BAND, NARROW_BAND_HZ = 0.2, (3300.0, 7600.0)  # probability, and highest frequencies
SILENCE = 0.3  # probability that a crop extends beyond the recording
COMPONENT_FRAMES = 40  # of each recording, from which the principal components are computed
ADAPTER_FILES = 60
VALIDATION_FILES = 30
MAX_VALIDATION_FRAMES = 1000
SPOKEN_TOKENS = 189  # without the boundary of words and the blank


def make_examples(paths: list[pathlib.Path]) -> dict[str, list]:
    """Names, log-mels `[frames, 80]` and the teacher's log-probabilities `[frames, 191]` at 50 Hz of recordings."""
    examples = {"name": [], "log_mels": [], "log_probabilities": []}
    for n, path in enumerate(paths):
        y = audio.normalize_level(audio.read(str(path), SPEC), SPEC)
        examples["name"].append(str(path))
        examples["log_mels"].append(audio.log_mel(y, SPEC).astype(np.float16))
        examples["log_probabilities"].append(phone_recogniser.log_probabilities(np.float32(y)).astype(np.float16))
        if n % 100 == 0:
            print(f"{n} of {len(paths)} recordings", flush=True)
    return examples


def write_examples(examples: dict[str, list], path: str) -> None:
    """Write examples to an npz file."""
    arrays = {f"{key}_lengths": [len(x) for x in examples[key]] for key in ("log_mels", "log_probabilities")}
    arrays |= {key: np.concatenate(examples[key]) for key in ("log_mels", "log_probabilities")}
    np.savez(path, name=examples["name"], **arrays)


def read_examples(path: str) -> dict[str, list]:
    """Read what :func:`write_examples` has written."""
    with np.load(path) as file:
        split = {
            key: np.split(file[key], np.cumsum(file[f"{key}_lengths"])[:-1])
            for key in ("log_mels", "log_probabilities")
        }
        return {"name": list(file["name"]), **split}


def at_frames(log_probabilities: np.ndarray, frames: int) -> np.ndarray:
    """Log-probabilities at the times of the student's frames: the linear interpolation of the probabilities."""
    position = np.arange(frames) * phone_recogniser.FRAME_RATE_HZ / SPEC.frame_rate_hz
    left = np.minimum(position.astype(int), len(log_probabilities) - 1)
    right, weight = np.minimum(left + 1, len(log_probabilities) - 1), np.clip(position - left, 0, 1)[:, None]
    p = np.exp(log_probabilities.astype(np.float32))
    return np.log((1 - weight) * p[left] + weight * p[right] + 1e-7).astype(np.float32)


def principal_components(log_probabilities: list[np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mean `[190]` and components `[190, 64]` of `content_encoder.content_vectors`."""
    frames = [x[rng.integers(0, len(x), COMPONENT_FRAMES), :-1] for x in log_probabilities]
    x = np.concatenate(frames).astype(np.float64)
    x = np.maximum(x - np.log(np.exp(x).sum(axis=1, keepdims=True)), content_encoder.MIN_LOG_PROBABILITY)
    values, vectors = np.linalg.eigh(np.cov((x - x.mean(axis=0)).T))
    values, vectors = values[::-1][: content_encoder.COMPONENTS], vectors[:, ::-1][:, : content_encoder.COMPONENTS]
    return {"mean": np.float32(x.mean(axis=0)), "components": np.float32(vectors / np.sqrt(values.mean()))}


def initial_weights(paths: list[str]) -> dict[str, np.ndarray]:
    """The teacher's weights, the first convolution after a linear map between the log-mels, fitted to recordings."""
    inputs, outputs = [], []
    for path in paths:
        y = np.float32(audio.normalize_level(audio.read(path, SPEC), SPEC))
        x, teacher = audio.log_mel(y, SPEC), phone_recogniser.log_mels(y)
        rate_hz = phone_recogniser.RATE_HZ / phone_recogniser.HOP
        rows = np.minimum(np.round(np.arange(len(x)) * rate_hz / SPEC.frame_rate_hz).astype(int), len(teacher) - 1)
        inputs.append(np.c_[x, np.ones(len(x))].astype(np.float64))
        outputs.append(teacher[rows])
    x, y = np.concatenate(inputs), np.concatenate(outputs)
    matrix = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ y)
    weights = dict(phone_recogniser.weights())
    kernel = weights["stem/kernel"]
    weights["stem/bias"] = weights["stem/bias"] + np.einsum("c,kcd->d", matrix[-1], kernel)
    weights["stem/kernel"] = np.einsum("bc,kcd->kbd", matrix[:-1], kernel)
    return {name: np.float32(value) for name, value in weights.items()}


def alter(log_mels: tf.Tensor, rng: stateless_random.StatelessRng) -> tf.Tensor:
    """Another voice, filter, level, noise and band width."""
    index = voice_perturbation.random_stretch(rng)
    index = tf.where(rng.stream("keep").uniform() < UNCHANGED, voice_perturbation.STRETCHES // 2, index)
    x = voice_perturbation.stretch(log_mels, index, SPEC, largest=STRETCH)
    x = voice_perturbation.random_filter(x, rng, deviation=FILTER_DEVIATION)
    x += LEVEL_DEVIATION * rng.stream("level").normal(1, 1)
    x = tf.where(rng.stream("noisy").uniform(1, 1) < NOISE, add_noise(x, rng.stream("noise")), x)
    low, high = NARROW_BAND_HZ
    limit = low + (high - low) * rng.stream("limit").uniform(1, 1)
    limit = tf.where(rng.stream("narrow").uniform(1, 1) < NARROW_BAND, limit, np.inf)
    return tf.maximum(tf.where(np.float32(band_centres(SPEC)) > limit, SPEC.log_floor, x), SPEC.log_floor)


def add_noise(x: tf.Tensor, rng: stateless_random.StatelessRng) -> tf.Tensor:
    """Stationary noise of a random spectrum."""
    loud = tf.reduce_mean(tf.sort(x, axis=1)[:, -CROP_FRAMES // 4 :], axis=[1, 2], keepdims=True)
    low, high = NOISE_RANGE
    level = loud - low - (high - low) * rng.stream("level").uniform(1, 1)
    noise = voice_perturbation.random_filter(tf.zeros_like(x) + level, rng, deviation=1.0)
    noise += 0.45 * rng.stream("frames").normal(CROP_FRAMES, x.shape[-1])
    return 0.5 * tf.math.log(tf.exp(2 * x) + tf.exp(2 * noise))


class Student:
    """The content encoder in training.

    Args:
      weights: initial weights of the network.
      components: mean and principal components of the content.
    """

    def __init__(self, weights: dict[str, np.ndarray], components: dict[str, np.ndarray]):
        self.weights = {name: tf.Variable(value, name=name) for name, value in weights.items()}
        self.components = components
        rate = tf.keras.optimizers.schedules.CosineDecay(
            0.0, FLAGS.steps, warmup_target=FLAGS.learning_rate, warmup_steps=50
        )
        self.optimizer = tf.keras.optimizers.Adam(rate, global_clipnorm=1.0)
        self.optimizer.build(list(self.weights.values()))
        self.losses = tf.function(self._losses, reduce_retracing=True)

    def _losses(self, x, log_probabilities, mask):
        """Divergence from the teacher, distance of the contents, and logits."""
        logits = content_encoder.logits(x, self.weights)
        divergence = tf.reduce_sum(tf.exp(log_probabilities) * (log_probabilities - tf.nn.log_softmax(logits)), axis=-1)
        contents = [content_encoder.content_vectors(each, self.components) for each in (logits, log_probabilities)]
        distance = tf.reduce_mean(tf.math.squared_difference(*contents), axis=-1)
        return *(tf.reduce_sum(each * mask) / tf.reduce_sum(mask) for each in (divergence, distance)), logits

    @tf.function
    def train_step(self, x, log_probabilities, mask, step):
        """One step of Adam on altered examples; returns divergence and distance."""
        seed = tf.stack([step, tf.constant(FLAGS.seed, tf.int64)])
        rng = stateless_random.StatelessRng(seed, tf.range(BATCH_SIZE), BATCH_SIZE)
        x = tf.where(mask[..., None] > 0, alter(x, rng), SPEC.log_floor)
        variables = list(self.weights.values())
        with tf.GradientTape() as tape:
            divergence, distance, _ = self._losses(x, log_probabilities, mask)
            loss = divergence + distance
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return divergence, distance

    def save(self, path: str) -> None:
        """Write all weights in half precision."""
        arrays = {name: np.float16(value.numpy()) for name, value in self.weights.items()}
        np.savez_compressed(path, **arrays, **{name: np.float16(value) for name, value in self.components.items()})


def draw_batch(examples: dict[str, list], rows: list[int], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Crops of log-mels, the teacher's log-probabilities, and a mask of the frames inside the recording."""
    lengths = np.array([len(examples["log_mels"][n]) for n in rows])
    x = np.full((BATCH_SIZE, CROP_FRAMES, SPEC.n_mels), SPEC.log_floor, np.float32)
    y = np.zeros((BATCH_SIZE, CROP_FRAMES, phone_recogniser.TOKENS), np.float32)
    mask = np.zeros((BATCH_SIZE, CROP_FRAMES), np.float32)
    for row, n in enumerate(rng.choice(rows, BATCH_SIZE, p=lengths / lengths.sum())):
        mels = examples["log_mels"][n]
        start = int(rng.integers(-CROP_FRAMES // 4, max(1, len(mels) - 3 * CROP_FRAMES // 4)))
        start = start if rng.random() < SILENCE else max(0, min(start, len(mels) - CROP_FRAMES))
        first, last = max(0, start), min(len(mels), start + CROP_FRAMES)
        inside = slice(first - start, last - start)
        x[row, inside] = mels[first:last]
        y[row, inside] = at_frames(examples["log_probabilities"][n], len(mels))[first:last]
        mask[row, inside] = 1
    return x, y, mask


def spoken(logits: np.ndarray) -> list[int]:
    """Phonemes of the most probable tokens `[frames, 191]`, repetitions and blanks left out."""
    best = logits.argmax(axis=-1)
    return [int(token) for token in best[np.r_[True, best[1:] != best[:-1]]] if token < SPOKEN_TOKENS]


def validate(student: Student, examples: dict[str, list], rows: list[int]) -> str:
    """How far the student is from the teacher on recordings of the held-out speakers."""
    results = []
    for n in rows[:: max(1, len(rows) // VALIDATION_FILES)]:
        mels = np.float32(examples["log_mels"][n])
        y = at_frames(examples["log_probabilities"][n], len(mels))[:MAX_VALIDATION_FRAMES]
        divergence, distance, logits = student.losses(mels[None, : len(y)], y[None], np.ones([1, len(y)], np.float32))
        best = logits[0].numpy()
        agreement = np.mean(best.argmax(axis=-1) == y.argmax(axis=-1))
        heard, meant = spoken(best), spoken(y)
        lost = edit_distance.error_rate(heard, meant)
        results.append((float(divergence), float(distance), 1 - agreement, lost))
    names = ("divergence", "distance of contents", "other tokens", "phonemes lost")
    return ", ".join(f"{name} {value:.3f}" for name, value in zip(names, np.nanmean(results, axis=0), strict=True))


def load_examples() -> dict[str, list]:
    """The examples of `--examples`, made first if the file does not exist."""
    if FLAGS.examples and os.path.exists(FLAGS.examples):
        return read_examples(FLAGS.examples)
    examples = make_examples([path for paths in speaker_clips.list_speakers(FLAGS.speech).values() for path in paths])
    if FLAGS.examples:
        write_examples(examples, FLAGS.examples)
    return examples


def main(_):
    """Train, write the weights, and compare with the teacher on held-out speakers."""
    examples, rng = load_examples(), np.random.default_rng(FLAGS.seed)
    speakers = [pathlib.Path(name).name.split("-")[0] for name in examples["name"]]
    held_out = sorted(set(speakers))[:: FLAGS.held_out] if FLAGS.held_out else []
    rows = [n for n, speaker in enumerate(speakers) if speaker not in held_out]
    test_rows = [n for n, speaker in enumerate(speakers) if speaker in held_out]
    if FLAGS.initial:
        with np.load(FLAGS.initial) as file:
            weights = {name: np.float32(file[name]) for name in file.files}
        components = {name: weights.pop(name) for name in ("mean", "components")}
    else:
        weights = initial_weights([examples["name"][n] for n in rng.permutation(rows)[:ADAPTER_FILES]])
        components = principal_components([examples["log_probabilities"][n] for n in rows], rng)
    student, means, began = Student(weights, components), np.zeros(2), time.monotonic()
    print(f"{len(rows)} recordings; {validate(student, examples, test_rows)}", flush=True)
    for step in range(1, FLAGS.steps + 1):
        losses = student.train_step(*draw_batch(examples, rows, rng), tf.constant(step, tf.int64))
        means += (np.array([float(each) for each in losses]) - means) / min(step, 100)
        if step % 50 == 0:
            print(f"step {step}: {means[0]:.3f}, {means[1]:.3f}, {time.monotonic() - began:.0f} s", flush=True)
        if step % 250 == 0 or step == FLAGS.steps:
            student.save(FLAGS.output)
            print(validate(student, examples, test_rows), flush=True)


if __name__ == "__main__":
    flags.DEFINE_multi_string("speech", [], "Folder of LibriSpeech files; may be repeated.")
    flags.DEFINE_string("examples", None, "File of the examples; made if it does not exist.")
    flags.DEFINE_integer("held_out", 0, "Every N-th speaker is held out.")
    flags.DEFINE_string("initial", None, "Weights to go on from; by default the teacher's.")
    flags.DEFINE_string("output", None, "File of the weights.", required=True)
    flags.DEFINE_integer("steps", 3000, "Training steps.")
    flags.DEFINE_float("learning_rate", 3e-4, "Highest learning rate of Adam.")
    flags.DEFINE_integer("seed", 0, "Random seed.")
    app.run(main)
