"""Preservation of content: independent of voice, level and colour, and lost by results of other sources."""

import numpy as np
import pytest
import scipy.ndimage
from testbed import SMALL, voice

from models.features import audio
from models.metrics import content


def recordings(f0_hz, count=6):
    """Log-mels of different sentences in one voice."""
    return [audio.log_mel(voice(f0_hz, 0.7 + 0.1 * n, 8000, seed=n), SMALL) for n in range(count)]


def images(count=8, size=48):
    rng = np.random.default_rng(0)
    blurred = [scipy.ndimage.gaussian_filter(rng.normal(size=(size, size)), 4) for _ in range(count)]
    return [np.clip(x / np.abs(x).max(), -1, 1)[..., None] * np.ones(3) for x in blurred]


def speech_errors(sources, results):
    contents = ([content.speech_content(x, SMALL) for x in side] for side in (sources, results))
    return content.content_errors(*contents, content.speech_distance)


def image_errors(sources, results):
    contents = ([content.image_content(x) for x in side] for side in (sources, results))
    return content.content_errors(*contents, content.image_distance)


def test_the_content_of_speech_does_not_depend_on_level_and_channel():
    x = recordings(110.0)
    filtered = [y + np.linspace(0.3, 0.9, SMALL.n_mels) for y in x]  # raised, so that the active frames stay the same
    np.testing.assert_allclose(speech_errors(x, x), 0, atol=1e-12)
    assert speech_errors(x, filtered).max() < 0.3


def test_another_sentence_has_other_content():
    x = recordings(110.0)
    assert speech_errors(x, x[1:] + x[:1]).mean() > 0.8


@pytest.mark.parametrize("change", [lambda x: -x, lambda x: x[..., ::-1] * [1, 0.5, 0.2], lambda x: x * 0.5 + 0.2])
def test_the_content_of_images_does_not_depend_on_colours(change):
    x = images()
    assert image_errors(x, [change(y) for y in x]).max() < 0.05


def test_another_image_has_other_content():
    x = images()
    assert image_errors(x, x[1:] + x[:1]).mean() > 0.8


def test_equal_results_have_no_diversity_and_the_references_themselves_one():
    x = [content.image_content(y) for y in images()]
    assert content.diversity([x[0]] * 4, x, content.image_distance) == pytest.approx(0, abs=1e-9)
    assert content.diversity(x, x, content.image_distance) == pytest.approx(1)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_sources_are_refused(count):
    x = [content.image_content(y) for y in images(count)]
    with pytest.raises(ValueError, match="two or more"):
        content.content_errors(x, x, content.image_distance)
    with pytest.raises(ValueError, match="two or more"):
        content.diversity(x, x, content.image_distance)
