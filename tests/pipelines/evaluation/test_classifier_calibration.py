"""Calibration: temperature, threshold of "neither", and the split by folder or file."""

import numpy as np
import pytest
import scipy.special

from pipelines.evaluation import classifier_calibration
from pipelines.evaluation.classifier_calibration import Calibration
from pipelines.evaluation.examples import Example


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_the_temperature_undoes_a_scale_of_calibrated_logits(scale, rng):
    logits = rng.normal(0, 2, (4000, 3))
    labels = np.array([rng.choice(3, p=p) for p in scipy.special.softmax(logits, axis=1)])
    assert classifier_calibration.fit_temperature(scale * logits, labels) == pytest.approx(scale, rel=0.1)


def test_few_files_without_errors_give_no_certainty():
    logits, labels = np.array([[5.0, -5.0], [-5.0, 5.0]] * 4), np.array([0, 1] * 4)
    temperature = classifier_calibration.fit_temperature(logits, labels)
    confidence = scipy.special.softmax(logits / temperature, axis=1).max()
    assert 0.85 < confidence < 0.97


def margins(values):
    """Logits of two domains and of "neither" with these differences."""
    return np.stack([np.zeros(len(values)), np.full(len(values), -3.0), values], axis=1)


def test_broken_images_are_rejected_as_far_as_real_ones_permit(rng):
    labels = np.repeat([0, 1], 200)
    for broken_margin, low, high in ((20.0, np.log(99), np.log(99)), (0.0, -2.2, -1.4), (-9.0, -4.5, -3.5)):
        logits = margins(rng.normal(-6.0, 1.0, 400))
        broken = margins(rng.normal(broken_margin, 1.0, 200))
        offset = classifier_calibration.fit_neither_offset(logits, labels, broken)
        assert low - 1e-9 <= offset <= high + 1e-9
        calibrated = Calibration(1.0, offset).apply(logits, 2)
        assert np.mean(calibrated.argmax(axis=1) == 2) <= 0.03


def test_the_temperature_does_not_change_the_predicted_class(rng):
    logits = rng.normal(0, 3, (100, 3))
    classes = [Calibration(temperature, 2.0).apply(logits, 2).argmax(axis=1) for temperature in (1.0, 9.0)]
    np.testing.assert_array_equal(*classes)
    np.testing.assert_array_equal(classes[0], (logits - [0, 0, 2]).argmax(axis=1))


def test_few_validation_files_leave_a_wide_margin(rng):
    labels, broken = np.array([0, 0, 1, 1]), margins(np.full(50, 1.0))
    logits = margins(np.array([-6.0, -5.0, -6.0, -5.0]))
    assert classifier_calibration.fit_neither_offset(logits, labels, broken) > 0
    alone = classifier_calibration.fit_neither_offset(logits[1:3], labels[1:3], margins(np.full(50, -9.0)))
    assert alone == pytest.approx(-5.0 + np.log(classifier_calibration.NEITHER_PRIOR_ODDS))


@pytest.mark.parametrize(("num_folders", "unit"), [(10, "folder"), (2, "file")])
def test_whole_folders_are_held_out_where_there_are_several(num_folders, unit):
    examples = [Example(f"{n}", f"{n}", f"speech/{n % num_folders}/{n}.wav", np.zeros(1)) for n in range(60)]
    training, validation = classifier_calibration.split_examples(examples)
    assert len(training) + len(validation) == 60 and 0 < len(validation) <= 15
    folders = [{x.path.split("/")[1] for x in part} for part in (training, validation)]
    assert bool(folders[0] & folders[1]) == (unit == "file")


def test_a_single_file_is_not_held_out():
    assert classifier_calibration.split_examples([Example("a", "a", "a.wav", np.zeros(1))])[1] == []
