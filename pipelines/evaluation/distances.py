"""Distances of results to targets and to their sources: each to its parallel file, and of sets."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import numpy as np

from models.errors import UserError
from models.features import pitch
from models.features.spec import Spec
from models.metrics import (
    density_coverage,
    feature_extractors,
    frechet,
    generation,
    modulation,
    prosody,
    speech,
)
from models.metrics import image as image_metrics
from pipelines.evaluation.examples import Example, sample_examples

MAX_PROSODY_PAIRS = 8  # of each row; selected by a stable hash
MIN_SET_SIZE = 16  # examples for distances of sets


def parallel_distortions(
    rows: Mapping[str, Sequence[Example]], targets: Sequence[Example], spec: Spec
) -> dict[str, np.ndarray]:
    """Return the MCD in dB of each result and its parallel target, by row; empty for images and without parallels."""
    if spec.kind == "image":
        return {}
    distortions = {}
    for name, row in rows.items():
        if pairs := _parallel_pairs(row, targets):
            mcd = [speech.mel_cepstral_distortion(x.features, y.features, spec.features) for x, y in pairs]
            distortions[name] = np.array(mcd)
    return distortions


def prosody_errors(
    rows: Mapping[str, Sequence[Example]], targets: Sequence[Example], spec: Spec
) -> dict[str, dict[str, np.ndarray]]:
    """Return log-F0 RMSE and voicing error of speech results to their parallel targets, by row and name.

    Of at most `MAX_PROSODY_PAIRS` results of each row, because F0 is slow to track. The RMSE of a result that shares no
    voiced frame with its target is left out. Empty without parallels or waveforms.
    """
    if any(x.waveform is None for row in rows.values() for x in row):
        return {}
    rate_hz, selected = spec.features.sample_rate_hz, {x.id for x in sample_examples(targets, MAX_PROSODY_PAIRS)}
    parallel = [x for x in rows["copy_synthesis"] if x.id in selected]
    target_f0 = {x.stem: pitch.track_f0(x.waveform, rate_hz) for x in parallel}
    errors: dict[str, dict[str, np.ndarray]] = {}
    for name, row in rows.items():
        contours = []
        for x, y in _parallel_pairs(row, parallel) if name != "copy_synthesis" else ():
            f0 = pitch.track_f0(x.waveform, rate_hz), target_f0[y.stem]
            contours.append(prosody.pair_contours(*f0, x.features, y.features, spec.features))
        contours = [pair for pair in contours if len(pair[0])]
        if contours:
            rmse = [value for pair in contours if (value := prosody.log_f0_rmse(*pair)) is not None]
            voicing = [prosody.voicing_error(*pair) for pair in contours]
            errors[name] = {"log_f0_rmse": np.array(rmse), "voicing_error": np.array(voicing)}
    return errors


def modulation_distance(results: Sequence[Example], targets: Sequence[Example], spec: Spec) -> float | None:
    """Return the RMS difference in dB of the mean modulation spectra of results and targets; None without any."""
    spectra = [_mean_modulation_spectrum(examples, spec) for examples in (results, targets)]
    if any(spectrum is None for spectrum in spectra):
        return None
    return float(np.sqrt(np.mean(np.square(spectra[0] - spectra[1]))))


def _mean_modulation_spectrum(examples: Sequence[Example], spec: Spec) -> np.ndarray | None:
    """Mean over the examples that are long enough; None if there are none."""
    spectra = []
    for x in examples:
        with contextlib.suppress(UserError):  # too few active frames
            spectra.append(modulation.modulation_spectrum(x.features, spec.features))
    return np.mean(spectra, axis=0) if spectra else None


def image_distances(results: Sequence[Example], targets: Sequence[Example]) -> dict[str, np.ndarray]:
    """Return SSIM, MS-SSIM and mean absolute error of each image to its parallel target; empty without parallels."""
    pairs = _parallel_pairs(results, targets)
    if not pairs:
        return {}
    x, y = (np.stack([pair[n].features for pair in pairs]) for n in (0, 1))
    return {
        "ssim": image_metrics.ssim(x, y),
        "ms_ssim": image_metrics.ms_ssim(x, y),
        "mean_absolute_error": image_metrics.mean_absolute_error(x, y),
    }


def image_set_distances(
    rows: Mapping[str, Sequence[Example]],
    targets: Sequence[Example],
    training: Sequence[Example],
    extractor: str = feature_extractors.DEFAULT,
) -> dict[str, dict[str, float]]:
    """Return KID, FID, density and coverage of each row with respect to held-out targets, by row and name.

    On the features of the extractor of that name, fitted to the target's training examples. Empty with fewer than
    `MIN_SET_SIZE` targets.
    """
    if len(targets) < MIN_SET_SIZE or len(training) < MIN_SET_SIZE:
        return {}
    features = feature_extractors.fit_extractor(extractor, np.stack([x.features for x in training]))
    real, distances = features(np.stack([x.features for x in targets])), {}
    for name, row in rows.items():
        if len(row) >= MIN_SET_SIZE:
            samples = features(np.stack([x.features for x in row]))
            density, coverage = density_coverage.density_and_coverage(samples, real)
            kid, fid = generation.kernel_distance(samples, real), frechet.frechet_distance(samples, real)
            distances[name] = {"kid": kid, "fid": fid, "density": density, "coverage": coverage}
    return distances


def distances_to_sources(results: Sequence[Example], sources: Sequence[Example]) -> np.ndarray:
    """Return the log-spectral distance in dB of each speech result to its source."""
    pairs = zip(results, sources, strict=True)
    return np.array([speech.log_spectral_distance(x.features, y.features) for x, y in pairs])


def _parallel_pairs(results: Sequence[Example], targets: Sequence[Example]) -> list[tuple[Example, Example]]:
    parallel = {x.stem: x for x in targets}
    return [(x, parallel[x.stem]) for x in results if x.stem in parallel]
