"""Reconstruction errors of autoencoders on held-out examples, beside that of a constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.evaluation import direction_table
from pipelines.evaluation.direction_table import Intervals, Table
from pipelines.evaluation.examples import Example
from pipelines.inference.exported_model import Model


def score_reconstructions(model: Model, test: Mapping[str, Sequence[Example]]) -> tuple[Table, Intervals]:
    """Return the mean squared reconstruction error by domain, and its interval.

    The baseline is the error of a constant, the mean of the training data. Features are normalised.

    Args:
      model: an export with the signature `reconstruct`.
      test: held-out examples by domain.
    """
    spec = model.spec
    scale, mean = spec.overall.std if spec.kind == "audio" else 1.0, spec.overall.mean
    table: Table = {}
    intervals: Intervals = {}
    for name, examples in test.items():
        outputs = [model.call("reconstruct", features=x.features[None].astype(np.float32))[0] for x in examples]
        errors = [np.mean(np.square((x.features - y) / scale)) for x, y in zip(examples, outputs, strict=True)]
        constant = [np.mean(np.square((x.features - mean) / scale)) for x in examples]
        scores = {"model": np.array(errors), "mean_of_data": np.array(constant)}
        means, intervals[name] = direction_table.summarize(scores)
        table[name] = {"n": len(examples), **means}
    return table, intervals
