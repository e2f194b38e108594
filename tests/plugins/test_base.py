"""Values of configuration keys that mean nothing are refused by name, before any network is built."""

import pytest
import tensorflow as tf

import plugins
from models.errors import UserError
from models.losses import reduction

INVALID = [
    ("ae", {"seed": -1}),
    ("ae", {"seed": 2**32}),
    ("ae", {"steps": -5}),
    ("cyclegan", {"blocks": -2}),
    ("cyclegan", {"channels": 0}),
    ("cyclegan", {"kernel": 0}),
    ("stargan", {"channels": -1}),
    ("pix2pix", {"channels": 0}),
    ("pix2pix", {"kernel": 0}),
    ("cut", {"features": 0}),
    ("cut", {"num_patches": 0}),
    ("cut", {"temperature": 0.0}),
    ("mask_cyclegan", {"channels": 33}),
    ("mask_cyclegan", {"discriminator_channels": 33}),
    ("mask_cyclegan", {"blocks": -1}),
    ("recognition_synthesis", {"kernel": 4}),
]


@pytest.mark.parametrize(("name", "changes"), INVALID, ids=lambda value: str(value))
def test_a_value_out_of_range_is_refused_with_its_key(name, changes):
    with pytest.raises(UserError, match=rf"^{next(iter(changes))}="):
        plugins.load(name).Config(**changes)


def test_a_training_without_a_loss_is_refused():
    with pytest.raises(UserError, match="weights of all losses are 0"):
        reduction.total({}, {})
    assert float(reduction.total({"l1": tf.constant(2.0)}, {"l1": 3.0})) == 6.0
