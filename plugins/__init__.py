"""The registry of model plugins, built in and installed. No plugin is imported before it is loaded.

Built-in plugins are listed in a table of strings, others come from installed distributions through the entry-point
group ``crossfade.plugins``. Both become `importlib.metadata.EntryPoint` objects, which are loaded the same way in the
launcher and on workers.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata

from models.errors import UserError

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
    "stargan": "plugins.stargan:StarGAN",
    "vae": "plugins.vae:VAE",
    "vocoder": "plugins.vocoder:Vocoder",
    "wgan_gp": "plugins.gan:WGANGP",
}


def available() -> dict[str, importlib.metadata.EntryPoint]:
    """Every plugin by name, built in or installed.

    Raises:
      UserError: two distributions offer the same name.
    """
    points = [importlib.metadata.EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()]
    table: dict[str, importlib.metadata.EntryPoint] = {}
    for point in [*points, *importlib.metadata.entry_points(group=GROUP)]:
        if point.name in table and table[point.name].value != point.value:
            places = f"{table[point.name].value} and {point.value}"
            raise UserError(f"two plugins are called {point.name!r}: {places}; uninstall one or rename it")
        table[point.name] = point
    return dict(sorted(table.items()))


def load(name: str) -> type:
    """The plugin class of that name.

    Raises:
      UserError: there is none (the message names the nearest), or its module does not import.
    """
    table = available()
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(table)}"
        raise UserError(f"no plugin is called {name!r}; {hint}")
    try:
        return table[name].load()
    except (ImportError, AttributeError) as error:
        raise UserError(f"plugin {name!r} ({table[name].value}) does not load: {error}") from error


def summary(name: str) -> str:
    """The first line of the docstring of a plugin's module, or of its class if the module has several plugins."""
    table = available()
    module = table[name].module
    alone = [point.module for point in table.values()].count(module) == 1
    documented = importlib.import_module(module) if alone else load(name)
    return (documented.__doc__ or "").strip().partition("\n")[0]
