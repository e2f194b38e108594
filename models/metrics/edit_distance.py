"""Edit distance between token sequences: phone and word error rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def edit_distance(hypothesis: Sequence[str], reference: Sequence[str]) -> int:
    """Return the smallest number of substitutions, insertions and deletions between two sequences (Levenshtein 1966).

    >>> edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(hypothesis) + 1))  # distances of the prefixes of the hypothesis to a prefix of the reference
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, token in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (token != expected))
    return row[-1]


def error_rate(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """Return the edit distance over the length of the reference; may exceed 1, NaN for an empty reference.

    >>> error_rate(["a", "cat", "sat"], ["the", "cat", "sat", "down"])
    0.5
    """
    return edit_distance(hypothesis, reference) / len(reference) if len(reference) else np.nan
