"""Cheats: translators that a domain classifier alone would take for good ones are not called converting."""

import types

import numpy as np
import pytest
from testbed import SMALL

from models.features import broken_images, stats
from models.features.image import ImageSpec
from models.features.spec import Spec
from pipelines.evaluation import domain_classifier, translation_quality
from pipelines.evaluation.examples import Example
from pipelines.evaluation.verdict import Verdict

DOMAINS = ("low", "high")
NUM_TRAINING, NUM_TEST = 24, 12
GOOD = {Verdict.CONVERTS, Verdict.CONVERTS_IN_PART, Verdict.NO_BETTER_THAN_CLOSED_FORM}


def sentence(seed, frames=96):
    """A sequence of sounds: log-mels `[frames, mels]` that change their smooth envelope every few frames."""
    rng = np.random.default_rng(seed)
    bands = np.arange(SMALL.n_mels) / SMALL.n_mels
    sounds = [
        sum(rng.normal(0, 0.8) * np.cos(np.pi * k * (bands + 0.5 / len(bands))) for k in range(1, 6)) for _ in range(12)
    ]
    track = np.repeat(sounds, frames // 12, axis=0)
    smooth = np.stack([np.convolve(column, np.ones(4) / 4, mode="same") for column in track.T], axis=1)
    return smooth + 0.1 * rng.normal(size=smooth.shape)


def speak(content, domain):
    """A sentence in one of two voices, which differ in their mean spectrum and in how far the sounds are apart."""
    tilt = np.linspace(0, 1.5, SMALL.n_mels)
    return content + tilt - 4 if domain == "low" else 0.8 * content + tilt[::-1] - 4


def scene(seed):
    """Positions and sizes of blobs, `[height, width]` in [0, 1]."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:32, :32]
    spots = [np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 18) for cy, cx in rng.uniform(4, 28, (3, 2))]
    return np.clip(sum(spots), 0, 1)


def paint(content, domain):
    """A scene in one of two looks: white on black, or dark on orange."""
    colours = content[..., None] * np.ones(3) if domain == "low" else (1 - content)[..., None] * [1.0, 0.6, 0.3]
    return 2 * colours - 1


KINDS = {"audio": (sentence, speak), "image": (scene, paint)}


@pytest.fixture(scope="module", params=KINDS)
def case(request):
    """An evaluator of two domains without a model, its classifier, and the functions that made the examples."""
    content, render = KINDS[request.param]
    features = SMALL if request.param == "audio" else ImageSpec(height=32, width=32)
    make = lambda seed, domain: np.float32(render(content(seed), domain))  # noqa: E731
    training = {d: [make(100 * n + k, d) for k in range(NUM_TRAINING)] for n, d in enumerate(DOMAINS, 1)}
    last_axis = features.n_mels if request.param == "audio" else 3
    vectors = {d: np.concatenate([x.reshape(-1, last_axis) for x in examples]) for d, examples in training.items()}
    moments = {d: stats.Moments.of(x, lags=stats.LAGS if request.param == "audio" else 0) for d, x in vectors.items()}
    spec = Spec(features, DOMAINS, moments)
    evaluator = object.__new__(translation_quality.Evaluator)
    evaluator.spec, evaluator.extractor = spec, "pca64"
    evaluator.test = {
        d: [Example(f"{d}/{k}", f"{d}{k}", "", make(1000 * n + k, d)) for k in range(NUM_TEST)]
        for n, d in enumerate(DOMAINS, 1)
    }
    evaluator.resynthesize = lambda examples: examples
    evaluator.training_examples = {domain: [] for domain in DOMAINS}
    classifier = domain_classifier.fit(training, spec, seed=0, steps=200)
    accuracy = min(classifier.accuracy({d: [x.features for x in evaluator.test[d]] for d in DOMAINS}).values())
    return types.SimpleNamespace(
        kind=request.param, evaluator=evaluator, classifier=classifier, accuracy=accuracy, make=make, training=training
    )


def verdict_of(case, translate):
    """The verdict on a function from the features of the n-th source to those of its result, low to high."""
    sources = case.evaluator.test["low"]
    results = [Example(x.id, x.stem, "", np.float32(translate(n, x.features))) for n, x in enumerate(sources)]
    case.evaluator._translate = lambda *_: results
    return case.evaluator.evaluate_direction("low", "high", case.classifier, case.accuracy).verdict


def shaped_noise(case, rng):
    """Noise with the mean and the standard deviation of the target at each band or pixel."""
    examples = np.stack(case.training["high"])
    mean, std = (
        examples.mean(axis=(0, 1) if case.kind == "audio" else 0),
        examples.std(axis=(0, 1) if case.kind == "audio" else 0),
    )
    return lambda n, x: mean + std * rng.normal(size=x.shape)


@pytest.mark.parametrize("cheat", ["copy", "constant", "mean", "noise", "shuffled", "untrained", "diverged"])
def test_a_cheat_does_not_convert(case, cheat):
    rng, targets = np.random.default_rng(0), [x.features for x in case.evaluator.test["high"]]
    translators = {
        "copy": lambda n, x: x,
        "constant": lambda n, x: targets[0],
        "mean": lambda n, x: np.mean(targets, axis=0),
        "noise": shaped_noise(case, rng),
        "shuffled": lambda n, x: targets[(5 * n + 3) % len(targets)],
        "untrained": lambda n, x: x + 0.01 * rng.normal(size=x.shape),
        "diverged": lambda n, x: np.full_like(x, np.nan),
    }
    result = verdict_of(case, translators[cheat])
    assert result.value not in GOOD, result.sentence()
    assert case.accuracy >= 0.9 and result.value is Verdict.DOES_NOT_CONVERT, result.sentence()


@pytest.mark.parametrize("case", ["image"], indirect=True, scope="module")
@pytest.mark.parametrize("cheat", ["random_phases", "recoloured", "blurred", "random_network"])
def test_a_broken_image_translator_does_not_convert(case, cheat):
    rng, targets = np.random.default_rng(0), [x.features for x in case.evaluator.test["high"]]
    translators = {
        "random_phases": lambda n, x: np.clip(broken_images.randomize_phases(targets[n], x, rng), -1, 1),
        "recoloured": lambda n, x: np.clip(broken_images.transfer_colours(x, targets[n], rng), -1, 1),
        "blurred": lambda n, x: broken_images.blur(x, targets[n], rng),
        "random_network": lambda n, x: np.clip(broken_images.random_convolutions(x, targets[n], rng), -1, 1),
    }
    result = verdict_of(case, translators[cheat])
    assert result.value is Verdict.DOES_NOT_CONVERT, result.sentence()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_good_translator_with_one_value_that_is_not_finite_does_not_convert(case, value):
    def translate(n, x):
        result = case.make(1000 + n, "high")
        result[len(result) // 2, -1] = value if n == 3 else result[len(result) // 2, -1]
        return result

    result = verdict_of(case, translate)
    assert result.value is Verdict.DOES_NOT_CONVERT, result.sentence()
    assert result.reasons[0] == f"1 of {NUM_TEST} results have values that are infinite or NaN"


def test_a_translator_converts(case):
    result = verdict_of(case, lambda n, x: case.make(1000 + n, "high"))
    assert result.value in GOOD, result.sentence()
    assert case.kind == "audio" or result.value is Verdict.CONVERTS


def test_a_classifier_that_does_not_recognise_held_out_files_gives_no_verdict(case):
    case.evaluator._translate = lambda *_: case.evaluator.test["low"]
    direction = case.evaluator.evaluate_direction("low", "high", case.classifier, 0.78)
    assert direction.verdict.value is Verdict.CANNOT_TELL and "78 %" in direction.verdict.reasons[0]
