"""How codes hold the factors that made the data: MIG, DCI, SAP, FactorVAE score, modularity.

Codes are `[n, latent]` numbers, factors `[n, factors]` whole numbers (see :func:`binned`). Every score is from
0 to 1. Published numbers of one name differ in bins, estimators and splits; these are pinned here.
"""

from __future__ import annotations

import numpy as np
import sklearn.ensemble
import sklearn.tree

from models.errors import UserError

BINS = 20  # of a dimension's histogram, as in arXiv:1802.04942 and 1811.12359
VOTES = 800  # of the FactorVAE score
VOTE_EXAMPLES = 64  # with one factor in common, that a vote is given on
AMONG_FACTORS = ("modularity", "factor_vae", "dci_disentanglement")  # that hold one factor against others
MOST_FITTED = 4000  # examples that trees and hyperplanes are fitted to


def binned(values: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Columns of numbers as whole numbers from 0 on: their own values where there are few, else bins of one width.

    Args:
      values: `[n]` or `[n, columns]`.
      bins: how many at the most.

    >>> binned(np.array([0.5, 2.0, 0.5, 1.0])).tolist()
    [0, 2, 0, 1]
    """
    if values.ndim == 2:
        return np.stack([binned(column, bins) for column in values.T], axis=1)
    known, places = np.unique(values, return_inverse=True)
    if len(known) <= bins:
        return places
    share = (values - known[0]) / (known[-1] - known[0])
    return np.minimum((share * bins).astype(int), bins - 1)


def entropy(x: np.ndarray) -> float:
    """Entropy of whole numbers `[n]`, in nats, as counted.

    >>> round(entropy(np.array([0, 1, 0, 1])) / np.log(2), 9)
    1.0
    """
    shares = np.bincount(x) / len(x)
    return float(-np.sum(shares[shares > 0] * np.log(shares[shares > 0])))


def mutual_information(x: np.ndarray, y: np.ndarray) -> float:
    """Mutual information of two columns of whole numbers `[n]`, in nats, as counted: no correction for few examples.

    >>> round(mutual_information(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])) / np.log(2), 9)
    1.0
    """
    joint = x.astype(np.int64) * (int(y.max()) + 1) + y
    return max(0.0, entropy(x) + entropy(y) - entropy(np.unique(joint, return_inverse=True)[1]))


def varying(factors: np.ndarray) -> np.ndarray:
    """Which columns of `[n, factors]` hold more than one value, bool `[factors]`."""
    return np.array([len(np.unique(column)) > 1 for column in factors.T], bool)


def informations(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Mutual information of every dimension, in bins, and every factor, in nats, `[latent, factors]`."""
    found = [binned(column) for column in codes.T]
    return np.array([[mutual_information(x, y) for y in factors.T] for x in found])


def mig(codes: np.ndarray, factors: np.ndarray) -> float:
    """Mutual information gap (Eq. 6 of arXiv:1802.04942).

    Of each factor, how much more the best dimension knows of it than the second best, as a share of the
    factor's entropy; the mean over factors that vary.
    """
    return float(np.mean(gaps(codes, factors)))


def gaps(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The gap of each factor that varies, of which :func:`mig` is the mean."""
    _check(codes, factors)
    known = np.sort(np.vstack([informations(codes, factors), np.zeros(factors.shape[1])]), axis=0)
    entropies = np.array([entropy(column) for column in factors.T])
    return ((known[-1] - known[-2]) / np.maximum(entropies, 1e-12))[entropies > 0]


def modularity(codes: np.ndarray, factors: np.ndarray) -> float:
    """Whether each dimension knows of one factor only (Sec. 3 of arXiv:1802.05312).

    ``1 - sum of squares of the information on all factors but the best / (that of the best squared * (factors - 1))``,
    the mean over dimensions that know of any. Factors that do not vary are left out; needs two others.
    """
    _check(codes, factors)
    factors = factors[:, varying(factors)]
    squares = np.square(informations(codes, factors))
    best = squares.max(axis=1)
    knowing = best > 1e-12
    if factors.shape[1] < 2 or not knowing.any():
        return 0.0
    rest = (squares.sum(axis=1) - best)[knowing] / (best[knowing] * (factors.shape[1] - 1))
    return float(np.mean(1 - rest))


def sap(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> float:
    """Separated attribute predictability (Sec. 3 of arXiv:1711.00848).

    Of each factor, by how much the best single dimension predicts it better than the second best: by thresholds on
    that dimension, one fewer than the factor has values; the accuracy on a held-out half, all values counting alike, as
    the share of what is left above guessing.
    """
    _check(codes, factors)
    (x, y), (held_x, held_y) = _halves(codes, factors, seed)
    gaps = []
    for known, wanted in zip(y.T, held_y.T, strict=True):
        values = len(np.unique(known))
        if values < 2:
            continue
        scores = [0.0]
        for dimension in range(x.shape[1]):
            options = {"max_leaf_nodes": values, "class_weight": "balanced", "random_state": seed}
            thresholds = sklearn.tree.DecisionTreeClassifier(**options).fit(x[:, [dimension]], known)
            right = thresholds.predict(held_x[:, [dimension]]) == wanted
            accuracy = np.mean([right[wanted == value].mean() for value in np.unique(wanted)])
            scores.append(max(0.0, (accuracy - 1 / values) / (1 - 1 / values)))
        ordered = np.sort(scores)
        gaps.append(ordered[-1] - ordered[-2])
    return float(np.mean(gaps)) if gaps else 0.0


def dci(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Disentanglement, completeness, informativeness (Eastwood & Williams 2018).

    Importances are those of a forest of trees that predict a factor from all dimensions. Disentanglement: one
    minus the entropy of a dimension's importances over factors, weighed by the dimension's importance.
    Completeness: the same of a factor's importances over dimensions. Informativeness: accuracy on a held-out
    half, as the share of what is left above guessing the commonest value. Factors that do not vary are left out.
    """
    _check(codes, factors)
    factors = factors[:, varying(factors)]
    (x, y), (held_x, held_y) = _halves(codes, factors, seed)
    importances, known = np.zeros((codes.shape[1], factors.shape[1])), []
    for factor in range(factors.shape[1]):
        commonest = np.mean(held_y[:, factor] == np.bincount(y[:, factor]).argmax())
        if len(np.unique(y[:, factor])) < 2 or commonest == 1:
            continue
        trees = sklearn.ensemble.RandomForestClassifier(max_features=None, min_samples_leaf=2, random_state=seed)
        trees.fit(x, y[:, factor])
        importances[:, factor] = trees.feature_importances_
        accuracy = np.mean(trees.predict(held_x) == held_y[:, factor])
        known.append(max(0.0, (accuracy - commonest) / (1 - commonest)))
    return {
        "disentanglement": _concentration(importances),
        "completeness": _concentration(importances.T),
        "informativeness": float(np.mean(known)) if known else 0.0,
    }


def _concentration(importances: np.ndarray) -> float:
    """One minus the entropy of each row, in units of the highest possible, weighed by the rows' sums."""
    total = importances.sum()
    if total <= 0 or importances.shape[1] < 2:
        return 0.0
    rows = importances.sum(axis=1)
    shares = importances / np.maximum(rows, 1e-12)[:, None]
    entropies = -np.sum(shares * np.log(np.maximum(shares, 1e-12)), axis=1) / np.log(importances.shape[1])
    return float(np.sum(rows / total * (1 - entropies)))


def factor_vae(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> float:
    """The FactorVAE score (Sec. 3 of arXiv:1802.05983).

    A vote: of examples that have one factor in common, the dimension that varies least, in units of its
    deviation over all. The score is the accuracy, on new votes, of the factor that most votes for a dimension
    came from. Dimensions that hardly vary do not stand.
    """
    _check(codes, factors)
    deviations = codes.std(axis=0)
    standing = np.flatnonzero(deviations > 0.05 * max(deviations.max(), 1e-12))
    known = np.flatnonzero(varying(factors))
    if not len(standing) or not len(known):
        return 0.0
    rng = np.random.default_rng(seed)
    counts = np.zeros((2, codes.shape[1], factors.shape[1]))
    for half in range(2):
        for _ in range(VOTES // (1 + half)):
            factor = known[rng.integers(len(known))]
            alike = np.flatnonzero(factors[:, factor] == factors[rng.integers(len(factors)), factor])
            chosen = codes[rng.choice(alike, VOTE_EXAMPLES)][:, standing] / deviations[standing]
            counts[half, standing[np.argmin(chosen.var(axis=0))], factor] += 1
    winners = counts[0].argmax(axis=1)
    return float(counts[1][np.arange(len(winners)), winners].sum() / counts[1].sum())


def scores(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Every score of this file by name.

    Args:
      codes: `[n, latent]`.
      factors: `[n, factors]`, whole numbers from 0 on.
      seed: of splits, trees and votes.

    Returns:
      Those that mean something: where one factor varies, a dimension can know of no other, and modularity, the
      FactorVAE score and DCI disentanglement are left out.

    Raises:
      UserError: shapes that do not fit, too few examples, codes that are not finite, or no factor that varies.
    """
    _check(codes, factors)
    count = int(varying(factors).sum())
    if not count:
        raise UserError("no factor varies")
    found = {"mig": mig(codes, factors), "modularity": modularity(codes, factors)}
    found |= {"sap": sap(codes, factors, seed=seed), "factor_vae": factor_vae(codes, factors, seed=seed)}
    found |= {f"dci_{name}": value for name, value in dci(codes, factors, seed=seed).items()}
    return found if count > 1 else {name: value for name, value in found.items() if name not in AMONG_FACTORS}


def _check(codes: np.ndarray, factors: np.ndarray) -> None:
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or len(codes) < 10:
        raise UserError(f"codes {codes.shape}, factors {factors.shape}; wanted ten rows or more, as many of either")
    if not np.isfinite(codes).all():
        raise UserError("codes are not finite")


def _halves(codes: np.ndarray, factors: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    order = np.random.default_rng(seed).permutation(len(codes))
    parts = order[: len(order) // 2][:MOST_FITTED], order[len(order) // 2 :][:MOST_FITTED]
    return [(np.asarray(codes[part], np.float64), factors[part]) for part in parts]
