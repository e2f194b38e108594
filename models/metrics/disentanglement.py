"""Disentanglement metrics of latent codes: MIG, DCI, SAP, FactorVAE score, modularity.

Codes are floats `[n, latent]`, generative factors integers `[n, factors]` (see :func:`discretize`). Every score is
from 0 to 1. Published scores of the same name differ in bins, estimators and splits; here these are fixed.
"""

from __future__ import annotations

import numpy as np
import sklearn.ensemble
import sklearn.tree

from models.errors import UserError

BINS = 20  # of a dimension's histogram, as in arXiv:1802.04942 and 1811.12359
VOTES = 800  # of the FactorVAE score
VOTE_EXAMPLES = 64  # per vote, with one factor fixed
MULTIPLE_FACTOR_SCORES = ("modularity", "factor_vae", "dci_disentanglement")  # need two factors that vary
MIN_EXAMPLES = 10  # of all scores
MAX_FITTED = 4000  # examples that classifiers are fitted to


def discretize(values: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Discretise columns to integers from 0: indices of distinct values, or bins of equal width if there are many.

    Args:
      values: `[n]` or `[n, columns]`.
      bins: maximum number of bins.

    >>> discretize(np.array([0.5, 2.0, 0.5, 1.0])).tolist()
    [0, 2, 0, 1]
    """
    if values.ndim == 2:
        return np.stack([discretize(column, bins) for column in values.T], axis=1)
    distinct, indices = np.unique(values, return_inverse=True)
    if len(distinct) <= bins:
        return indices
    share = (values - distinct[0]) / (distinct[-1] - distinct[0])
    return np.minimum((share * bins).astype(int), bins - 1)


def entropy(x: np.ndarray) -> float:
    """Empirical entropy of integers `[n]`, in nats.

    >>> round(entropy(np.array([0, 1, 0, 1])) / np.log(2), 9)
    1.0
    """
    shares = np.bincount(x) / len(x)
    return float(-np.sum(shares[shares > 0] * np.log(shares[shares > 0])))


def mutual_information(x: np.ndarray, y: np.ndarray) -> float:
    """Empirical mutual information of two columns of integers `[n]`, in nats, without bias correction.

    >>> round(mutual_information(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])) / np.log(2), 9)
    1.0
    """
    joint = x.astype(np.int64) * (int(y.max()) + 1) + y
    return max(0.0, entropy(x) + entropy(y) - entropy(np.unique(joint, return_inverse=True)[1]))


def varies(factors: np.ndarray) -> np.ndarray:
    """Mask of the columns of `[n, factors]` that have more than one value, bool `[factors]`."""
    return np.array([len(np.unique(column)) > 1 for column in factors.T], bool)


def mutual_informations(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Mutual information of every discretised dimension and every factor, in nats, `[latent, factors]`."""
    columns = [discretize(column) for column in codes.T]
    return np.array([[mutual_information(x, y) for y in factors.T] for x in columns])


def mig(codes: np.ndarray, factors: np.ndarray) -> float:
    """Mutual information gap (Eq. 6 of arXiv:1802.04942).

    For each factor, the difference in mutual information between the best and the second best dimension, divided by
    the entropy of the factor; averaged over factors that vary.
    """
    return float(np.mean(mig_gaps(codes, factors)))


def mig_gaps(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Mutual information gap of each factor that varies; :func:`mig` is the mean."""
    _check(codes, factors)
    information = np.sort(np.vstack([mutual_informations(codes, factors), np.zeros(factors.shape[1])]), axis=0)
    entropies = np.array([entropy(column) for column in factors.T])
    return ((information[-1] - information[-2]) / np.maximum(entropies, 1e-12))[entropies > 0]


def modularity(codes: np.ndarray, factors: np.ndarray) -> float:
    """Modularity: whether each dimension has information on one factor only (Sec. 3 of arXiv:1802.05312).

    ``1 - sum over the other factors of MI^2 / (MI of the best factor^2 * (factors - 1))``, averaged over informative
    dimensions. Constant factors are excluded; 0 if fewer than two factors vary.
    """
    _check(codes, factors)
    factors = factors[:, varies(factors)]
    squares = np.square(mutual_informations(codes, factors))
    best = squares.max(axis=1)
    informative = best > 1e-12
    if factors.shape[1] < 2 or not informative.any():
        return 0.0
    deviations = (squares.sum(axis=1) - best)[informative] / (best[informative] * (factors.shape[1] - 1))
    return float(np.mean(1 - deviations))


def sap(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> float:
    """Separated attribute predictability (Sec. 3 of arXiv:1711.00848).

    For each factor, the difference in score between the best and the second best dimension as a single predictor. The
    predictor is a decision tree with as many leaves as the factor has values. Its score is the balanced accuracy on a
    held-out half, rescaled so that chance is 0.
    """
    _check(codes, factors)
    (train_x, train_y), (test_x, test_y) = _split_halves(codes, factors, seed)
    gaps = []
    for train_labels, test_labels in zip(train_y.T, test_y.T, strict=True):
        values = len(np.unique(train_labels))
        if values < 2:
            continue
        scores = [0.0]
        for dimension in range(train_x.shape[1]):
            options = {"max_leaf_nodes": values, "class_weight": "balanced", "random_state": seed}
            tree = sklearn.tree.DecisionTreeClassifier(**options).fit(train_x[:, [dimension]], train_labels)
            correct = tree.predict(test_x[:, [dimension]]) == test_labels
            accuracy = np.mean([correct[test_labels == value].mean() for value in np.unique(test_labels)])
            scores.append(max(0.0, (accuracy - 1 / values) / (1 - 1 / values)))
        ordered = np.sort(scores)
        gaps.append(ordered[-1] - ordered[-2])
    return float(np.mean(gaps)) if gaps else 0.0


def dci(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Disentanglement, completeness and informativeness (Eastwood & Williams 2018).

    Importances are those of a random forest that predicts a factor from all dimensions. Disentanglement is one minus
    the normalised entropy of a dimension's importances over factors, weighted by the dimension's importance.
    Completeness is the same for a factor's importances over dimensions. Informativeness is the accuracy on a held-out
    half, rescaled so that predicting the most frequent value scores 0. Constant factors are excluded.
    """
    _check(codes, factors)
    factors = factors[:, varies(factors)]
    (train_x, train_y), (test_x, test_y) = _split_halves(codes, factors, seed)
    importances, scores = np.zeros((codes.shape[1], factors.shape[1])), []
    for factor in range(factors.shape[1]):
        baseline = np.mean(test_y[:, factor] == np.bincount(train_y[:, factor]).argmax())
        if len(np.unique(train_y[:, factor])) < 2 or baseline == 1:
            continue
        forest = sklearn.ensemble.RandomForestClassifier(max_features=None, min_samples_leaf=2, random_state=seed)
        forest.fit(train_x, train_y[:, factor])
        importances[:, factor] = forest.feature_importances_
        accuracy = np.mean(forest.predict(test_x) == test_y[:, factor])
        scores.append(max(0.0, (accuracy - baseline) / (1 - baseline)))
    return {
        "disentanglement": _concentration(importances),
        "completeness": _concentration(importances.T),
        "informativeness": float(np.mean(scores)) if scores else 0.0,
    }


def _concentration(importances: np.ndarray) -> float:
    """One minus the normalised entropy of each row, averaged with the row sums as weights."""
    total = importances.sum()
    if total <= 0 or importances.shape[1] < 2:
        return 0.0
    rows = importances.sum(axis=1)
    shares = importances / np.maximum(rows, 1e-12)[:, None]
    entropies = -np.sum(shares * np.log(np.maximum(shares, 1e-12)), axis=1) / np.log(importances.shape[1])
    return float(np.sum(rows / total * (1 - entropies)))


def factor_vae(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> float:
    """FactorVAE score (Sec. 3 of arXiv:1802.05983).

    A vote is the dimension of lowest variance among examples with one factor fixed; variances are relative to those
    over all examples. A majority-vote classifier maps each dimension to a factor; the score is its accuracy on new
    votes. Nearly constant dimensions are excluded.
    """
    _check(codes, factors)
    std = codes.std(axis=0)
    active = np.flatnonzero(std > 0.05 * max(std.max(), 1e-12))
    varying = np.flatnonzero(varies(factors))
    if not len(active) or not len(varying):
        return 0.0
    rng = np.random.default_rng(seed)
    counts = np.zeros((2, codes.shape[1], factors.shape[1]))  # of training votes and of test votes
    for half in range(2):
        for _ in range(VOTES // (1 + half)):
            factor = varying[rng.integers(len(varying))]
            matching = np.flatnonzero(factors[:, factor] == factors[rng.integers(len(factors)), factor])
            sample = codes[rng.choice(matching, VOTE_EXAMPLES)][:, active] / std[active]
            counts[half, active[np.argmin(sample.var(axis=0))], factor] += 1
    majority = counts[0].argmax(axis=1)
    return float(counts[1][np.arange(len(majority)), majority].sum() / counts[1].sum())


def scores(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """All scores of this module by name.

    Args:
      codes: `[n, latent]`.
      factors: `[n, factors]`, integers from 0.
      seed: random seed of splits, trees and votes.

    Returns:
      The scores. If only one factor varies, modularity, the FactorVAE score and DCI disentanglement are undefined and
      left out.

    Raises:
      UserError: shapes do not match, there are too few examples, codes are not finite, or no factor varies.
    """
    _check(codes, factors)
    count = int(varies(factors).sum())
    if not count:
        raise UserError("no factor varies; wanted at least one with two values or more")
    results = {"mig": mig(codes, factors), "modularity": modularity(codes, factors)}
    results |= {"sap": sap(codes, factors, seed=seed), "factor_vae": factor_vae(codes, factors, seed=seed)}
    results |= {f"dci_{name}": value for name, value in dci(codes, factors, seed=seed).items()}
    return results if count > 1 else {k: value for k, value in results.items() if k not in MULTIPLE_FACTOR_SCORES}


def _check(codes: np.ndarray, factors: np.ndarray) -> None:
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or len(codes) < MIN_EXAMPLES:
        required = f"the same number of rows, at least {MIN_EXAMPLES}"
        raise UserError(f"codes {codes.shape}, factors {factors.shape}; wanted {required}")
    if not np.isfinite(codes).all():
        raise UserError("codes are not finite; did training diverge?")


def _split_halves(codes: np.ndarray, factors: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    order = np.random.default_rng(seed).permutation(len(codes))
    parts = order[: len(order) // 2][:MAX_FITTED], order[len(order) // 2 :][:MAX_FITTED]
    return [(np.asarray(codes[part], np.float64), factors[part]) for part in parts]
