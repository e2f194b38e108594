"""Reconstruction errors: the model's own, and those of a constant."""

import numpy as np
import pytest

from pipelines.evaluation import reconstruction, translation_quality


def test_errors_are_means_over_files_with_intervals(autoencoder_run, held_out):
    evaluator = translation_quality.Evaluator(autoencoder_run, held_out)
    table, intervals = reconstruction.score_reconstructions(evaluator.model, evaluator.test)
    spec = evaluator.spec
    for name, examples in evaluator.test.items():
        z = [(x.features - spec.overall.mean) / spec.overall.std for x in examples]
        expected = np.mean([np.mean(np.square(x)) for x in z])
        assert table[name]["n"] == len(examples)
        assert table[name]["mean_of_data"] == pytest.approx(expected, rel=1e-5)
        low, high = intervals[name]["model"]
        assert low < table[name]["model"] < high
