"""Divergences, likelihoods, and the plugins that weigh them."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models.losses import variational
from pipelines import config
from pipelines.data import dataset, input_pipeline
from plugins import db_vae, vae

NUMBERS = st.floats(-3, 3, width=32)


@laws
@given(mu=st.lists(NUMBERS, min_size=2, max_size=2), log_var=st.lists(NUMBERS, min_size=2, max_size=2))
def test_the_divergence_is_never_negative_and_adds_up_over_dimensions(mu, log_var):
    both = float(variational.kl_to_prior(tf.constant([mu]), tf.constant([log_var]))[0])
    parts = [
        float(variational.kl_to_prior(tf.constant([[m]]), tf.constant([[v]]))[0])
        for m, v in zip(mu, log_var, strict=True)
    ]
    assert both >= -1e-6 and both == pytest.approx(sum(parts), abs=1e-4)


def test_the_divergence_is_the_mean_of_log_ratios(rng):
    mu, log_var = tf.constant([[0.7, -1.0]]), tf.constant([[0.3, -0.8]])
    noise = rng.normal(size=(200000, 2)).astype(np.float32)
    z = variational.reparameterize(mu, log_var, noise)
    ratio = variational.gaussian_log_density(z, mu, log_var) - variational.gaussian_log_density(z, 0.0 * z, 0.0 * z)
    np.testing.assert_allclose(np.mean(np.sum(ratio, 1)), variational.kl_to_prior(mu, log_var)[0], rtol=0.02)


def test_likelihoods_are_those_of_the_textbook(rng):
    x, mean = rng.normal(size=(2, 3, 4)).astype(np.float32)
    found = variational.gaussian_nll(tf.constant(x), tf.constant(mean), np.log(0.5))
    np.testing.assert_allclose(found, -scipy.stats.norm(mean, 0.5).logpdf(x).sum(1), rtol=1e-4)
    bits, p = (x > 0).astype(np.float32), scipy.special.expit(mean)
    found = variational.bernoulli_nll(tf.constant(bits), tf.constant(mean))
    np.testing.assert_allclose(found, -scipy.stats.bernoulli(p).logpmf(bits).sum(1), rtol=1e-4)


def decomposed(mu, log_var, noise):
    mu, log_var = tf.constant(mu, tf.float32), tf.constant(log_var, tf.float32)
    z = variational.reparameterize(mu, log_var, tf.constant(noise, tf.float32))
    return z, {k: v.numpy() for k, v in variational.decompose_kl(z, mu, log_var, (mu, log_var)).items()}


def test_the_parts_of_the_divergence_add_up_to_it(rng):
    mu, log_var = rng.normal(size=(2, 16, 3))
    z, parts = decomposed(mu, log_var, rng.normal(size=(16, 3)))
    whole = variational.gaussian_log_density(z, tf.cast(mu, tf.float32), tf.cast(log_var, tf.float32))
    whole = np.sum(whole - variational.gaussian_log_density(z, 0.0 * z, 0.0 * z), axis=1)
    np.testing.assert_allclose(sum(parts.values()), whole, atol=1e-4)


def test_codes_on_a_grid_have_no_total_correlation_and_on_a_diagonal_have(rng):
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0)), -1).reshape(16, 2)
    diagonal = np.repeat(np.arange(4.0), 4)[:, None] * [1, 1]
    narrow, noise = np.full((16, 2), -4.0), rng.normal(size=(16, 2))
    np.testing.assert_allclose(decomposed(grid, narrow, noise)[1]["total_correlation"], 0, atol=1e-4)
    assert decomposed(diagonal, narrow, noise)[1]["total_correlation"].mean() == pytest.approx(np.log(4), abs=0.1)


def test_codes_that_tell_all_examples_apart_hold_as_much_information_as_there_are_examples(rng):
    apart, alike = 10.0 * np.arange(8.0)[:, None], np.zeros((8, 1))
    narrow, noise = np.full((8, 1), -2.0), rng.normal(size=(8, 1))
    np.testing.assert_allclose(decomposed(apart, narrow, noise)[1]["mutual_information"], np.log(8), atol=1e-4)
    np.testing.assert_allclose(decomposed(alike, narrow, noise)[1]["mutual_information"], 0, atol=1e-4)


@pytest.fixture(scope="module")
def data(speech_records):
    return dataset.open_records(speech_records)


def made(plugin_class, spec, **changes):
    small = {"crop_frames": 16, "channels": 8, "latent": 4, "batch_size": 4}
    return plugin_class(dataclasses.replace(plugin_class.Config(), **{**small, **changes}), spec)


@pytest.mark.parametrize(("step", "slope"), [(0, 1.0), (50, 1.0), (100, -1.0)])
def test_capacity_pushes_the_divergence_up_from_below_and_down_from_above(data, step, slope):
    plugin = made(vae.BetaVAE, data.spec, beta=10.0, capacity=8.0, capacity_steps=100)
    nats = tf.constant(6.0)
    with tf.GradientTape() as tape:
        tape.watch(nats)
        penalty = plugin._penalty({"kl": nats}, tf.constant(step))
    assert float(tape.gradient(penalty, nats)) == 10.0 * slope


@pytest.mark.parametrize("plugin_class", [vae.VAE, vae.BetaVAE, vae.BetaTCVAE])
def test_with_all_weights_at_one_the_family_is_one_model(plugin_class, data):
    weights = {"beta": 1.0, "batch_size": 4}
    (batch,) = input_pipeline.batches(data, plugin_class, made(plugin_class, data.spec).config, batch_size=4).take(1)
    tf.keras.utils.set_random_seed(0)
    plugin = made(plugin_class, data.spec, **weights)
    tf.keras.utils.set_random_seed(0)
    plain = made(vae.VAE, data.spec)
    found, wanted = plugin.eval_step(batch, 4), plain.eval_step(batch, 4)
    assert float(found["reconstruction"]) == pytest.approx(float(wanted["reconstruction"]), rel=1e-5)
    nats = [float(values["negative_elbo"] - values["reconstruction"]) for values in (found, wanted)]
    assert nats[0] == pytest.approx(nats[1], rel=1e-5) if plugin_class is not vae.BetaTCVAE else nats[0] > 0


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_what_a_likelihood_is_the_mean_of_are_features(likelihood, data):
    plugin = made(vae.VAE, data.spec, likelihood=likelihood)
    loudest, quietest = data.spec.overall.highest, np.full(data.spec.bins, data.spec.features.log_floor)
    for x in (loudest, quietest):
        features = tf.constant(np.tile(x, (1, 16, 1)), tf.float32)
        target = plugin.likelihood.target(features)
        decoded = target
        if likelihood == "bernoulli":
            assert 0 <= float(tf.reduce_min(target)) <= float(tf.reduce_max(target)) <= 1
            clipped = np.clip(target, 1e-6, 1 - 1e-6)
            decoded = tf.constant(scipy.special.logit(clipped), tf.float32)
        np.testing.assert_allclose(plugin.likelihood.features(decoded), features, atol=1e-3)


def test_the_standard_deviation_is_learned_only_if_none_is_set(data):
    assert made(vae.VAE, data.spec).likelihood.log_sigma is not None
    for changes in ({"sigma": 0.5}, {"likelihood": "bernoulli"}):
        assert made(vae.VAE, data.spec, **changes).likelihood.log_sigma is None
    with pytest.raises(ValueError, match="sigma=-1"):
        made(vae.VAE, data.spec, sigma=-1.0)


def test_only_examples_of_the_encoded_domain_are_encoded(data):
    batches = input_pipeline.batches(data, db_vae.DBVAE, made(db_vae.DBVAE, data.spec).config, batch_size=4)
    (batch,) = batches.take(1)
    plugin = made(db_vae.DBVAE, data.spec, encoded_domain="low", sigma=1.0)
    for domain, is_coded in ((0, True), (1, False)):
        values = plugin.eval_step({**batch, "domain": tf.fill([4], domain)}, 4)
        assert (float(values["reconstruction"]) != 0) == (float(values["kl"]) != 0) == is_coded
        assert float(values["classification"]) > 0
    with pytest.raises(ValueError, match="encoded_domain='middle'; wanted one of the domains low, high"):
        made(db_vae.DBVAE, data.spec, encoded_domain="middle")


def test_likelihoods_are_chosen_by_name():
    with pytest.raises(ValueError, match="did you mean gaussian"):
        config.parse_pairs(vae.Config, ["likelihood=gausian"])
