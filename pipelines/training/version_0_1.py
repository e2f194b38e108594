"""Checkpoints of version 0.1, whose plugins had other attribute names: how today's plugins read them.

TensorFlow identifies a variable by the path of attributes that leads to it. A checkpoint of version 0.1 is therefore
restored into a tree of the same objects under their former names. To go with the next release.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

_TRANSLATOR = {
    "generator_ab": "g_ab",
    "generator_ba": "g_ba",
    "generator_optimizer": "generators",
    "discriminator_a": "adversary_a",
    "discriminator_b": "adversary_b",
    "discriminators": "adversaries",
}
_ONE_GENERATOR = {"generator_optimizer": "mover", "discriminator": "adversary"}
FORMER_NAMES: Mapping[str, Mapping[str, str]] = {  # class to attribute to its name in version 0.1
    "Plugin": {"learning_rate_scale": "rate_factor", "optimizer": "mover"},
    "CycleGAN": _TRANSLATOR,
    "MaskCycleGAN": _TRANSLATOR,
    "CUT": _ONE_GENERATOR,
    "DCGAN": _ONE_GENERATOR,
    "Pix2Pix": _ONE_GENERATOR,
    "StarGAN": _ONE_GENERATOR,
    "Vocoder": {"generator": "network", "generator_optimizer": "generator", "discriminators": "adversaries"},
    "Discriminator": {"optimizer": "player"},
    "ImagePool": {"examples": "fakes"},
    "Likelihood": {"log_sigma": "deviation"},
    "Optimizer": {
        "iterations": "made",
        "m": "first",
        "v": "second",
        "accumulated": "held",
        "loss_scale": "scale",
        "good_steps": "calm",
    },
}
MARKER = "plugin/rate_factor/"  # begins the key of a variable that every checkpoint of version 0.1 has


def is_version_0_1(checkpoint: str) -> bool:
    """Whether version 0.1 wrote a checkpoint.

    Args:
      checkpoint: path prefix, as `tf.train.latest_checkpoint` returns it.
    """
    return any(key.startswith(MARKER) for key, _ in tf.train.list_variables(checkpoint))


def former_names(cls: type) -> dict[str, str]:
    """Attributes of a class whose names have changed, to their names in version 0.1."""
    names: dict[str, str] = {}
    for parent in reversed(cls.__mro__):
        names |= FORMER_NAMES.get(parent.__name__, {})
    return names
