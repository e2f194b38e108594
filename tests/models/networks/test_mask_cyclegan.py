"""Networks of MaskCycleGAN-VC: masking and size."""

import numpy as np
import pytest
from network_cases import perturb_weights

from models.networks import mask_cyclegan


def test_masked_values_do_not_change_the_output(rng):
    network = perturb_weights(mask_cyclegan.masked_generator(8, channels=4, blocks=1), rng)
    mask = np.ones((1, 16, 8), np.float32)
    mask[:, 4:9] = 0
    x = rng.normal(size=(1, 16, 8)).astype(np.float32)
    other = np.where(mask, x, 5.0)
    np.testing.assert_allclose(network([x, mask]), network([other, mask]), atol=1e-5)
    assert np.abs(network([x, np.ones_like(mask)]) - network([x, mask])).max() > 1e-3


def test_the_full_masked_generator_has_the_papers_size():
    network = mask_cyclegan.masked_generator(80, channels=128, blocks=6)
    assert network.count_params() == pytest.approx(16.5e6, rel=0.01)
