"""Keys that the plugin refuses say so in its help."""

import pytest

from models import config_fields
from models.errors import UserError
from plugins import stargan


@pytest.mark.parametrize("key", ["gradient_penalty", "pool_size"])
def test_the_help_of_a_key_that_is_refused_says_that_it_has_to_be_0(key):
    with pytest.raises(UserError, match=f"{key}=10; stargan.*wanted 0"):
        stargan.Config(**{key: 10})
    assert "has to be 0" in config_fields.help_texts(stargan.Config)[key]
