"""Options of a translation."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class TranslationOptions:
    """Options of a translation.

    Attributes:
      run_dir: the run whose export is used.
      target: target domain.
      source: domain of the files; None if only one domain can be translated to the target.
      inverter: "auto", "griffin_lim", "source_phase", or "vocoder:RUN"; without effect on images.
      pitch: "keep", or "mean_variance" to move F0 from the source's distribution to the target's before the model.
      screen: run whose outlier detector annotates the results; empty for none.
      file_format: a format of `pipelines.inference.result_formats`; empty for WAV or PNG.
      keep_rate: whether recordings keep their sample rate.
      keep_channels: empty: recordings become mono. "each": every channel is translated. "mid_side": of two channels
        the average (mid) is translated, and half their difference (side) is kept.
      image_size: size of translated images, of `pipelines.inference.image_translator.SIZES`.
    """

    run_dir: str
    target: str
    source: str | None = None
    inverter: str = "auto"
    pitch: Literal["keep", "mean_variance"] = "keep"
    screen: str = ""
    file_format: str = ""
    keep_rate: bool = False
    keep_channels: Literal["", "each", "mid_side"] = ""
    image_size: str = "records"
