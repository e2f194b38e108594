"""Verdicts of an evaluation: values with their statistics, which reports and `metrics.json` render as sentences."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

import numpy as np
import scipy.stats

SIGNIFICANCE = 0.05
MIN_FILES = 4  # the smallest test set on which Fisher's exact test can be significant: p = 1 / 70 at best
MIN_TARGET_RATE = 0.5  # below it a significant result is a partial conversion
Z_THRESHOLD = 1.645  # standard errors: a one-sided test at 5 %


class Verdict(enum.Enum):
    """Outcome of a translation or of sampling; the value is the phrase that begins the sentence."""

    CONVERTS = "converts"
    CONVERTS_IN_PART = "converts in part"
    DOES_NOT_CONVERT = "does not convert"
    TOO_FEW_FILES = "too few files to tell"
    GENERATES = "generates"
    DOES_NOT_GENERATE = "does not generate"


POSITIVE = frozenset({Verdict.CONVERTS, Verdict.CONVERTS_IN_PART, Verdict.GENERATES})


@dataclasses.dataclass(frozen=True)
class TranslationVerdict:
    """Verdict on one direction of a translation.

    Attributes:
      value: the outcome.
      target_rate: share of translated files that the domain classifier assigns to the target domain.
      no_op_rate: the same share for the untranslated sources.
      n: number of files.
      p_value: of the one-sided Fisher's exact test of the two rates.
    """

    value: Verdict
    target_rate: float
    no_op_rate: float
    n: int
    p_value: float

    @property
    def is_positive(self) -> bool:
        """Whether the run does its task, if only in part."""
        return self.value in POSITIVE

    def sentence(self) -> str:
        """Return the verdict and its numbers as one sentence."""
        rates = f"{100 * self.target_rate:.0f} % classified as target, no-op {100 * self.no_op_rate:.0f} %"
        if self.value is Verdict.TOO_FEW_FILES:
            return f"{self.value.value}: {self.n}, at least {MIN_FILES} are needed ({rates})"
        if self.value is Verdict.DOES_NOT_CONVERT:
            return f"{self.value.value}: within noise of no-op ({rates})"
        return f"{self.value.value}: {rates}"


@dataclasses.dataclass(frozen=True)
class SampleVerdict:
    """Verdict on the samples of a generative model, against a Gaussian with the mean and covariance of the data.

    Attributes:
      value: the outcome.
      kid: kernel distance of the samples to held-out examples.
      gaussian_kid: kernel distance of the Gaussian baseline to held-out examples.
      gain: estimate of how much nearer the samples are than the baseline.
      gain_error: standard error of `gain`.
    """

    value: Verdict
    kid: float
    gaussian_kid: float
    gain: float
    gain_error: float

    @property
    def is_positive(self) -> bool:
        """Whether the run does its task, if only in part."""
        return self.value in POSITIVE

    def sentence(self) -> str:
        """Return the verdict and its numbers as one sentence."""
        numbers = (
            f"(KID {self.kid:.3g} against {self.gaussian_kid:.3g}, {self.gain:.2g} ± {self.gain_error:.2g} nearer)"
        )
        if self.value is Verdict.GENERATES:
            return f"{self.value.value}: nearer to held-out examples than mean and covariance alone {numbers}"
        return f"{self.value.value}: within noise of mean and covariance alone, or further away {numbers}"


def translation_verdict(model: np.ndarray, no_op: np.ndarray) -> TranslationVerdict:
    """Test whether translation raises the share of files that are classified as the target domain.

    Args:
      model: bool `[n]`, whether each translated file is classified as the target.
      no_op: the same for the untranslated sources.

    >>> translation_verdict(np.ones(20, bool), np.zeros(20, bool)).sentence()
    'converts: 100 % classified as target, no-op 0 %'
    """
    p_value = _fisher_p_value(model, no_op, alternative="greater")
    if len(model) < MIN_FILES:
        value = Verdict.TOO_FEW_FILES
    elif p_value >= SIGNIFICANCE:
        value = Verdict.DOES_NOT_CONVERT
    else:
        value = Verdict.CONVERTS if model.mean() >= MIN_TARGET_RATE else Verdict.CONVERTS_IN_PART
    return TranslationVerdict(value, float(model.mean()), float(no_op.mean()), len(model), p_value)


def sample_verdict(table: Mapping[str, Mapping[str, float]]) -> SampleVerdict:
    """Test whether samples are nearer to held-out examples than a Gaussian of the same mean and covariance.

    Args:
      table: rows `model` and `gaussian` of :func:`pipelines.evaluation.sample_quality.score_samples`.

    >>> row = {"kid": 1.0, "kid_gain": 2.0, "kid_gain_error": 0.5}
    >>> sample_verdict({"model": row, "gaussian": {"kid": 3.0}}).sentence()
    'generates: nearer to held-out examples than mean and covariance alone (KID 1 against 3, 2 ± 0.5 nearer)'
    """
    row = table["model"]
    significant = row["kid_gain"] > Z_THRESHOLD * row["kid_gain_error"]
    value = Verdict.GENERATES if significant else Verdict.DOES_NOT_GENERATE
    return SampleVerdict(value, row["kid"], table["gaussian"]["kid"], row["kid_gain"], row["kid_gain_error"])


def compare_with_baselines(is_target: Mapping[str, np.ndarray], mcd: Mapping[str, float]) -> str:
    """Describe the model's gain over the better closed-form baseline; empty if there is no such baseline.

    Args:
      is_target: row to bool `[n]`: whether each file is classified as the target.
      mcd: row to mel-cepstral distortion to the parallel targets in dB, for rows with parallel targets.

    >>> print(compare_with_baselines({"transport": np.ones(50, bool), "model": np.ones(50, bool)},
    ...                              {"transport": 5, "model": 4.5}))
    This classifier finds no difference between the model and transport, which needs no training; MCD 4.5 dB and 5 dB.
    """
    baselines = [name for name in ("mean_variance", "transport") if name in is_target]
    if not baselines:
        return ""
    best = max(baselines, key=lambda name: (is_target[name].mean(), -mcd.get(name, 0.0)))
    model = is_target["model"]
    distances = f"; MCD {mcd['model']:.3g} dB and {mcd[best]:.3g} dB" if best in mcd else ""
    if _fisher_p_value(model, is_target[best]) >= SIGNIFICANCE:
        comparison = f"This classifier finds no difference between the model and {best}"
    else:
        more = "more" if model.mean() > is_target[best].mean() else "less"
        comparison = f"The model is classified as the target {more} often than {best}"
    return f"{comparison}, which needs no training{distances}."


def _fisher_p_value(a: np.ndarray, b: np.ndarray, alternative: str = "two-sided") -> float:
    """P-value of Fisher's exact test that two bool arrays have the same rate."""
    counts = [[int(x.sum()), int((~x).sum())] for x in (a, b)]
    return float(scipy.stats.fisher_exact(counts, alternative=alternative).pvalue)
