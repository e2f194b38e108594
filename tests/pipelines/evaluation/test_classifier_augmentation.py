"""Training examples of the classifier: sizes, ranges, and repeatability."""

import numpy as np
import tensorflow as tf

from models.features.audio_spec import AudioSpec
from models.features.spec import Spec
from models.features.stats import Moments
from pipelines.evaluation import classifier_augmentation


def test_large_images_are_averaged_over_cells(rng):
    x = rng.uniform(-1, 1, (256, 512, 3))
    shrunk = classifier_augmentation.shrink(x)
    assert shrunk.shape == (64, 128, 3)
    np.testing.assert_allclose(shrunk[0, 0], x[:4, :4].mean(axis=(0, 1)), rtol=1e-5)


def test_broken_images_have_the_shape_of_the_examples(rng):
    examples = {"a": [rng.uniform(-1, 1, (16, 24, 3))] * 2, "b": [np.zeros((16, 24, 3))]}
    broken = classifier_augmentation.draw_broken_images(examples, 9, rng)
    assert broken.shape == (9, 16, 24, 3) and np.abs(broken).max() <= 1


def test_augmented_images_depend_on_step_and_seed_only(rng):
    x = tf.constant(rng.uniform(-1, 1, (8, 16, 16, 3)), tf.float32)
    first, again, other_step, other_seed = (
        classifier_augmentation.augment_images(x, tf.constant(step), seed).numpy()
        for step, seed in ((1, 0), (1, 0), (2, 0), (1, 5))
    )
    np.testing.assert_array_equal(first, again)
    for other in (x.numpy(), other_step, other_seed):
        assert np.abs(first - other).max() > 0.1


def test_views_of_a_recording_differ_in_level_spectrum_and_noise():
    features = AudioSpec.at(16000)
    rng = np.random.default_rng(0)
    recording = rng.normal(-2.0, 1.0, (150, features.n_mels)) - 4.0 * (np.arange(150) % 40 < 10)[:, None]
    spec = Spec(features, ("a",), {"a": Moments.of(recording)})
    moments = spec.moments["a"]
    views = [classifier_augmentation.speech_view(recording, spec, rng) * moments.std + moments.mean for _ in range(40)]
    assert {view.shape for view in views} == {(classifier_augmentation.CROP_FRAMES, features.n_mels)}
    spectra = np.array([view.mean(axis=0) for view in views])
    assert spectra.mean(axis=1).std() > 0.2  # gains
    tilts = spectra[:, :20].mean(axis=1) - spectra[:, -20:].mean(axis=1)
    assert tilts.std() > 0.2  # filters
    ranges = np.array([np.ptp(view.mean(axis=1)) for view in views])
    assert ranges.min() < 0.8 * ranges.max()  # noise fills the pauses of some
    assert min(view.min() for view in views) >= features.log_floor - 1e-6
