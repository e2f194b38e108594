"""Stand-ins for plugins, and batches of the input pipeline as NumPy arrays."""

import numpy as np
import pytest

from pipelines.data import input_pipeline
from plugins import base

CONFIG = base.Config(crop_frames=16, seed=3)


class Mixed:
    BATCHES = "mixed"


class Unpaired:
    BATCHES = "unpaired"


class Paired:
    BATCHES = "paired"


FORMS = pytest.mark.parametrize("form", [Mixed, Unpaired])


KINDS = pytest.mark.parametrize("kind", ["speech", "picture"])


def batches(data, form, *, count, batch_size=4, config=CONFIG, **options):
    made = input_pipeline.batches(data, form, config, batch_size=batch_size, **options)
    return [{key: value.numpy() for key, value in batch.items()} for batch in made.take(count)]


def concatenate(parts):
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


class Waveforms:
    BATCHES = "waveforms"
