"""Results of a translation model: values that are not finite."""

import types

import numpy as np
import pytest
from testbed import SMALL

from models.features.image import ImageSpec
from models.features.spec import Spec
from pipelines.evaluation import domain_classifier, model_results, translation_quality
from pipelines.evaluation.examples import Example
from pipelines.evaluation.verdict import Verdict


def examples(*values):
    return [Example(str(n), str(n), "", np.full((4, 3), value, np.float32)) for n, value in enumerate(values)]


@pytest.mark.parametrize(("features", "value"), [(SMALL, SMALL.log_floor), (ImageSpec(height=16, width=16), 0.0)])
def test_values_that_are_not_finite_become_silence_or_grey(features, value):
    results = examples(0.5, np.nan, np.inf, -np.inf)
    assert model_results.are_finite(results).tolist() == [True, False, False, False]
    replaced = model_results.replace_non_finite(results, Spec(features, ("a",), {}))
    assert model_results.are_finite(replaced).all()
    np.testing.assert_array_equal(replaced[0].features, results[0].features)
    for result in replaced[1:]:
        np.testing.assert_array_equal(result.features, np.float32(value))


@pytest.mark.parametrize("count", [1, 16, 37])
def test_images_are_translated_in_batches_of_bounded_size(count):
    sizes = []

    def translate_batch(pixels):
        sizes.append(len(pixels))
        return pixels + 1

    spec = Spec(ImageSpec(height=16, width=16), ("a", "b"), {})
    model = types.SimpleNamespace(spec=spec, translation=lambda target, source: (source, translate_batch))
    sources = examples(*range(count))
    results = model_results.translate(model, sources, "a", "b")
    assert [x.id for x in results] == [x.id for x in sources] and sum(sizes) == count and max(sizes) <= 16
    for x, y in zip(sources, results, strict=True):
        np.testing.assert_array_equal(y.features, x.features + 1)


def test_speech_of_a_model_that_has_diverged_is_evaluated_and_does_not_convert(speech_run, held_out, monkeypatch):
    evaluator = translation_quality.Evaluator(speech_run, held_out)
    nan = [Example(x.id, x.stem, x.path, np.full_like(x.features, np.nan)) for x in evaluator.test["low"]]
    monkeypatch.setattr(evaluator, "_translate", lambda *_: nan)
    training = {name: [x.features for x in rows] for name, rows in evaluator.training_examples.items()}
    classifier = domain_classifier.fit(training, evaluator.spec, steps=10)
    direction = evaluator.evaluate_direction("low", "high", classifier)
    assert direction.verdict.value is Verdict.DOES_NOT_CONVERT
    assert direction.verdict.reasons[0] == "12 of 12 results have values that are infinite or NaN"
    assert np.isfinite(list(direction.table["model"].values())).all()
