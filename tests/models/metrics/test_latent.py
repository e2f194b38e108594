"""Metrics of a latent space: continuity, completeness and distance to the prior."""

import numpy as np
import pytest

from models.metrics import latent


def test_continuity_is_one_on_a_straight_line_and_smallest_at_a_jump(rng):
    line = np.linspace(0, 1, 9)[:, None] * rng.normal(size=(1, 4))
    assert latent.continuity(line) == pytest.approx(1) and latent.straightness(line) == pytest.approx(1)
    assert latent.continuity(np.repeat([0.0, 1.0], 5)) == pytest.approx(1 / 9)
    assert np.isnan(latent.continuity(line * np.nan)) and np.isnan(latent.straightness(line * np.nan))
    assert latent.continuity(line[::-1] * 3 + 1) == pytest.approx(1)
    arc = np.stack([np.cos(np.linspace(0, np.pi, 50)), np.sin(np.linspace(0, np.pi, 50))], axis=1)
    assert latent.continuity(arc) == pytest.approx(1) and latent.straightness(arc) == pytest.approx(2 / np.pi, abs=0.01)


def test_support_accepts_reconstructions_and_rejects_averages_and_noise(rng):
    patterns = rng.normal(size=(6, 8, 8, 1))

    def outputs(count):
        return rng.normal(size=(count, 6)) ** 3 @ patterns.reshape(6, 64) + 0.01 * rng.normal(size=(count, 64))

    known, others, new = (outputs(count).reshape(-1, 8, 8, 1) for count in (400, 300, 400))
    support = latent.Support(known, others)
    assert support.acceptance_rate(new) == pytest.approx(0.95, abs=0.04)
    assert support.acceptance_rate(rng.normal(size=(100, 8, 8, 1))) == 0
    assert support.acceptance_rate(0.01 * new) < 0.2
    assert support.acceptance_rate(new + 50) == 0


def test_codes_drawn_from_the_prior_have_distance_zero(rng):
    codes = rng.normal(size=(4000, 3))
    assert latent.gaussian_kl_to_prior(codes) < 0.01 < latent.gaussian_kl_to_prior(2 * codes)
    assert abs(latent.distance_to_prior(codes)) < 0.1 < latent.distance_to_prior(codes + 1)
    assert latent.active_units(codes * [1, 0.05, 0]) == 1
