"""Keys that the plugin refuses say so in its help."""

import pytest
from testbed import SMALL

from models import config_fields
from models.errors import UserError
from models.features import stats
from models.features.spec import Spec
from models.features.stats import Moments
from plugins import stargan


@pytest.mark.parametrize("key", ["gradient_penalty", "pool_size"])
def test_the_help_of_a_key_that_is_refused_says_that_it_has_to_be_0(key):
    with pytest.raises(UserError, match=f"{key}=10; stargan.*wanted 0"):
        stargan.Config(**{key: 10})
    assert "has to be 0" in config_fields.help_texts(stargan.Config)[key]


def test_many_domains_without_transport_share_one_filter():
    names, nothing = [f"voice{n}" for n in range(20)], Moments.empty(SMALL.n_mels, stats.LAGS)
    spec = Spec(SMALL, tuple(names), dict.fromkeys(names, nothing))
    plugin = stargan.StarGAN(stargan.Config(channels=4, blocks=1, discriminator_channels=4, transport=False), spec)
    assert plugin.filters.shape[:2] == (1, 1)
