"""Distances between sets of examples: similarity of the distributions of samples and data."""

from __future__ import annotations

import numpy as np

from models.errors import UserError


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared maximum mean discrepancy of two sets of features: the KID of arXiv:1801.01401, Eq. 4 and Sec. 4.

    Kernel ``(<x, y> / d + 1)^3``. The estimate is unbiased: for sets of the same distribution its expectation is
    zero, and it may be negative. Values are comparable only for the same features.

    Args:
      x: `[n, d]`, at least two examples.
      y: `[m, d]`, at least two examples.

    Raises:
      UserError: there are too few examples, or the numbers of features differ.

    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> abs(kernel_distance(x[:250], x[250:])) < 0.1 < kernel_distance(x[:250], x[250:] + 1)
    True
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape[1:] != y.shape[1:] or min(len(x), len(y)) < 2:
        raise UserError(f"features {x.shape} and {y.shape}; wanted the same number of features, two examples or more")
    within = sum(_kernel_means(z, z, exclude_self=True).mean() for z in (x, y))
    return float(within - 2 * _kernel_means(x, y).mean())


def relative_similarity(x: np.ndarray, y: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Kernel distance of `y` to `reference` minus that of `x`, and the standard error of the difference.

    Relative similarity test of arXiv:1511.04581: both distances share the reference examples, so their difference has
    a smaller error than either. It is asymptotically normal; its variance is estimated from the contribution of each
    example.

    Args:
      x: `[n, d]`, at least two examples.
      y: `[m, d]`, at least two examples.
      reference: `[k, d]`, at least two examples.

    Returns:
      The difference, positive if `x` is nearer, and its standard error.

    >>> x = np.random.default_rng(0).normal(size=(300, 3))
    >>> gain, error = relative_similarity(x[:100], x[100:200] + 1, x[200:])
    >>> gain > 3 * error
    True
    """
    x, y, reference = (np.asarray(z, np.float64) for z in (x, y, reference))
    gain = kernel_distance(y, reference) - kernel_distance(x, reference)
    contributions = [2 * (_kernel_means(z, z, exclude_self=True) - _kernel_means(z, reference)) for z in (x, y)]
    contributions.append(2 * (_kernel_means(reference, x) - _kernel_means(reference, y)))
    return gain, float(np.sqrt(sum(values.var() / len(values) for values in contributions)))


def _kernel_means(x: np.ndarray, y: np.ndarray, *, exclude_self: bool = False) -> np.ndarray:
    """Mean of the kernel over `y` for each row of `x`, `[n]`; optionally without the diagonal, if `x` is `y`."""
    values = (x @ y.T / x.shape[1] + 1) ** 3
    if exclude_self:
        return (values.sum(axis=1) - np.diag(values)) / (len(x) - 1)
    return values.mean(axis=1)


class PrincipalComponents:
    """Whitened principal components of a set of examples: features without a trained network.

    Args:
      examples: `[n, ...]`.
      max_components: maximum number of components.

    Raises:
      UserError: all examples are equal, or some are not finite.
    """

    def __init__(self, examples: np.ndarray, max_components: int = 64):
        flat = np.reshape(examples, [len(examples), -1]).astype(np.float64)
        self.mean = flat.mean(axis=0)
        _, singular_values, directions = np.linalg.svd(flat - self.mean, full_matrices=False)
        if not singular_values[0] > 1e-9 * (1 + np.abs(self.mean).max()):
            raise UserError(f"{len(flat)} examples that are all equal, or not finite; wanted examples that differ")
        count = max(1, min(max_components, int(np.sum(singular_values > 1e-6 * singular_values[0]))))
        self.directions = directions[:count]
        self.scaled = directions[:count] / (singular_values[:count, None] / np.sqrt(len(flat)))

    def transform(self, examples: np.ndarray) -> np.ndarray:
        """Project examples `[n, ...]` on the components: `[n, components]`, with unit variance."""
        return (np.reshape(examples, [len(examples), -1]) - self.mean) @ self.scaled.T

    def residual_power(self, examples: np.ndarray) -> np.ndarray:
        """Mean square of the part of examples `[n, ...]` that is orthogonal to all components, `[n]`."""
        flat = np.reshape(examples, [len(examples), -1]) - self.mean
        projected = flat @ self.directions.T
        return np.maximum(np.square(flat).sum(axis=1) - np.square(projected).sum(axis=1), 0.0) / flat.shape[1]
