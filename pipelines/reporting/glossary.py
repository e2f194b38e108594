"""Definitions of the rows and columns in evaluation reports, and the columns' headings."""

from __future__ import annotations

MEANINGS = (
    ("no_op", "the source as it is: what a model has to beat"),
    ("mean_variance", "every mel band brought to the target's mean and deviation"),
    ("transport", "the linear filter of optimal transport between the two domains, in closed form"),
    ("model", "this run"),
    ("copy_synthesis", "the target's own files through front end and inverter: what can be reached"),
    (
        "griffin_lim, source_phase, vocoder",
        "held-out recordings made again of their log-mels by each inverter; source_phase begins at their own phases",
    ),
    (
        "heard as target",
        "share of held-out files that the domain classifier takes for the target; it was trained on the training "
        "split, speech both as it is and sent through the same front end and inverter",
    ),
    (
        "heard as neither",
        "share of pictures taken for no domain: the classifier was shown noise and scrambled ones too",
    ),
    (
        "MCD (dB)",
        "mel-cepstral distortion to the parallel target file (same name): orders 1 to 13 of the cosine transform of "
        "log mel magnitudes, 10/ln 10 * sqrt(2 sum d^2), mean over the frames that dynamic time warping aligns, frames "
        "that do not sound left out, frame period one hop",
    ),
    (
        "LSD (dB)",
        "log-spectral distance to the source, in copy synthesis to the recording itself: rms over mel bands of the "
        "difference in dB, mean over frames",
    ),
    ("mel L1", "mean absolute difference of natural log-mels"),
    ("convergence (dB)", "norm of the difference of magnitudes over the norm of the recording's, in dB"),
    ("STOI", "short-time objective intelligibility (Taal et al. 2011) of all recordings joined, 1 at best"),
    ("times real time", "seconds of speech inverted in a second of work, ten seconds at once, the best of three"),
    (
        "KID",
        "kernel distance of a set to held-out examples (arXiv:1801.01401), on the 64 main directions of the training "
        "examples, scaled to variance one: 0 for sets of one distribution; compares within a report only",
    ),
    ("gaussian", "points of a Gaussian with the mean and covariance of the training examples"),
    ("diversity", "mean deviation over a set, for that over held-out examples: 0 where all are alike"),
    ("SSIM", "structural similarity to the parallel target picture, 1 for equal ones"),
)
HEADS = {
    "n": "examples", "heard_as_target": "heard as target", "heard_as_neither": "heard as neither",
    "mcd_db": "MCD (dB)", "lsd_to_source_db": "LSD (dB)", "lsd_db": "LSD (dB)",
    "mel_l1": "mel L1", "convergence_db": "convergence (dB)", "stoi": "STOI",
    "ssim": "SSIM", "mean_absolute_error": "mean absolute error", "mean_of_data": "error of the mean",
    "kid": "KID", "kid_gain": "nearer than gaussian", "kid_gain_error": "standard error", "diversity": "diversity",
}  # fmt: skip
