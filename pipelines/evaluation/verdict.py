"""What the answers of a domain classifier say of a conversion, in words, and how sure they are of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.stats

SIGNIFICANCE = 0.05
FEWEST = 4  # files of which the best outcome is no chance at that level: 1 in 70


def verdict(model: np.ndarray, no_op: np.ndarray) -> str:
    """What the judge's answers say, in words.

    Args:
      model: bool `[n]`, heard as the target after conversion.
      no_op: the same of the sources themselves.

    >>> verdict(np.ones(20, bool), np.zeros(20, bool))
    'converts: 100 % heard as the target, no-op 0 %'
    """
    counts = [[int(x.sum()), int((~x).sum())] for x in (model, no_op)]
    chance = scipy.stats.fisher_exact(counts, alternative="greater").pvalue
    shares = f"{100 * model.mean():.0f} % heard as the target, no-op {100 * no_op.mean():.0f} %"
    if len(model) < FEWEST:
        return f"too few files to tell: {len(model)} where {FEWEST} are the least that can ({shares})"
    if chance >= SIGNIFICANCE:
        return f"does not convert: within noise of no-op ({shares})"
    return f"{'converts' if model.mean() >= 0.5 else 'converts in part'}: {shares}"


def gained(heard: Mapping[str, np.ndarray], mcd: Mapping[str, float]) -> str:
    """What the model gained over the better of the closed forms, in words; nothing where there is none.

    Args:
      heard: by row, bool `[n]`: heard as the target.
      mcd: by row, the distortion to parallel targets in dB, where there are such.

    >>> print(gained({"transport": np.ones(50, bool), "model": np.ones(50, bool)}, {"transport": 5, "model": 4.5}))
    This classifier hears no difference between the model and transport, which needs no training; MCD 4.5 dB and 5 dB.
    """
    forms = [name for name in ("mean_variance", "transport") if name in heard]
    if not forms:
        return ""
    best, model = max(forms, key=lambda name: (heard[name].mean(), -mcd.get(name, 0.0))), heard["model"]
    counts = [[int(x.sum()), int((~x).sum())] for x in (model, heard[best])]
    distances = f"; MCD {mcd['model']:.3g} dB and {mcd[best]:.3g} dB" if best in mcd else ""
    if scipy.stats.fisher_exact(counts).pvalue >= SIGNIFICANCE:
        what = f"This classifier hears no difference between the model and {best}"
    else:
        more = "more" if model.mean() > heard[best].mean() else "less"
        what = f"The model is heard as the target {more} often than {best}"
    return f"{what}, which needs no training{distances}."
