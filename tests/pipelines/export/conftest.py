"""The signatures of an exported run."""

import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def exported(speech_run):
    return tf.saved_model.load(f"{speech_run}/export").signatures
