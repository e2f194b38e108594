"""The perturb job: sensitivity of the decoder."""

import numpy as np
import pytest

from pipelines.exploration import perturb

KINDS = pytest.mark.parametrize("kind", ["pictures", "speech"])


@KINDS
def test_perturbation_measures_the_change_per_dimension(run_job, kind):
    _, rows, _ = run_job("perturb", kind, count=2)
    values = [float(row["per_deviation"]) for row in rows]
    assert len(rows) == 4 and values == sorted(values, reverse=True) and min(values) >= 0


class LinearDecoder:
    """A decoder that multiplies."""

    def scale(self, x):
        return x

    def decode(self, codes):
        return codes @ np.diag([3.0, 0.0])


def test_the_sensitivity_of_a_linear_decoder_is_its_matrix():
    change, maps = perturb.sensitivity(LinearDecoder(), np.zeros((4, 2)), np.array([2.0, 1.0]))
    np.testing.assert_allclose(change, [3 / 2**0.5, 0])
    np.testing.assert_allclose(maps, [[6, 0], [0, 0]], atol=1e-9)
