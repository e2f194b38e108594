"""Inverters by the name that `--inverter` gives them, as functions that a translation calls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.features.inversion import Chunk
from pipelines.inference.exported_model import Model
from pipelines.inference.vocoders import describe, load_vocoder

SOURCE_PHASE = "source_phase"


class Inverter:
    """Inverts translated log-mels to waveforms.

    Args:
      name: value of `--inverter`.
      model: the exported model, whose signatures hold Griffin-Lim.
      load_model: function from a run to its model.

    Attributes:
      description: for logs.
      context: frames on either side of a frame on which its samples depend.

    Raises:
      UserError: an unknown inverter, or a vocoder of another front end.
    """

    def __init__(self, name: str, model: Model, load_model: Callable[[str], Model]):
        self.name, self.model = name, model
        self.vocoder = None if name == SOURCE_PHASE else load_vocoder(name, model.spec.features, load_model)
        self.description = name if name == SOURCE_PHASE else describe(name, self.vocoder)
        self.context = self.vocoder.context if self.vocoder else 0

    def invert(self, log_mels: np.ndarray, chunk: Chunk, source: np.ndarray) -> np.ndarray:
        """Invert a chunk of a recording.

        Args:
          log_mels: `[before + frames + after, mels]`.
          chunk: their position in the recording, with margins of at most `context` frames.
          source: complex spectrogram of the source, `[before + frames + after, bins]`.

        Returns:
          Samples `[(frames - 1) * hop_length]`, or more; without those of the margins.
        """
        if self.vocoder:
            return self.vocoder.vocode(log_mels, chunk.before, chunk.frames)
        batch, counts = log_mels[None], np.int32([chunk.frames])
        if self.name == SOURCE_PHASE:
            phase = np.float32(np.angle(source))[None]
            return self.model.call("invert_from_phase", features=batch, frames=counts, phase=phase)[0]
        inputs = {"features": batch, "frames": counts, "first_frame": np.int32(chunk.first)}
        return self.model.call(self.model.griffin_lim, **inputs)[0]
