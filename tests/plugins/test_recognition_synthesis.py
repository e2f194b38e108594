"""The plugin recognition_synthesis: what its decoder is given, and what it learns."""

import numpy as np
import pytest
import tensorflow as tf
from testbed import train

from models.errors import UserError
from models.recognition import content_encoder
from pipelines.data import dataset, input_pipeline
from pipelines.inference import exported_model
from plugins import recognition_synthesis
from plugins.recognition_synthesis import Config, RecognitionSynthesis

SIZES = {"channels": 16, "blocks": 1, "crop_frames": 32, "batch_size": 4}


@pytest.fixture(scope="module")
def data(speech_records):
    return dataset.open_records(speech_records)


def first_batch(data, plugin):
    return next(iter(input_pipeline.batches(data, RecognitionSynthesis, plugin.config, batch_size=4)))


def test_only_decoder_and_discriminator_are_trained(data):
    plugin = RecognitionSynthesis(Config(**SIZES), data.spec)
    assert {network.name for network in plugin.networks()} == {"speech_decoder", "mel_patch_discriminator"}
    alone = RecognitionSynthesis(Config(**SIZES, adversarial=0.0), data.spec)
    assert alone.networks() == [alone.decoder]
    assert set(alone.eval_step(first_batch(data, alone), 4)) == {"l1"}


def test_features_are_content_pitch_voicing_and_level(data):
    plugin = RecognitionSynthesis(Config(**SIZES), data.spec)
    batch = first_batch(data, plugin)
    features = plugin._features(batch["x"]).numpy()
    assert features.shape == (4, 32, content_encoder.COMPONENTS + 3)
    louder = plugin._features(batch["x"] + 1.0).numpy()
    np.testing.assert_allclose(louder[..., -1] - features[..., -1], recognition_synthesis.LEVEL_SCALE, atol=1e-4)
    assert (features[..., -2] >= 0).all() and (features[..., -2] <= 1).all()


def test_alterations_change_the_content_but_neither_pitch_nor_level(data):
    plugin = RecognitionSynthesis(Config(**SIZES), data.spec)
    batch = first_batch(data, plugin)
    plain, altered = (plugin._features(batch["x"], rng).numpy() for rng in (None, plugin.rng(batch, 4)))
    np.testing.assert_allclose(plain[..., -3:], altered[..., -3:], atol=1e-5)
    assert np.abs(plain - altered)[..., :-3].mean() > 0.01


def test_without_alterations_training_and_evaluation_agree(data):
    plugin = RecognitionSynthesis(Config(**SIZES, stretch=1.0, dropout=0.0), data.spec)
    batch = first_batch(data, plugin)
    wanted = float(plugin.eval_step(batch, 4)["l1"])
    assert float(plugin.train_step(batch, 4)["l1"]) == pytest.approx(wanted, rel=1e-5)


def test_the_source_domain_does_not_matter_and_the_target_does(data):
    plugin = RecognitionSynthesis(Config(**SIZES), data.spec)
    batch = first_batch(data, plugin)
    for _ in range(5):
        plugin.train_step(batch, 4)
    translate = plugin.signatures()["translate_to"]
    results = [translate(batch["x"], tf.constant(a), tf.constant(b)).numpy() for a, b in ((0, 1), (1, 1), (0, 0))]
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).mean() > 0.01


@pytest.mark.parametrize("changes", [{"stretch": 0.5}, {"dropout": 1.0}, {"channels": 0}])
def test_configurations_that_mean_nothing_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Config(**changes)


def test_any_voice_is_a_source(data, speech_records, tmp_path, features_only):
    run_dir = str(tmp_path / "run")
    train(run_dir, speech_records, "recognition_synthesis", steps=1, **SIZES).fit()
    model, (first, second) = exported_model.Model(run_dir), data.spec.domains
    assert model.any_source
    assert model.translation(second)[0] == first  # the only other one
    x = first_batch(data, RecognitionSynthesis(Config(**SIZES), data.spec))["x"].numpy()
    results = [model.translation(second, source)[1](x) for source in (None, first, second)]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    with pytest.raises(UserError, match="no such domain"):
        model.translation("nobody")
