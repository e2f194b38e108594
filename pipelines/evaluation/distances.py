"""Distances of results to targets and to their sources: each to its parallel file, and of sets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.errors import UserError
from models.features import f0_tracking
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
from pipelines.evaluation.examples import Example

MIN_SET_SIZE = 16  # examples for distances of sets


def parallel_distortions(
    rows: Mapping[str, Sequence[Example]], targets: Sequence[Example], spec: Spec
) -> dict[str, np.ndarray]:
    """Return the MCD in dB of each result and its parallel target, by row; NaN for results without one.

    Rows without parallels are left out, and images have none.
    """
    if spec.kind == "image":
        return {}

    def distortion(x: Example, y: Example) -> dict[str, float]:
        return {"mcd_db": speech.mel_cepstral_distortion(x.features, y.features, spec.features)}

    scored = {name: _score_pairs(row, targets, distortion) for name, row in rows.items()}
    return {name: scores["mcd_db"] for name, scores in scored.items() if scores}


def prosody_errors(rows: Mapping[str, Sequence[Example]], spec: Spec) -> dict[str, dict[str, np.ndarray]]:
    """Return log-F0 RMSE and voicing error of speech results to their parallel targets, by row and name.

    NaN for results without a parallel target, and for the RMSE of a result that shares no voiced frame with it. Empty
    without parallels or waveforms.
    """
    if any(x.waveform is None for row in rows.values() for x in row):
        return {}
    rate_hz, sources = spec.features.sample_rate_hz, {x.stem for x in rows["model"]}
    parallel = [x for x in rows["copy_synthesis"] if x.stem in sources]
    target_f0 = {x.stem: f0_tracking.track_f0(x.waveform, rate_hz) for x in parallel}

    def prosody_error(x: Example, y: Example) -> dict[str, float]:
        f0 = f0_tracking.track_f0(x.waveform, rate_hz), target_f0[y.stem]
        contours = prosody.pair_contours(*f0, x.features, y.features, spec.features)
        if not len(contours[0]):
            return {}
        rmse = prosody.log_f0_rmse(*contours)
        voicing = {"voicing_error": prosody.voicing_error(*contours)}
        return voicing if rmse is None else {"log_f0_rmse": rmse, **voicing}

    scored = {
        name: _score_pairs(row, parallel, prosody_error) for name, row in rows.items() if name != "copy_synthesis"
    }
    return {name: scores for name, scores in scored.items() if scores}


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
    """Return SSIM, MS-SSIM and mean absolute error of each image to its parallel target; NaN for images without one.

    Empty without parallels.
    """

    def image_distance(x: Example, y: Example) -> dict[str, float]:
        pair = x.features[None], y.features[None]
        return {
            "ssim": float(image_metrics.ssim(*pair)[0]),
            "ms_ssim": float(image_metrics.ms_ssim(*pair)[0]),
            "mean_absolute_error": float(image_metrics.mean_absolute_error(*pair)[0]),
        }

    return _score_pairs(results, targets, image_distance)


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


def _score_pairs(
    results: Sequence[Example], targets: Sequence[Example], score: Callable[[Example, Example], Mapping[str, float]]
) -> dict[str, np.ndarray]:
    """Score each result and its parallel target; arrays `[n]` by name, NaN for results without a target or a score."""
    parallel = {x.stem: x for x in targets}
    rows = [score(x, parallel[x.stem]) if x.stem in parallel else {} for x in results]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
