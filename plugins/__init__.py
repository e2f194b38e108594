"""The registry of model plugins, built in and installed. No plugin is imported before it is loaded.

Built-in plugins are listed in a table of strings, others come from installed distributions through the entry-point
group ``crossfade.plugins``; see :mod:`models.entry_points`.
"""

from __future__ import annotations

import importlib
import importlib.metadata

from models import entry_points

GROUP = "crossfade.plugins"

BUILT_IN = {
    "ae": "plugins.autoencoder:Autoencoder",
    "beta_tcvae": "plugins.vae:BetaTCVAE",
    "beta_vae": "plugins.vae:BetaVAE",
    "cut": "plugins.cut:CUT",
    "cyclegan": "plugins.cyclegan:CycleGAN",
    "db_vae": "plugins.db_vae:DBVAE",
    "dcgan": "plugins.gan:DCGAN",
    "mask_cyclegan": "plugins.mask_cyclegan:MaskCycleGAN",
    "pix2pix": "plugins.pix2pix:Pix2Pix",
    "recognition_synthesis": "plugins.recognition_synthesis:RecognitionSynthesis",
    "stargan": "plugins.stargan:StarGAN",
    "vae": "plugins.vae:VAE",
    "vocoder": "plugins.vocoder:Vocoder",
    "wgan_gp": "plugins.gan:WGANGP",
}

DEFAULTS = {"audio": "recognition_synthesis", "image": "cyclegan", "photograph": "cut"}  # by `Spec.preset_kind`
DEFAULT_OF_ONE_DOMAIN = {"audio": "recognition_synthesis", "image": "vae", "photograph": "vae"}


def default(kind: str, num_domains: int) -> str:
    """The plugin for records of a kind, "audio", "image" or "photograph", if none is named.

    >>> default("audio", 2), default("image", 2), default("photograph", 2), default("image", 1)
    ('recognition_synthesis', 'cyclegan', 'cut', 'vae')
    """
    return (DEFAULTS if num_domains > 1 else DEFAULT_OF_ONE_DOMAIN)[kind]


def available() -> dict[str, importlib.metadata.EntryPoint]:
    """Every plugin by name, built in or installed.

    Raises:
      UserError: two distributions offer the same name.
    """
    return entry_points.available(GROUP, BUILT_IN, "plugin")


def load(name: str) -> type:
    """The plugin class of that name.

    Raises:
      UserError: there is none (the message names the nearest), or its module does not import.
    """
    return entry_points.load(name, available(), "plugin")


def summary(name: str) -> str:
    """The first line of the docstring of a plugin's module, or of its class if the module has several plugins."""
    table = available()
    module = table[name].module
    alone = [point.module for point in table.values()].count(module) == 1
    documented = importlib.import_module(module) if alone else load(name)
    return (documented.__doc__ or "").strip().partition("\n")[0]
