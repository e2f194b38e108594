"""Trains the speaker encoder of models.metrics.speaker_embedding to give the embeddings of GE2E.

    python -m tests.speaker_clips --speech=DIR --held_out=4 --output=clips.npz
    python -m tests.speaker_clips --speech=DIR --held_out=4 --validate --output=validation.npz
    python -m tests.train_speaker_encoder --clips=clips.npz --validation=validation.npz --speech=DIR --held_out=4 \\
        --output=models/metrics/speaker_encoder.npz

The teacher is the GE2E encoder with the weights of the package `resemblyzer`, on the same windows of the same frames.
Then prints how far the rows of `evaluate` differ between teacher and student, on the clips of `--validation`, and the
equal error rates of both on the recordings of the held-out speakers.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

import time

import numpy as np
import tensorflow as tf
from absl import app, flags
from sklearn import metrics

from models.metrics import speaker_embedding
from models.metrics.speaker_embedding import (
    EMBEDDING_SIZE,
    LAYERS,
    MELS,
    WINDOW_FRAMES,
    cut_windows,
    embed_frames,
    encode_windows,
    unit_length,
)
from pipelines.evaluation.external import ge2e
from tests import speaker_clips

FLAGS = flags.FLAGS
RANK = 184  # of the factored matrices
BATCH_SIZE = 32
LEARNING_RATE = 3e-4
NUM_INITIAL = 256  # windows on which the initial factors are nearest to the teacher
SIMILARITY_WEIGHT = 1.0  # of the squared errors of the similarities in a batch
MIN_SEPARATION = 0.1  # of the pairs whose rows are compared
ROWS = ("mean_variance", "transport")  # compared between no_op and copy_synthesis
MIN_FRAMES = 64  # of recordings of which error rates are computed


def read_clips(paths: list[str]) -> list[tuple[str, np.ndarray]]:
    """Name and frames of each clip."""
    clips = []
    for path in paths:
        with np.load(path) as file:
            ends = np.cumsum(file["lengths"])
            clips += zip(file["names"], np.split(file["frames"], ends[:-1]), strict=True)
    return clips


def read_weights(path: str) -> dict[str, np.ndarray]:
    """Weights that the script has written, as float32."""
    with np.load(path) as weights:
        return {name: np.float32(weights[name]) for name in weights.files}


def teacher_weights() -> dict[str, np.ndarray]:
    """Weights of GE2E by the names of `speaker_embedding`, those of a layer not factored."""
    weights = ge2e._weights()
    layers = {"projection": weights["linear.weight"].T, "offset": weights["linear.bias"]}
    for n in range(LAYERS):
        layers[f"kernel_{n}"] = weights[f"lstm.weight_ih_l{n}"].T
        layers[f"recurrent_{n}"] = weights[f"lstm.weight_hh_l{n}"].T
        layers[f"bias_{n}"] = weights[f"lstm.bias_ih_l{n}"] + weights[f"lstm.bias_hh_l{n}"]
    return layers


class Teacher:
    """GE2E in TensorFlow, which runs it faster than NumPy."""

    def __init__(self):
        self.weights = teacher_weights()
        x, outputs = tf.keras.Input((WINDOW_FRAMES, MELS)), []
        inputs = x
        for n in range(LAYERS):
            layer = tf.keras.layers.LSTM(EMBEDDING_SIZE, return_sequences=True)
            x = layer(x)
            layer.set_weights([self.weights[f"{name}_{n}"] for name in ("kernel", "recurrent", "bias")])
            outputs.append(x)
        self.call = tf.function(tf.keras.Model(inputs, outputs), reduce_retracing=True)

    def layer_outputs(self, windows: np.ndarray) -> list[np.ndarray]:
        """Return the outputs `[n, frames, 256]` of each layer for windows of log mel powers."""
        return [x.numpy() for x in self.call(tf.constant(np.exp(windows.astype(np.float32))))]

    def embed_windows(self, windows: np.ndarray) -> np.ndarray:
        """Return embeddings `[n, 256]` of windows of log mel powers."""
        batches = [windows[n : n + 256] for n in range(0, len(windows), 256)]
        states = np.concatenate([self.layer_outputs(batch)[-1][:, -1] for batch in batches])
        return unit_length(np.maximum(states @ self.weights["projection"] + self.weights["offset"], 0))

    def embed_all(self, clips: list[np.ndarray]) -> np.ndarray:
        """Return embeddings `[clips, 256]` of frames of clips, on the windows of the student."""
        parts = [cut_windows(x) for x in clips]
        groups = np.split(self.embed_windows(np.concatenate(parts)), np.cumsum([len(x) for x in parts])[:-1])
        return unit_length(np.stack([group.mean(axis=0) for group in groups]))


def factor(matrix: np.ndarray, inputs: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the matrix of a rank whose product with the inputs `[n, size]` is nearest to that of the matrix."""
    values, vectors = np.linalg.eigh(np.float64(inputs.T @ inputs) / len(inputs))
    scale = np.sqrt(np.maximum(values, 1e-6 * values.max()))
    left, gains, right = np.linalg.svd((vectors * scale).T @ matrix, full_matrices=False)
    gains = np.sqrt(gains[:rank])
    return (vectors / scale) @ (left[:, :rank] * gains), gains[:, None] * right[:rank]


def initial_weights(teacher: Teacher, windows: np.ndarray, rank: int) -> dict[str, np.ndarray]:
    """Weights of the teacher with factored matrices, nearest to it on the windows."""
    outputs = teacher.layer_outputs(windows)
    vectors = [x[:, ::4].reshape(-1, EMBEDDING_SIZE) for x in outputs]
    weights = {name: teacher.weights[name] for name in ("projection", "offset", "kernel_0")}
    for n in range(LAYERS):
        weights[f"bias_{n}"] = teacher.weights[f"bias_{n}"]
        recurrent = factor(teacher.weights[f"recurrent_{n}"], vectors[n], rank)
        weights[f"recurrent_in_{n}"], weights[f"recurrent_out_{n}"] = recurrent
        if n:
            kernel = factor(teacher.weights[f"kernel_{n}"], vectors[n - 1], rank)
            weights[f"kernel_in_{n}"], weights[f"kernel_out_{n}"] = kernel
    return {name: np.float32(value) for name, value in weights.items()}


def train(
    teacher: Teacher, initial: dict[str, np.ndarray], windows: np.ndarray, steps: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Train a student on the squared distance to the teacher's embeddings, and of the similarities in a batch.

    Returns:
      The weights of `speaker_embedding.encode_windows`.
    """
    weights = {name: tf.Variable(value, name=name) for name, value in initial.items()}
    optimizer = tf.keras.optimizers.Adam(
        tf.keras.optimizers.schedules.CosineDecay(LEARNING_RATE, max(1, steps)), global_clipnorm=1.0
    )

    @tf.function
    def train_step(x, labels):
        with tf.GradientTape() as tape:
            y = encode_windows(x, weights)
            distance = tf.reduce_mean(tf.reduce_sum(tf.square(y - labels), -1))
            similarities = tf.matmul(y, y, transpose_b=True) - tf.matmul(labels, labels, transpose_b=True)
            loss = distance + SIMILARITY_WEIGHT * tf.reduce_mean(tf.square(similarities))
        variables = list(weights.values())
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return distance

    mean, began = 0.0, time.monotonic()
    for step in range(1, steps + 1):
        batch = windows[rng.integers(len(windows), size=BATCH_SIZE)].astype(np.float32)
        distance = float(train_step(batch, np.float32(teacher.embed_windows(batch))))
        mean += (distance - mean) / min(step, 50)
        if step % 50 == 0:
            print(f"step {step}: squared distance {mean:.4f}, {time.monotonic() - began:.0f} s", flush=True)
    return {name: value.numpy() for name, value in weights.items()}


def relative_similarities(names: list[str], embeddings: np.ndarray) -> dict[str, dict[str, float]]:
    """Relative similarity of each row of each pair of `speaker_clips.validation_clips`."""
    pairs, names = {}, np.array(names)
    for pair in sorted({name.rpartition("/")[0] for name in names}):
        voice = unit_length(embeddings[names == f"{pair}/recording"].mean(axis=0))
        low, high = (
            float((embeddings[names == f"{pair}/{row}"] @ voice).mean()) for row in ("no_op", "copy_synthesis")
        )
        similarities = {row: float((embeddings[names == f"{pair}/{row}"] @ voice).mean()) for row in ROWS}
        pairs[pair] = {row: (value - low) / (high - low) for row, value in similarities.items()}
        pairs[pair]["separation"] = high - low
    return pairs


def compare_rows(names: list[str], teacher: np.ndarray, student: np.ndarray) -> None:
    """Print how far the rows of student and teacher differ."""
    print(f"cosine similarity of student and teacher: {np.sum(teacher * student, axis=1).mean():.4f}")
    by_teacher, by_student = (relative_similarities(names, x) for x in (teacher, student))
    for pair, values in by_teacher.items():
        print(pair, " ".join(f"{key} {value:.2f} {by_student[pair][key]:.2f}" for key, value in values.items()))
    separate = [pair for pair, values in by_teacher.items() if values["separation"] >= MIN_SEPARATION]
    for row in ROWS:
        differences = np.array([by_student[pair][row] - by_teacher[pair][row] for pair in separate])
        print(
            f"{row}: mean difference {differences.mean():.3f}, absolute {np.abs(differences).mean():.3f}, "
            f"largest {np.abs(differences).max():.3f} over {len(separate)} pairs"
        )


def equal_error_rate(names: list[str], embeddings: np.ndarray) -> float:
    """Return the equal error rate over all pairs of recordings."""
    names, pairs = np.array(names), np.triu_indices(len(names), 1)
    false_alarms, hits, _ = metrics.roc_curve((names[:, None] == names)[pairs], (embeddings @ embeddings.T)[pairs])
    n = int(np.argmin(np.abs(false_alarms - (1 - hits))))
    return float(false_alarms[n] + 1 - hits[n]) / 2


def read_recordings(folders: list[str], every: int) -> list[tuple[str, np.ndarray]]:
    """Speaker and frames of each recording of the held-out speakers."""
    speakers = speaker_clips.list_speakers(folders)
    recordings = []
    for name in speaker_clips.held_out_speakers(speakers, every):
        for path in speakers[name]:
            frames = speaker_embedding.speech_frames(*speaker_clips.read_recording(path))
            recordings += [(name, frames)] if len(frames) >= MIN_FRAMES else []
    return recordings


def validate(teacher: Teacher, weights: dict[str, np.ndarray]) -> None:
    """Print the agreement of student and teacher on clips of held-out speakers, and their equal error rates."""
    sets = {"clips": read_clips([FLAGS.validation]), "recordings": read_recordings(FLAGS.speech, FLAGS.held_out)}
    for kind, clips in sets.items():
        names, frames = [name for name, _ in clips], [x.astype(np.float32) for _, x in clips]
        student = embed_frames(frames, weights)
        by_teacher = teacher.embed_all(frames)
        if kind == "clips":
            compare_rows(names, by_teacher, student)
        else:
            rates = [100 * equal_error_rate(names, x) for x in (student, by_teacher)]
            print(f"equal error rates of {len(set(names))} speakers: {rates[0]:.1f} %, teacher {rates[1]:.1f} %")


def main(_):
    """Train, write the weights, and evaluate on held-out speakers."""
    teacher = Teacher()
    if FLAGS.clips:
        windows = np.concatenate([cut_windows(x) for _, x in read_clips(FLAGS.clips)])
        print(f"{len(windows)} windows", flush=True)
        rng = np.random.default_rng(FLAGS.seed)
        if FLAGS.initial:
            initial = read_weights(FLAGS.initial)
        else:
            initial = initial_weights(teacher, windows[rng.permutation(len(windows))[:NUM_INITIAL]], RANK)
        weights = train(teacher, initial, windows, FLAGS.steps, rng)
        if FLAGS.average:
            weights = {name: (value + initial[name]) / 2 for name, value in weights.items()}
        np.savez_compressed(FLAGS.output, **{name: np.float16(value) for name, value in weights.items()})
    if FLAGS.validation:
        validate(teacher, read_weights(FLAGS.output))


if __name__ == "__main__":
    flags.DEFINE_multi_string(
        "clips", [], "File of `tests.speaker_clips`; may be repeated. Without, weights are evaluated."
    )
    flags.DEFINE_string("validation", None, "File of `tests.speaker_clips --validate`.")
    flags.DEFINE_multi_string("speech", [], "Folder of LibriSpeech files; may be repeated.")
    flags.DEFINE_string("output", None, "File of the weights.", required=True)
    flags.DEFINE_string("initial", None, "Weights to go on from; by default factors of the teacher's.")
    flags.DEFINE_bool("average", False, "Write the mean of the weights before and after training.")
    flags.DEFINE_integer("held_out", 0, "Every N-th speaker of at least 6 files is held out, as for the clips.")
    flags.DEFINE_integer("steps", 600, "Training steps.")
    flags.DEFINE_integer("seed", 0, "Random seed.")
    app.run(main)
