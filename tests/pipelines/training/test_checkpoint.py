"""Checkpoints: incomplete and unreadable files, full disks, and warm starts."""

import dataclasses
import resource

import numpy as np
import pytest
import tensorflow as tf
from testbed import train

from models import layers
from pipelines import run_directory
from pipelines.training import checkpoint, resume


def test_a_checkpoint_that_cannot_be_read_is_named_in_one_line(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae")
    made.checkpoints.latest.save(1)
    for path in (tmp_path / "checkpoints").glob("ckpt-1.data*"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(OSError, match="checkpoints/ckpt-1: ") as caught:
        made.checkpoints.latest.restore()
    assert "\n" not in str(caught.value) and not isinstance(caught.value, tf.errors.OpError)


def test_an_incomplete_checkpoint_is_not_restored(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae")
    made.checkpoints.latest.save(1)
    (tmp_path / "checkpoints" / "ckpt-2.data-00000-of-00001").write_bytes(b"half")
    assert train(str(tmp_path), speech_records, "ae").checkpoints.latest.restore() == 1


def test_a_full_disk_loses_no_checkpoint(speech_records, tmp_path, capsys):
    made = train(str(tmp_path), speech_records, "ae")
    made.checkpoints.latest.save(1)
    before = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="no checkpoint of step 2 could be written"):
            made.checkpoints.latest.save(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == before
    assert train(str(tmp_path), speech_records, "ae").checkpoints.latest.restore() == 1
    made.checkpoints.latest.save(3)
    assert train(str(tmp_path), speech_records, "ae").checkpoints.latest.restore() == 3


@pytest.mark.parametrize("plugin", ["cyclegan", "mask_cyclegan"])
def test_a_warm_start_copies_the_networks_of_another_run(plugin, speech_records, tmp_path):
    first = train(str(tmp_path / "first"), speech_records, plugin, ema=0.9)
    first.plugin.generator_optimizer.iterations.assign(7)
    for network in first.plugin.networks():
        for weight in network.trainable_variables:
            weight.assign(weight + 1)
    first.checkpoints.latest.save(5)
    second = train(str(tmp_path / "second"), speech_records, plugin, ema=0.9, seed=3)
    checkpoint.warm_start(second.plugin, str(tmp_path / "first"))
    for ours, theirs in zip(second.plugin.networks(), first.plugin.networks(), strict=True):
        for a, b in zip(ours.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(a, b)
    optimizer = second.plugin.generator_optimizer
    assert int(optimizer.iterations) == 0
    flat = tf.concat([tf.reshape(v, [-1]) for v in optimizer.weights], 0)
    np.testing.assert_array_equal(optimizer.average, flat)


@pytest.mark.parametrize("plugin", ["cyclegan", "stargan"])
def test_a_warm_start_does_not_load_the_filters_between_the_domains_of_another_run(plugin, speech_records, tmp_path):
    first, second = (train(str(tmp_path / name), speech_records, plugin) for name in ("first", "second"))
    for network in first.plugin.networks():
        for weight in layers.fixed_weights(network):
            weight.assign(weight + 1)
    first.checkpoints.latest.save(5)
    fixed = [w for network in second.plugin.networks() for w in layers.fixed_weights(network)]
    before = [w.numpy() for w in fixed]
    checkpoint.warm_start(second.plugin, str(tmp_path / "first"))
    assert fixed
    for weight, value in zip(fixed, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_warm_start_from_other_networks_is_refused(speech_records, tmp_path):
    other = train(str(tmp_path / "other"), speech_records, "ae")
    with pytest.raises(ValueError, match="other has no checkpoint"):
        checkpoint.warm_start(other.plugin, str(tmp_path / "other"))
    other.checkpoints.latest.save(1)
    for changes in ({"plugin": "cyclegan"}, {"plugin": "ae", "channels": 16}):
        made = train(str(tmp_path / "new"), speech_records, **changes)
        with pytest.raises(ValueError, match=r"other \(plugin ae\) has other networks than this run"):
            checkpoint.warm_start(made.plugin, str(tmp_path / "other"))


def test_a_resumed_run_remembers_its_warm_start(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae")
    begun = dataclasses.replace(made.run, warm_start="first")
    run_directory.write_run(str(tmp_path), begun)
    assert resume.resolve_resume(str(tmp_path), made.run) == made.run  # what has not begun is no run
    made.checkpoints.latest.save(0)
    assert resume.resolve_resume(str(tmp_path), made.run) == begun
    with pytest.raises(ValueError, match="warm_start: first -> second"):
        resume.resolve_resume(str(tmp_path), dataclasses.replace(made.run, warm_start="second"))


def test_a_failed_save_is_nothing_to_restore(speech_records, tmp_path, monkeypatch):
    made = train(str(tmp_path), speech_records, "ae")
    monkeypatch.setattr(made.checkpoints.latest.manager, "save", _full)
    with pytest.raises(OSError, match="no space"):
        made.checkpoints.latest.save(2)
    assert made.checkpoints.latest.restore() == 0 and made.checkpoints.latest.best_value() == np.inf


def _full(**_):
    raise OSError("no space")
