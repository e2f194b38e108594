"""The plugin recognition_synthesis: what its decoder is given, and what it learns."""

import numpy as np
import pytest
import tensorflow as tf
from testbed import train

from models.errors import UserError
from models.features.spec import Spec
from models.recognition import content_encoder
from models.synthesis import intonation
from pipelines.data import dataset, input_pipeline
from pipelines.inference import exported_model
from pipelines.training import checkpoint
from plugins import recognition_synthesis
from plugins.recognition_synthesis import Config, RecognitionSynthesis

SIZES = {"channels": 16, "blocks": 1, "crop_frames": 32, "batch_size": 4}


@pytest.fixture(scope="module")
def data(speech_records):
    return dataset.open_records(speech_records)


def first_batch(data, plugin):
    return next(iter(input_pipeline.batches(data, RecognitionSynthesis, plugin.config, batch_size=4)))


def decoder_input(plugin, log_mels, rng=None):
    return plugin._features(log_mels, intonation.track(log_mels, plugin.spec.features), rng)


def test_only_decoder_and_discriminator_are_trained(data):
    plugin = RecognitionSynthesis(Config(**SIZES), data.spec)
    assert {network.name for network in plugin.networks()} == {
        "speech_decoder",
        "domain_embedding",
        "mel_patch_discriminator",
    }
    alone = RecognitionSynthesis(Config(**SIZES, adversarial=0.0), data.spec)
    assert alone.networks() == [alone.decoder, alone.voices]
    assert set(alone.eval_step(first_batch(data, alone), 4)) == {"l1"}


def test_features_are_content_pitch_voicing_and_level(data):
    plugin = RecognitionSynthesis(Config(**SIZES), data.spec)
    batch = first_batch(data, plugin)
    features, tones = (x.numpy() for x in decoder_input(plugin, batch["x"]))
    assert features.shape == (4, 32, content_encoder.COMPONENTS + 3)
    assert tones.shape == batch["x"].shape
    louder = decoder_input(plugin, batch["x"] + 1.0)[0].numpy()
    np.testing.assert_allclose(louder[..., -1] - features[..., -1], recognition_synthesis.LEVEL_SCALE, atol=1e-4)
    assert (features[..., -2] >= 0).all() and (features[..., -2] <= 1).all()


def test_alterations_change_the_content_but_neither_pitch_nor_level(data):
    plugin = RecognitionSynthesis(Config(**SIZES), data.spec)
    batch = first_batch(data, plugin)
    (plain, tones), (altered, same_tones) = (
        decoder_input(plugin, batch["x"], rng) for rng in (None, plugin.rng(batch, 4))
    )
    plain, altered = plain.numpy(), altered.numpy()
    np.testing.assert_array_equal(tones, same_tones)
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


def test_f0_of_every_domain_is_counted(data):
    plugin = RecognitionSynthesis(Config(**SIZES), data.spec)
    batch = first_batch(data, plugin)
    for _ in range(3):
        plugin.train_step(batch, 4)
    pitch = intonation.track(batch["x"], data.spec.features)
    for domain in set(batch["domain"].numpy()):
        rows = batch["domain"].numpy() == domain
        mean = np.average(pitch.log_f0.numpy()[rows], weights=pitch.voicing.numpy()[rows])
        found = plugin.intonation.level.mean(tf.constant([domain])).numpy().item()
        assert found == pytest.approx(mean, abs=0.02)  # the prior counts a little


def test_the_variance_of_decoded_bands_is_raised_to_that_of_recordings_within_a_limit(data):
    plugin = RecognitionSynthesis(Config(**SIZES), data.spec)
    rng, domain = np.random.default_rng(0), tf.constant([0])
    shape = (1, 200, data.spec.bins)
    recorded = tf.constant(rng.normal(0.0, 1.0, shape), tf.float32)
    for width, wanted in ((0.9, 1.0), (0.5, 0.5 * recognition_synthesis.MAX_VARIANCE_SCALE), (1.1, 1.1)):
        decoded = 0.3 + width * recorded
        for moments in (plugin.recorded, plugin.decoded):
            moments.sums.assign(1e-6 * moments.sums)
        plugin.recorded.add(recorded, domain)
        plugin.decoded.add(decoded, domain)
        y = plugin._with_recorded_variance(decoded, domain).numpy()
        np.testing.assert_allclose(y.mean(axis=1), decoded.numpy().mean(axis=1), atol=0.01)
        np.testing.assert_allclose(y.std(axis=1), wanted * recorded.numpy().std(axis=1), rtol=0.01)


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


def test_a_warm_start_adds_a_domain(data, speech_records, tmp_path):
    train(str(tmp_path), speech_records, "recognition_synthesis", steps=1, **SIZES, discriminator_channels=8).fit()
    wider = Spec(data.spec.features, (*data.spec.domains, "third"), data.spec.moments | {"third": data.spec.overall})
    config = Config(**SIZES, discriminator_channels=8, seed=7)
    plugin = RecognitionSynthesis(config, wider)
    kernel = plugin.decoder.get_layer("input").kernel.numpy()
    checkpoint.warm_start(plugin, str(tmp_path))
    loaded = plugin.decoder.get_layer("input").kernel.numpy()
    assert np.abs(loaded - kernel).max() > 0.01
    assert plugin.voices.get_layer("table").kernel.shape == (3, Config().embedding)

    same = RecognitionSynthesis(config, data.spec)
    checkpoint.warm_start(same, str(tmp_path))
    assert np.abs(same.voices.get_layer("table").kernel).max() > 0


def test_single_precision_keeps_the_moments_of_the_domains(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "recognition_synthesis", precision="mixed_bfloat16", **SIZES)
    made.plugin.train_step(next(made.loader.batches("train", 0)), 4)
    twin = checkpoint.to_single_precision(made.plugin, made.run)
    for old, new in zip(made.plugin.statistics(), twin.statistics(), strict=True):
        np.testing.assert_array_equal(old, new)
        assert float(tf.reduce_max(new[:, 0])) > 1  # frames, not only the prior
