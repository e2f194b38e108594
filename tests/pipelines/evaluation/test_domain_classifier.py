"""The domain classifier: accuracy on held-out files, rejection of noise, reproducibility."""

import numpy as np

from models.features import ood_examples
from pipelines.evaluation import domain_classifier, translation_quality


def test_the_judge_hears_the_voice_and_not_the_inversion(speech_run, held_out):
    _, facts = translation_quality.Evaluator(speech_run, held_out).judge()
    for kind in ("accuracy", "accuracy_inverted"):
        assert set(facts[kind]) == {"low", "high"} and min(facts[kind].values()) >= 0.9


def test_the_judge_knows_pictures(picture_run, picture_records):
    _, facts = translation_quality.Evaluator(picture_run, picture_records).judge()
    assert min(facts["accuracy"].values()) == 1.0


def test_the_judge_takes_noise_for_neither_domain(picture_run, picture_records):
    made = translation_quality.Evaluator(picture_run, picture_records)
    judge, facts = made.judge()
    assert min(facts["accuracy"].values()) == 1.0
    rng, shown = np.random.default_rng(5), [x.features for found in made.test.values() for x in found]
    noise = [rng.uniform(-1, 1, x.shape).astype(np.float32) for x in shown]
    scrambled = [rng.permutation(x.reshape(-1, x.shape[-1])).reshape(x.shape) for x in shown]
    for broken in (noise, scrambled, [ood_examples.ood_example(x, rng) for x in shown]):
        assert np.mean(judge.judge(broken) == 2) >= 0.9


def test_a_judge_is_the_same_for_the_same_seed(speech_run, held_out):
    made = translation_quality.Evaluator(speech_run, held_out)
    shown = {name: [x.features for x in found] for name, found in made.test.items()}
    logits = [
        domain_classifier.fit(shown, made.spec, seed=3, steps=5).network(shown["low"][0][None].astype(np.float32))
        for _ in "ab"
    ]
    np.testing.assert_array_equal(*logits)
