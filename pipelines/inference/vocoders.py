"""Vocoders by the name that `--inverter` gives them: the universal one of a front end, or that of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from models.errors import UserError
from models.features import inversion
from models.features.audio import AudioSpec
from models.vocoders import universal
from pipelines import config
from pipelines.inference.exported_model import Model

INVERTERS = ("auto", "griffin_lim", "source_phase", "vocoder:RUN")


class Vocoder:
    """A vocoder for one front end.

    Args:
      name: for logs and reports.
      spec: the front end.
      context: frames on either side that the samples of one hop depend on.
      vocode_fn: function from log-mels `[1, frames, mels]` to waveforms `[1, (frames - 1) * hop_length]`.
    """

    def __init__(self, name: str, spec: AudioSpec, context: int, vocode_fn: Callable[[np.ndarray], np.ndarray]):
        self.name, self.spec, self.context, self.vocode_fn = name, spec, context, vocode_fn

    @classmethod
    def of_model(cls, name: str, model: Model) -> Vocoder:
        """Return the vocoder of a run, by its signature `vocode`."""
        return cls(name, model.spec.features, model.context, lambda x: model.call("vocode", features=x))

    @classmethod
    def universal(cls, spec: AudioSpec) -> Vocoder | None:
        """Return the vocoder of the package, or None if there is none for this front end."""
        shipped = universal.find(spec)
        if shipped is None:
            return None
        return cls(shipped.name_and_hash, spec, shipped.context, lambda x: shipped.vocode(tf.constant(x)).numpy())

    def vocode(self, log_mels: np.ndarray, first: int, frames: int) -> np.ndarray:
        """Vocode some of the frames of log-mels; the others are their context.

        Args:
          log_mels: `[any, mels]`.
          first: index of the first of these frames.
          frames: number of these frames.

        Returns:
          Samples `[(frames - 1) * hop_length]`.
        """
        hop = self.spec.hop_length
        return self.vocode_fn(log_mels[None])[0][first * hop :][: (frames - 1) * hop]

    def vocode_clips(self, mels: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Vocode log-mels `[frames, mels]` of any lengths to waveforms `[(frames - 1) * hop_length]`, one by one."""
        edge, floor = inversion.edge(self.context), self.spec.log_floor
        padded = (np.pad(np.float32(x), ((edge, edge), (0, 0)), constant_values=floor) for x in mels)
        return [self.vocode(x, edge, len(x) - 2 * edge) for x in padded]


def load_vocoder(name: str, spec: AudioSpec, load_model: Callable[[str], Model] = Model) -> Vocoder | None:
    """Load the vocoder of an inverter.

    Args:
      name: value of `--inverter`: "auto" for the universal vocoder where there is one for the front end, "griffin_lim",
        or "vocoder:RUN".
      spec: the front end that the vocoder must have.
      load_model: function from a run to its model.

    Returns:
      The vocoder; None where the inverter is Griffin-Lim.

    Raises:
      UserError: an unknown inverter, a run without the signature `vocode`, or one with another front end.
    """
    kind, _, run_dir = name.partition(":")
    if name == "griffin_lim":
        return None
    if name == "auto":
        return Vocoder.universal(spec)
    if kind != "vocoder" or not run_dir:
        raise UserError(f"--inverter={name}; wanted one of {', '.join(INVERTERS)}")
    model = load_model(run_dir)
    if "vocode" not in model.signatures:
        raise UserError(f"--inverter={name}: plugin {model.facts['run']['plugin']} has no signature vocode")
    config.check_same_front_end(f"--inverter={name}", model.spec.features, spec)
    return Vocoder.of_model(name, model)


def describe(name: str, vocoder: Vocoder | None) -> str:
    """Return what an inverter is, for logs and reports.

    >>> describe("griffin_lim", None), describe("auto", None)
    ('griffin_lim', 'auto: griffin_lim')
    """
    resolved = vocoder.name if vocoder else "griffin_lim" if name == "auto" else name
    return f"auto: {resolved}" if name == "auto" else resolved
