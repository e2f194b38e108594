"""Definitions of the rows and columns in evaluation reports, and the columns' headings."""

from __future__ import annotations

DEFINITIONS = (
    ("no_op", "the untranslated source after the same inverter: the baseline that a model must beat"),
    ("mean_variance", "closed-form baseline: each mel band normalised to the target's mean and standard deviation"),
    ("transport", "closed-form baseline: the linear filter of optimal transport between the two domains"),
    ("model", "this run"),
    (
        "copy_synthesis",
        "the target's own files through front end and inverter: the upper bound; distances between sets of images are "
        "those of training images",
    ),
    (
        "griffin_lim, source_phase, vocoder, universal_vocoder",
        "held-out recordings inverted from their own log-mels by each inverter; source_phase starts from the phases "
        "of the recording, and universal_vocoder is that of the package",
    ),
    (
        "classified as target",
        "share of held-out files that the domain classifier assigns to the target domain; it is trained on the "
        "training split, for speech both on the recordings and on their inversion from log-mels",
    ),
    (
        "log odds of target",
        "mean log odds of the target domain against all others, by the domain classifier; 0 for even odds",
    ),
    (
        "classified as neither",
        "share of images that the classifier assigns to no domain: it is also trained on noise, textures, blurred and "
        "recoloured images, swapped patches and the output of random networks",
    ),
    (
        "relative similarity",
        "mean cosine similarity to the target speaker, by a speaker encoder that is part of this package: 0 for no-op, "
        "1 for copy synthesis of the target",
    ),
    (
        "content error",
        "distance of a result to its own source, relative to its mean distance to other sources: 0 for the same "
        "content, about 1 for that of any other file; for speech on mel cepstra without the voice's mean, aligned by "
        "dynamic time warping, for images on edges",
    ),
    (
        "MCD (dB)",
        "mel-cepstral distortion to the parallel target file (same name): orders 1 to 13 of the cosine transform of "
        "log mel magnitudes, 10/ln 10 * sqrt(2 sum d^2), mean over the frames that dynamic time warping aligns, "
        "without inactive frames, frame period one hop",
    ),
    (
        "LSD (dB)",
        "log-spectral distance to the source, in copy synthesis to the recording itself: rms over mel bands of the "
        "difference in dB, mean over frames",
    ),
    ("log-F0 RMSE", "root mean square difference of ln F0 to the parallel target, along the warping path; octave 0.69"),
    ("voicing error", "share of frames of which only one of result and parallel target is voiced"),
    ("modulation (dB)", "difference of the mean modulation spectra, 1 to 25 Hz, of results and held-out targets"),
    ("mel L1", "mean absolute difference of natural log-mels"),
    ("convergence (dB)", "norm of the difference of magnitudes over the norm of the recording's, in dB"),
    ("STOI", "short-time objective intelligibility (Taal et al. 2011) of all recordings joined; 1 is best"),
    ("times real time", "seconds of speech inverted per second of work, for ten seconds of speech, the best of four"),
    (
        "KID",
        "kernel distance of a set to held-out examples (arXiv:1801.01401), on the features that the summary names: 0 "
        "for equal distributions; comparable for the same features and training examples only. pca64: the 64 principal "
        "components of the training examples, scaled to unit variance",
    ),
    ("gaussian", "baseline: points of a Gaussian with the mean and covariance of the training examples"),
    (
        "diversity",
        "mean distance between the results (between the samples: their standard deviation), relative to that of "
        "held-out examples of the target: 0 in mode collapse",
    ),
    ("FID", "Fréchet distance (arXiv:1706.08500) on the same features as KID; not comparable with published values"),
    ("density", "how many neighbourhoods of held-out targets contain a result (arXiv:2002.09797); about 1 at best"),
    ("coverage", "share of neighbourhoods of held-out targets that contain a result; about 0.97 at best"),
    ("MS-SSIM", "multi-scale structural similarity to the parallel target image, 1 for equal ones"),
    ("SSIM", "structural similarity to the parallel target image, 1 for equal ones"),
)
HEADINGS = {
    "n": "examples", "target_rate": "classified as target", "neither_rate": "classified as neither",
    "content_error": "content error", "relative_similarity": "relative similarity",
    "mcd_db": "MCD (dB)", "lsd_to_source_db": "LSD (dB)", "lsd_db": "LSD (dB)",
    "mel_l1": "mel L1", "convergence_db": "convergence (dB)", "stoi": "STOI",
    "log_f0_rmse": "log-F0 RMSE", "voicing_error": "voicing error", "modulation_db": "modulation (dB)",
    "ssim": "SSIM", "ms_ssim": "MS-SSIM", "mean_absolute_error": "mean absolute error",
    "mean_of_data": "error of the mean",
    "fid": "FID", "kid": "KID", "kid_gain": "nearer than gaussian", "kid_gain_error": "standard error",
    "diversity": "diversity", "target_log_odds": "log odds of target",
}  # fmt: skip
HIGHER_IS_BETTER = {  # of the scores of single files
    "relative_similarity": True, "target_log_odds": True, "content_error": False, "mcd_db": False,
    "log_f0_rmse": False, "voicing_error": False, "ssim": True, "ms_ssim": True, "mean_absolute_error": False,
}  # fmt: skip


def heading(key: str) -> str:
    """Return the heading of a score.

    >>> heading("mcd_db"), heading("phones_lost")
    ('MCD (dB)', 'phones lost')
    """
    return HEADINGS.get(key, key.replace("_", " "))
