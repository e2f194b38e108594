"""`train`: which preset the records have."""

import pytest

from models.features.image import ImageSpec
from models.features.spec import Spec
from models.networks import efficientnet_lite
from pipelines import train


@pytest.mark.parametrize(
    ("is_installed", "channels", "kind"), [(True, 3, "photograph"), (False, 3, "image"), (False, 1, "image")]
)
def test_presets_for_photographs_are_taken_where_the_pretrained_weights_are(
    is_installed, channels, kind, monkeypatch, capsys
):
    monkeypatch.setattr(efficientnet_lite, "is_available", lambda: is_installed)
    assert train._preset_kind(Spec(ImageSpec(channels=channels), (), {})) == kind
    assert ("pip install" in capsys.readouterr().out) == (channels == 3 and not is_installed)
