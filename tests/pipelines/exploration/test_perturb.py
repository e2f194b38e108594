"""The perturb job: sensitivity of the decoder."""

import numpy as np
import pytest

from pipelines.exploration import perturb

KINDS = pytest.mark.parametrize("kind", ["pictures", "speech"])


@KINDS
def test_perturbing_says_how_far_what_is_decoded_moves(explored, kind):
    _, rows, _ = explored("perturb", kind, count=2)
    found = [float(row["per_deviation"]) for row in rows]
    assert len(rows) == 4 and found == sorted(found, reverse=True) and min(found) >= 0


class Linear:
    """A decoder that multiplies."""

    def plain(self, x):
        return x

    def decoded(self, codes):
        return codes @ np.diag([3.0, 0.0])


def test_the_sensitivity_of_a_linear_decoder_is_its_matrix():
    moved, maps = perturb.sensitivity(Linear(), np.zeros((4, 2)), np.array([2.0, 1.0]))
    np.testing.assert_allclose(moved, [3 / 2**0.5, 0])
    np.testing.assert_allclose(maps, [[6, 0], [0, 0]], atol=1e-9)
