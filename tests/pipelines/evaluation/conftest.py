"""Held-out records that the tests of several modules of this package evaluate on."""

import pytest
from testbed import preprocess, write_voices


@pytest.fixture(scope="session")
def held_out(tmp_path_factory):
    """Records of voices that no run has heard, all for testing."""
    folder, data_dir = (tmp_path_factory.mktemp("records") / name for name in ("voices", "held_out"))
    write_voices(folder, 12, seed=100)
    preprocess(folder, data_dir, ("low", "high"), pairs=["n_fft=256", "n_mels=32"], fractions=(0.0, 1.0))
    return str(data_dir)
