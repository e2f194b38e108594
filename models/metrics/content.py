"""Preservation of content: whether a result has the words of its source sentence, or the structure of its source image.

Both measures are distances between a result and its own source, relative to the mean distance between the result and
other sources: 0 if nothing has changed, about 1 if the result is no more like its own source than like any other. They
need no labels and no recogniser, and do not reward likeness of voice or colour.
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from models.errors import UserError
from models.features import audio
from models.features.audio import AudioSpec
from models.metrics import speech

CONTENT_ORDERS = 8
NUM_OTHERS = 8  # other sources that each result is compared with
NUM_PAIRS = 64  # for the diversity of a set
EDGE_SCALE = 1 / 48  # standard deviation of the smoothing of images and of their edges, as a fraction of the height


def speech_content(log_mels: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Mel cepstra `[active frames, 16]` of orders 1 to 8 without their mean, and their differences over four frames.

    The mean of a recording's cepstra carries most of its voice and channel (cepstral mean normalisation, Atal 1974).
    Higher orders resolve the harmonics of high voices, that is, pitch.
    """
    cepstra = speech.cepstra(log_mels, CONTENT_ORDERS)
    slopes = np.zeros_like(cepstra)
    slopes[2:-2] = cepstra[4:] - cepstra[:-4]
    active = audio.active_frames(log_mels, spec)
    content = np.concatenate([cepstra, slopes], axis=1)[active if active.any() else slice(None)]
    return content - content.mean(axis=0)


def image_content(image: np.ndarray) -> np.ndarray:
    """Normalised edge strength of an image `[height, width, channels]`, flat, of zero mean and unit norm.

    Gradient magnitudes of the smoothed grey image, which keep their place if colours change or are inverted.
    """
    grey = scipy.ndimage.gaussian_filter(np.asarray(image, np.float64).mean(axis=-1), max(0.5, EDGE_SCALE * len(image)))
    edges = np.hypot(scipy.ndimage.sobel(grey, 0), scipy.ndimage.sobel(grey, 1))
    edges = scipy.ndimage.gaussian_filter(edges, max(0.5, EDGE_SCALE * len(image))).ravel()
    edges -= edges.mean()
    return edges / max(np.linalg.norm(edges), 1e-9)


def speech_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Mean Euclidean distance of two sequences of :func:`speech_content` along their dynamic time warping path."""
    path = speech.dtw_path(x, y)
    return float(np.mean(np.linalg.norm(x[path[:, 0]] - y[path[:, 1]], axis=1)))


def image_distance(x: np.ndarray, y: np.ndarray) -> float:
    """One minus the correlation of two edge images of :func:`image_content`, between 0 and 2."""
    return float(1 - x @ y)


def content_errors(sources: list[np.ndarray], results: list[np.ndarray], distance, *, seed: int = 0) -> np.ndarray:
    """Distance of each result to its own source, relative to its mean distance to other sources, `[n]`.

    Args:
      sources: contents of the sources, by :func:`speech_content` or :func:`image_content`.
      results: contents of their results, in the same order.
      distance: :func:`speech_distance` or :func:`image_distance`.
      seed: random seed of the choice of the others.

    Raises:
      UserError: fewer than two sources, or another number of results.

    >>> sounds = [np.random.default_rng(n).normal(size=(20, 13)) for n in range(4)]
    >>> content_errors(sounds, sounds, speech_distance).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    if len(sources) < 2 or len(sources) != len(results):
        raise UserError(f"{len(sources)} sources and {len(results)} results; wanted the same number, two or more")
    rng, errors = np.random.default_rng(seed), []
    for n, result in enumerate(results):
        others = np.delete(np.arange(len(sources)), n)
        others = rng.permutation(others)[:NUM_OTHERS]
        chance = np.mean([distance(sources[other], result) for other in others])
        errors.append(distance(sources[n], result) / max(chance, 1e-9))
    return np.array(errors)


def diversity(results: list[np.ndarray], references: list[np.ndarray], distance, *, seed: int = 0) -> float:
    """Mean distance between results relative to that between references: 0 if all results are equal, about 1 at best.

    Args:
      results: contents of the results, by :func:`speech_content` or :func:`image_content`.
      references: contents of held-out examples of the target domain.
      distance: :func:`speech_distance` or :func:`image_distance`.
      seed: random seed of the choice of at most `NUM_PAIRS` pairs of each set.

    Raises:
      UserError: a set has fewer than two examples.
    """
    return _mean_pair_distance(results, distance, seed) / max(_mean_pair_distance(references, distance, seed), 1e-9)


def _mean_pair_distance(contents: list[np.ndarray], distance, seed: int) -> float:
    if len(contents) < 2:
        raise UserError(f"{len(contents)} examples; wanted two or more")
    pairs = [(a, b) for a in range(len(contents)) for b in range(a)]
    selected = np.random.default_rng(seed).permutation(len(pairs))[:NUM_PAIRS]
    return float(np.mean([distance(contents[pairs[n][0]], contents[pairs[n][1]]) for n in selected]))
