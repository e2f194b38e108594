"""Fréchet distance of two sets of features (FID)."""

from __future__ import annotations

import numpy as np

from models.metrics.feature_extractors import check_features


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians with the moments of two sets: the FID of arXiv:1706.08500, Eq. 6.

    ``|m_x - m_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2))`` with means `m` and unbiased covariances `C` (divisor n - 1).
    The unit is that of the squared features; the range is 0 to infinity, 0 for equal moments.

    The estimate is biased upwards for finite sets, by an amount that depends on the distribution (arXiv:1801.01401,
    Sec. 4). Compare values only for the same features and numbers of examples, and use more examples than features.
    The published FID uses 2048 features of Inception and 50,000 examples; other features give other values.

    Args:
      x: `[n, d]`, at least two examples.
      y: `[m, d]`, at least two examples.

    Raises:
      UserError: see :func:`models.metrics.feature_extractors.check_features`.

    >>> x = np.array([[1.0], [-1.0]])
    >>> round(frechet_distance(x, 3 * x + 1), 9)  # 1 + (3 sqrt(2) - sqrt(2))^2
    9.0
    """
    x, y = check_features(x, y)
    root_x, root_y = _covariance_root(x), _covariance_root(y)
    mean_term = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    cross_term = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
    return max(0.0, float(mean_term + np.square(root_x).sum() + np.square(root_y).sum() - 2 * cross_term))


def _covariance_root(x: np.ndarray) -> np.ndarray:
    """Matrix `R` `[min(n, d), d]` with ``R^T R`` equal to the covariance.

    The eigenvalues of ``C_x C_y`` are the squared singular values of ``R_x R_y^T``, so the trace of the square root
    is their sum. This needs no square root of a matrix that may be singular, and no `[d, d]` matrix if `d` is large.
    """
    return np.linalg.qr((x - x.mean(axis=0)) / np.sqrt(len(x) - 1), mode="r")
