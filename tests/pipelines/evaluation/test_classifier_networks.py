"""Networks of the domain classifier: shapes, early stopping, and batches."""

import types

import keras
import numpy as np
import pytest

from pipelines.evaluation import classifier_networks

IMAGES = types.SimpleNamespace(domains=("dark", "bright"))


def pictures(rng, count=12):
    """Images that differ in their brightness."""
    return {
        name: list(np.float32(rng.uniform(-0.2, 0.2, (count, 16, 16, 1)) + level))
        for name, level in (("dark", -0.5), ("bright", 0.5))
    }


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 3), (128, 64, 3)])
def test_the_image_network_takes_every_size(shape):
    network = classifier_networks.image_network(shape, 3)
    assert network(np.zeros((2, *shape), np.float32)).shape == (2, 3)


def test_batches_hold_all_classes_in_their_shares(rng):
    x, labels = classifier_networks.image_batches(pictures(rng), IMAGES)(rng)
    assert x.shape == (classifier_networks.BATCH_SIZE, 16, 16, 1)
    broken = labels == 2
    assert broken.sum() == round(classifier_networks.NEITHER_SHARE * classifier_networks.BATCH_SIZE)
    means = x.mean(axis=(1, 2, 3))
    assert (means[labels == 0] < 0).all() and (means[labels == 1] > 0).all() and set(labels) == {0, 1, 2}


def test_training_stops_when_validation_examples_are_recognised(rng):
    keras.utils.set_random_seed(0)
    calls, examples = [], pictures(rng)

    def draw(generator):
        calls.append(1)
        labels = generator.integers(2, size=16)
        return np.stack([examples[IMAGES.domains[n]][generator.integers(12)] for n in labels]), labels

    network = classifier_networks.image_network((16, 16, 1), 2)
    classifier_networks.train(network, draw, 400, seed=0, is_augmented=False, validation=draw(rng))
    assert classifier_networks.LOSS_WINDOW < len(calls) < 400
    x, labels = draw(rng)
    assert (np.argmax(network(x, training=False), axis=1) == labels).all()
