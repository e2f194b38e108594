"""Verdicts of an evaluation: values with their reasons, which reports and `metrics.json` render."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping

import numpy as np
import scipy.stats

SIGNIFICANCE = 0.05
MIN_FILES = 5  # the smallest test set on which the Wilcoxon test can be significant: p = 1 / 32 at best
MIN_ACCURACY = 0.9  # of the domain classifier on held-out files of each domain
MIN_TARGET_RATE = 0.5  # below it a significant result is a partial conversion
MAX_CONTENT_ERROR = 0.85  # the same sentence by another speaker has 0.68 to 0.78, another sentence 1.0
MIN_RELATIVE_SIMILARITY = 0.7  # to the target speaker: 0 for no-op, 1 for copy synthesis of the target
MIN_SEPARATION = 0.1  # of the similarities of no-op and copy synthesis; closer domains do not differ in the speaker
MIN_DIVERSITY = 0.5  # of the results, relative to held-out targets
MAX_NEITHER_RATE = 0.5  # of images that are classified as neither domain
Z_THRESHOLD = 1.645  # standard errors: a one-sided test at 5 %
MIN_GAIN_SIMILARITY, MIN_GAIN_LOG_ODDS, MIN_GAIN_MCD_DB = 0.05, 0.5, 0.2  # of a model over a baseline, on average
BASELINES = ("mean_variance", "transport")


class Verdict(enum.Enum):
    """Outcome of a translation or of sampling, as `metrics.json` and reports spell it."""

    CONVERTS = "converts"
    CONVERTS_IN_PART = "converts in part"
    NO_BETTER_THAN_CLOSED_FORM = "no better than the closed form"
    DOES_NOT_CONVERT = "does not convert"
    CANNOT_TELL = "cannot tell"
    GENERATES = "generates"
    DOES_NOT_GENERATE = "does not generate"


POSITIVE = frozenset({Verdict.CONVERTS, Verdict.CONVERTS_IN_PART, Verdict.GENERATES})


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Scores of one direction of a translation, by row, on which its verdict rests.

    Attributes:
      is_target: bool `[n]`: whether the domain classifier assigns each result to the target.
      target_log_odds: float `[n]`: log odds of the target by the domain classifier.
      similarity: float `[n]`: cosine similarity to the target speaker; empty for images.
      content_error: float `[n]`: :func:`models.metrics.content.content_errors` of each result and its source.
      mcd_db: float `[n]`: mel-cepstral distortion to the parallel targets, NaN without one; empty without any.
      accuracy: lowest accuracy of the classifier on a domain's held-out files, after the inverter for speech.
      diversity: :func:`models.metrics.content.diversity` of the model's results, relative to held-out targets.
      is_finite: bool `[n]`: whether all values of each of the model's results are finite, before the inverter.
      num_targets: number of held-out files of the target domain.
      is_neither: bool `[n]`: whether the domain classifier assigns each image to neither domain; empty for speech.
    """

    is_target: Mapping[str, np.ndarray]
    target_log_odds: Mapping[str, np.ndarray]
    similarity: Mapping[str, np.ndarray]
    content_error: Mapping[str, np.ndarray]
    mcd_db: Mapping[str, np.ndarray]
    accuracy: float
    diversity: float
    is_finite: np.ndarray
    num_targets: int
    is_neither: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def has_speakers(self) -> bool:
        """Whether the domains are different speakers to the speaker encoder."""
        return bool(self.similarity) and not self.separation < MIN_SEPARATION

    @property
    def separation(self) -> float:
        """Mean similarity of copy synthesis to the target speaker, less that of no-op."""
        return float(self.similarity["copy_synthesis"].mean() - self.similarity["no_op"].mean())

    def relative_similarity(self, row: str) -> float:
        """Mean similarity of a row to the target speaker, 0 for no-op and 1 for copy synthesis of the target."""
        return float((self.similarity[row].mean() - self.similarity["no_op"].mean()) / self.separation)

    def relative_similarities(self, row: str) -> np.ndarray:
        """Relative similarity of each result of a row, `[n]`."""
        return (self.similarity[row] - self.similarity["no_op"].mean()) / self.separation


@dataclasses.dataclass(frozen=True)
class TranslationVerdict:
    """Verdict on one direction of a translation.

    Attributes:
      value: the outcome.
      reasons: sentences with the numbers that decided, the decisive one first.
      target_rate: share of results that the domain classifier assigns to the target domain.
      no_op_rate: the same share for the untranslated sources, after the same inverter.
      n: number of files.
    """

    value: Verdict
    reasons: tuple[str, ...]
    target_rate: float
    no_op_rate: float
    n: int

    @property
    def is_positive(self) -> bool:
        """Whether the run does its task, if only in part."""
        return self.value in POSITIVE

    def sentence(self) -> str:
        """Return the verdict and its reasons as one line."""
        return f"{self.value.value}: {'; '.join(self.reasons)}"


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


def translation_verdict(evidence: Evidence) -> TranslationVerdict:
    """Decide whether a run translates: target, content, variety, and a gain over the closed-form baselines.

    The first of these that does not hold decides: finite results; enough files; a classifier that recognises held-out
    files; results that are classified as the target more often than the untranslated sources, and mostly as one of the
    domains; content that is kept; variety of the results; a target rate of a half; a gain over the best closed form,
    where there is one.
    """
    model, no_op = evidence.is_target["model"], evidence.is_target["no_op"]
    rates = f"{100 * model.mean():.0f} % classified as target, no-op {100 * no_op.mean():.0f} %"
    value, reason = next(_failures(evidence), (Verdict.CONVERTS, ""))
    gain = baseline_gain(evidence)
    reasons = [text for text in (reason, rates, *_quality(evidence), gain[1] if gain else "") if text]
    return TranslationVerdict(value, tuple(reasons), float(model.mean()), float(no_op.mean()), len(model))


def _failures(evidence: Evidence) -> Iterator[tuple[Verdict, str]]:
    """Yield the verdict and the reason of every condition that does not hold, the decisive one first.

    A condition is `not (value <= limit)`, so that it does not hold for NaN.
    """
    model, no_op = evidence.is_target["model"], evidence.is_target["no_op"]
    content = evidence.content_error["model"].mean()
    if num_invalid := int((~_has_finite_scores(evidence)).sum()):
        yield Verdict.DOES_NOT_CONVERT, f"{num_invalid} of {len(model)} results have values that are infinite or NaN"
    if (fewest := min(len(model), evidence.num_targets)) < MIN_FILES:
        yield Verdict.CANNOT_TELL, f"{fewest} test files of a domain, at least {MIN_FILES} are needed"
    if not evidence.accuracy >= MIN_ACCURACY:
        known = f"the domain classifier recognises {100 * evidence.accuracy:.0f} % of the held-out files of a domain"
        yield Verdict.CANNOT_TELL, f"{known}, {100 * MIN_ACCURACY:.0f} % are needed: preprocess more training files"
    if not _fisher_p_value(model, no_op, alternative="greater") < SIGNIFICANCE:
        yield Verdict.DOES_NOT_CONVERT, "within noise of no-op"
    if evidence.has_speakers:
        differences = evidence.similarity["model"] - evidence.similarity["no_op"]
        if not _wilcoxon_p_value(differences) < SIGNIFICANCE:
            yield Verdict.DOES_NOT_CONVERT, "not more similar to the target speaker than no-op"
    if evidence.is_neither and not (rate := evidence.is_neither["model"].mean()) <= MAX_NEITHER_RATE:
        yield Verdict.DOES_NOT_CONVERT, f"{100 * rate:.0f} % of the results are classified as neither domain"
    if not content <= MAX_CONTENT_ERROR:
        yield Verdict.DOES_NOT_CONVERT, f"the content is lost (content error {content:.2f}, 1 for another source)"
    if not evidence.diversity >= MIN_DIVERSITY:
        yield Verdict.DOES_NOT_CONVERT, f"mode collapse (diversity {evidence.diversity:.2f} of the targets')"
    if not model.mean() >= MIN_TARGET_RATE:
        yield Verdict.CONVERTS_IN_PART, f"less than {100 * MIN_TARGET_RATE:.0f} % of the results"
    if evidence.has_speakers and not evidence.relative_similarity("model") >= MIN_RELATIVE_SIMILARITY:
        yield Verdict.CONVERTS_IN_PART, f"relative similarity below {MIN_RELATIVE_SIMILARITY}"
    if (gain := baseline_gain(evidence)) and not gain[0]:
        yield Verdict.NO_BETTER_THAN_CLOSED_FORM, ""


def _has_finite_scores(evidence: Evidence) -> np.ndarray:
    """Whether each of the model's results and its scores are finite, bool `[n]`."""
    scores = [evidence.target_log_odds, evidence.similarity]
    if len(evidence.is_finite) > 1:  # there is no content error of a single result
        scores.append(evidence.content_error)
    return np.all([evidence.is_finite, *(np.isfinite(x["model"]) for x in scores if "model" in x)], axis=0)


def _quality(evidence: Evidence) -> Iterator[str]:
    if evidence.has_speakers:
        yield f"relative similarity {evidence.relative_similarity('model'):.2f}"
    yield f"content error {evidence.content_error['model'].mean():.2f}"
    yield f"diversity {evidence.diversity:.2f}"


def baseline_gain(evidence: Evidence) -> tuple[bool, str] | None:
    """Test whether the model is better than the best closed-form baseline; None if there is no baseline.

    The model is compared by the similarity to the target speaker, or by the target log odds where the domains are no
    speakers, and by the distortion to parallel targets where there are any. A difference counts if it is significant
    (paired one-sided Wilcoxon test) and on average at least `MIN_GAIN_*`; that of the similarity is relative to the
    difference between copy synthesis and no-op. The model is better if it is better by one of the two, and not worse by
    the other. Log odds saturate, similarities do not.

    Returns:
      Whether it is better, and a sentence with the numbers.
    """
    baselines = [name for name in BASELINES if name in evidence.is_target]
    if not baselines:
        return None
    if evidence.has_speakers:
        name, scores, unit = "speaker similarity", evidence.similarity, MIN_GAIN_SIMILARITY * evidence.separation
    else:
        name, scores, unit = "target log odds", evidence.target_log_odds, MIN_GAIN_LOG_ODDS
    best = max(baselines, key=lambda row: scores[row].mean())
    gains = [(scores["model"] - scores[best]) / unit]
    numbers = [f"{name} {scores['model'].mean():.2f} and {scores[best].mean():.2f}"]
    if "model" in evidence.mcd_db:
        parallel = np.isfinite(evidence.mcd_db[best])
        model, baseline = evidence.mcd_db["model"][parallel], evidence.mcd_db[best][parallel]
        gains.append((baseline - model) / MIN_GAIN_MCD_DB)
        numbers.append(f"MCD {model.mean():.2f} dB and {baseline.mean():.2f} dB")
    is_better = any(_is_gain(gain) for gain in gains) and not any(_is_gain(-gain) for gain in gains)
    comparison = "better than" if is_better else "no better than"
    return is_better, f"{comparison} {best}, which needs no training ({', '.join(numbers)})"


def _is_gain(gain: np.ndarray) -> bool:
    """Whether paired differences are significantly above zero, and at least 1 on average."""
    return float(gain.mean()) >= 1 and _wilcoxon_p_value(gain) < SIGNIFICANCE


def _wilcoxon_p_value(differences: np.ndarray) -> float:
    """One-sided p-value of the Wilcoxon signed-rank test that paired differences are above zero; 1 if all are zero."""
    return float(scipy.stats.wilcoxon(differences, alternative="greater").pvalue) if np.any(differences) else 1.0


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


def _fisher_p_value(a: np.ndarray, b: np.ndarray, alternative: str = "two-sided") -> float:
    """P-value of Fisher's exact test that two bool arrays have the same rate."""
    counts = [[int(x.sum()), int((~x).sum())] for x in (a, b)]
    return float(scipy.stats.fisher_exact(counts, alternative=alternative).pvalue)
