"""Which domain does this sound or look like? A small judge for evaluation, trained from the records.

For speech it is shown every recording twice, as it is and sent through the run's own front end and
inverter: a judge that has heard only originals takes the inversion for another voice. For pictures it is shown noise
and scrambled examples too, as *neither*: made to choose, it sees a domain in whatever a broken model makes.
"""

from __future__ import annotations

import collections
import dataclasses

import keras
import numpy as np
import tensorflow as tf

from models import layers
from models.features import ood_examples
from models.features.spec import Spec

STEPS = 400
SURE = 0.01  # nats, over `WATCHED` steps: domains told apart this well are learnt
WATCHED = 50
BATCH = 32
FRAMES = 96  # of a recording that one training example shows at the most
NEITHER_ODDS = 99.0  # at which a picture is of neither domain: files are of one, and noise is told at far more
LEVEL_SHIFT = 0.7  # nepers: loudness must not give a domain away


@dataclasses.dataclass
class Classifier:
    """A trained judge.

    Attributes:
      network: features to one logit a domain, and for pictures one of neither.
      spec: of the records.
    """

    network: keras.Model
    spec: Spec

    def judge(self, examples: list[np.ndarray]) -> np.ndarray:
        """The number of the domain that each example is taken for, `[n]`; of a picture of neither, that of domains."""
        if self.spec.kind == "audio":
            examples = [_normalize(_filled(x), self.spec) for x in examples]
        logits = np.concatenate([self.network(x[None].astype(np.float32)) for x in examples])
        logits[:, len(self.spec.domains) :] -= np.log(NEITHER_ODDS)
        return np.argmax(logits, axis=1)

    def accuracy(self, examples: dict[str, list[np.ndarray]]) -> dict[str, float]:
        """The share of each domain's examples that is taken for it."""
        named = enumerate(self.spec.domains)
        return {name: float(np.mean(self.judge(examples[name]) == n)) for n, name in named if examples.get(name)}


def fit(examples: dict[str, list[np.ndarray]], spec: Spec, *, seed: int = 0, steps: int = STEPS) -> Classifier:
    """Trains a judge.

    Args:
      examples: domain to features: log-mels of any length, or pictures in [-1, 1].
      spec: of the records.
      seed: of weights and draws.
      steps: of training at the most, at batch size 32; it ends when the loss stays under `SURE`.
    """
    keras.utils.set_random_seed(seed)
    classes = len(spec.domains) + (spec.kind == "image")
    network = _speech_network(spec.bins, classes) if spec.kind == "audio" else _image_network(spec, classes)
    rng = np.random.default_rng(seed)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))
    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            logits = network(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    found = collections.deque(maxlen=WATCHED)
    for _ in range(steps):
        answers = rng.integers(classes, size=BATCH)
        shown = [_shown(_drawn(examples, answer, spec, rng), spec, rng) for answer in answers]
        found.append(float(step(np.stack(shown).astype(np.float32), answers)))
        if len(found) == WATCHED and np.mean(found) < SURE:
            break
    return Classifier(network, spec)


def _drawn(examples: dict[str, list[np.ndarray]], answer: int, spec: Spec, rng: np.random.Generator) -> np.ndarray:
    """An example of a domain, or what is made of one of any domain to be of neither."""
    neither = answer == len(spec.domains)
    known = examples[spec.domains[rng.integers(answer) if neither else answer]]
    x = known[rng.integers(len(known))]
    return ood_examples.ood_example(x, rng) if neither else x


def _shown(x: np.ndarray, spec: Spec, rng: np.random.Generator) -> np.ndarray:
    """A training view of an example: speech cut to `FRAMES`, or repeated, at another level."""
    if spec.kind == "image":
        return x
    start = rng.integers(max(1, len(x) - FRAMES + 1))
    cut = _filled(x[start : start + FRAMES])
    louder = np.maximum(cut + rng.uniform(-LEVEL_SHIFT, LEVEL_SHIFT), spec.features.log_floor)
    return _normalize(louder, spec)


def _filled(x: np.ndarray) -> np.ndarray:
    """A recording, again and again until it is `FRAMES` long: silence instead would be something to hear."""
    return np.resize(x, (max(FRAMES, len(x)), x.shape[1]))


def _normalize(x: np.ndarray, spec: Spec) -> np.ndarray:
    return (x - spec.overall.mean) / spec.overall.std


def _speech_network(bins: int, classes: int) -> keras.Model:
    """Three convolutions over time, then mean and deviation over the frames."""
    x = h = keras.Input((None, bins))
    h = keras.layers.SpatialDropout1D(0.1)(h)
    for strides in (1, 2, 1):
        h = layers.frame_norm(keras.ops.relu(keras.layers.Conv1D(64, 5, strides, padding="same")(h)))
    pooled = keras.ops.concatenate([keras.ops.mean(h, axis=1), keras.ops.std(h, axis=1)], axis=-1)
    return keras.Model(x, keras.layers.Dense(classes)(keras.layers.Dropout(0.3)(pooled)))


def _image_network(spec: Spec, classes: int) -> keras.Model:
    x = h = keras.Input(spec.feature_shape())
    for channels in (32, 64, 128):
        h = keras.ops.relu(keras.layers.Conv2D(channels, 3, 2, padding="same")(h))
    h = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D()(h))
    return keras.Model(x, keras.layers.Dense(classes)(h))
