"""Distances of results to targets: known values, and what is left out."""

import types

import numpy as np
import pytest

from models.features import audio
from models.features.audio import AudioSpec
from pipelines.evaluation import distances
from pipelines.evaluation.examples import Example

FEATURES = AudioSpec()
SPEECH = types.SimpleNamespace(kind="audio", features=FEATURES)
IMAGES = types.SimpleNamespace(kind="image")


def tone(name, pitch_hz, seconds=1.0, domain="b"):
    """A pulse train with the given F0, as an example."""
    t = np.arange(int(seconds * FEATURES.sample_rate_hz)) / FEATURES.sample_rate_hz
    y = np.float32(sum(np.sin(2 * np.pi * k * pitch_hz * t) / k for k in range(1, 8)) * (0.6 + 0.4 * np.sin(20 * t)))
    y = audio.normalize_level(y, FEATURES)
    return Example(f"{domain}/{name}", name, "", audio.log_mel(y, FEATURES), y)


def picture(name, seed, shift=0.0):
    pixels = np.clip(np.random.default_rng(seed).uniform(-1, 1, (16, 16, 3)) + shift, -1, 1)
    return Example(f"b/{name}", name, "", np.float32(pixels))


def test_tones_a_semitone_apart_differ_by_its_logarithm():
    targets = [tone(f"{n}", 150.0) for n in range(3)]
    rows = {
        "model": [tone(f"{n}", 150.0 * 2 ** (1 / 12), domain="a") for n in range(3)],
        "no_op": [tone(f"{n}", 150.0, domain="a") for n in range(3)],
        "copy_synthesis": targets,
    }
    errors = distances.prosody_errors(rows, SPEECH)
    assert list(errors) == ["model", "no_op"]
    assert errors["model"]["log_f0_rmse"] == pytest.approx(np.log(2) / 12, rel=0.05)
    assert errors["no_op"]["log_f0_rmse"] == pytest.approx(0, abs=1e-6)
    assert errors["no_op"]["voicing_error"] == pytest.approx(0)


def test_without_parallel_files_there_are_no_prosody_errors():
    rows = {"model": [tone("one", 150.0)], "copy_synthesis": [tone("two", 150.0)]}
    assert distances.prosody_errors(rows, SPEECH) == {}
    assert list(distances.parallel_distortions(rows, rows["copy_synthesis"], SPEECH)) == ["copy_synthesis"]


def test_modulation_is_compared_between_sets_and_short_recordings_are_left_out():
    targets = [tone("one", 150.0), tone("two", 170.0)]
    assert distances.modulation_distance(targets, targets, SPEECH) == 0
    flat = Example("b/flat", "flat", "", np.repeat(targets[0].features[:1], 80, axis=0))
    assert distances.modulation_distance([flat], targets, SPEECH) > 10
    short = Example("b/short", "short", "", targets[0].features[:3])
    assert distances.modulation_distance([short], targets, SPEECH) is None


def test_equal_images_have_no_distance_in_pairs_and_as_sets():
    targets = [picture(f"{n}", n) for n in range(40)]
    shifted = [picture(f"{n}", n, shift=0.8) for n in range(40)]
    training = [picture(f"t{n}", 100 + n) for n in range(40)]
    pairs = distances.image_distances(targets, targets)
    assert set(pairs) == {"ssim", "ms_ssim", "mean_absolute_error"}
    assert (
        pairs["ssim"] == pytest.approx(1)
        and pairs["ms_ssim"] == pytest.approx(1)
        and not pairs["mean_absolute_error"].any()
    )
    sets = distances.image_set_distances({"model": targets, "no_op": shifted}, targets, training)
    assert sets["model"]["fid"] == pytest.approx(0, abs=1e-6) and sets["no_op"]["fid"] > 1
    assert sets["model"]["coverage"] == 1 > sets["no_op"]["coverage"] and sets["model"]["kid"] < sets["no_op"]["kid"]


def test_few_images_are_no_set():
    few = [picture(f"{n}", n) for n in range(distances.MIN_SET_SIZE - 1)]
    assert distances.image_set_distances({"model": few}, few, few) == {}
    assert distances.image_distances(few, [picture("another", 0)]) == {}
