"""The loop: what it writes, how it stops, goes on and recovers."""

import glob
import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, train
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import plugins
from pipelines import checkpoint, config, dataset, distribution, logs, trainer
from plugins import autoencoder

EAGERLY = trainer.Pace(log_steps=1, evaluations=3, save_s=0.0)
UNSEEN = trainer.Pace(log_steps=1, evaluations=0, save_s=0.0)


def variables(run_dir):
    """The newest checkpoint, by name."""
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(os.path.join(run_dir, "checkpoints")))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE")]
    return {name: reader.get_tensor(name) for name in names if not name.startswith("save_counter")}


def test_a_run_that_was_killed_goes_on_to_the_same_bits(speech_records, tmp_path, in_new_process, monkeypatch):
    monkeypatch.setattr(checkpoint, "export", lambda *_: None)  # of which other tests are
    whole, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    train(whole, speech_records, "ae", steps=6, accumulate=2, ema=0.9).fit()
    code = f"""
import os, signal, sys
sys.path.insert(0, {os.path.join(ROOT, "tests")!r})
from conftest import train
from pipelines import trainer
pace = trainer.Pace(evaluations=0, save_s=0.0)
made = train({killed!r}, {speech_records!r}, "ae", steps=6, accumulate=2, ema=0.9, pace=pace)
save = made.keeper.save
def deadly(step):
    save(step)
    if step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
made.keeper.save = deadly
made.fit()
"""
    with pytest.raises(AssertionError):
        in_new_process(code)
    again = train(killed, speech_records, "ae", steps=6, accumulate=2, ema=0.9)
    assert again.keeper.restore() == 3
    again.fit()
    found, wanted = variables(killed), variables(whole)
    assert found.keys() == wanted.keys() and len(wanted) > 20
    assert all([name for name in wanted if part in name] for part in ("held", "average", "first", "second"))
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_run_that_is_told_to_stop_saves_first(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae", steps=50)
    step, done = made.train_step(("move",)), []

    def interrupted(batch):
        done.append(None)
        if len(done) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(batch)

    made.train_step = lambda turns: interrupted
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        made.fit()
    assert train(str(tmp_path), speech_records, "ae", steps=50).keeper.restore() == 4
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_writes_metrics_pictures_and_sound(speech_records, tmp_path):
    train(str(tmp_path), speech_records, steps=4, pace=EAGERLY).fit()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["split"] == "train"] == [1, 2, 3, 4]
    assert [row["step"] for row in rows if row["split"] == "val"] == [1, 2, 3, 4]
    assert {"cycle", "discriminator_a", "waiting", "steps_per_s"} <= set(rows[0])
    (path,) = glob.glob(str(tmp_path / "logs" / "*"))
    tags = {
        value.tag: value.metadata.plugin_data.plugin_name
        for e in EventFileLoader(path).Load()
        for value in e.summary.value
    }
    assert {"train/cycle", "val/cycle", "translate_ab/low", "translate_ab/low/sound"} <= set(tags)
    assert {"scalars", "images", "audio"} <= set(tags.values())


def test_lines_of_an_attempt_that_was_cut_off_are_dropped(tmp_path):
    log = logs.Log(str(tmp_path), 0)
    for step in (1, 2, 3):
        log.scalars("train", step, {"loss": step / 2, "bad": float("nan")})
    log.flush()
    assert [row["bad"] for row in logs.read_metrics(str(tmp_path))] == [None] * 3
    logs.Log(str(tmp_path), 2)
    assert [row["step"] for row in logs.read_metrics(str(tmp_path))] == [1, 2]


def test_a_run_exports_the_averages_of_its_weights(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae", steps=4, ema=0.5, rate=0.1)
    made.fit()
    x = np.random.default_rng(0).normal(size=(1, 16, 32)).astype(np.float32) - 3
    exported = tf.saved_model.load(str(tmp_path / "export")).signatures["reconstruct"]
    (found,) = exported(features=tf.constant(x)).values()
    np.testing.assert_allclose(found, made.signatures["reconstruct"](tf.constant(x)), atol=1e-5)
    z = made.plugin.normalise(tf.constant(x), made.plugin.spec.overall)
    last = made.plugin.denormalise(made.plugin.decoder(made.plugin.encoder(z)), made.plugin.spec.overall)
    assert np.abs(found - last).max() > 1e-3


class Exploding(autoencoder.Autoencoder):
    """Is not finite at step 3 until its rate has been lowered `patience` times."""

    patience = 1

    def train_step(self, batch, global_batch_size):
        values = super().train_step(batch, global_batch_size)
        bad = (batch["step"][0] == 3) & (self.rate_factor > 0.6**self.patience)
        return {name: tf.where(bad, np.nan, value) for name, value in values.items()}


class Hopeless(Exploding):
    """Never recovers."""

    patience = 99


@pytest.fixture
def exploding(monkeypatch):
    monkeypatch.setitem(plugins.BUILT_IN, "exploding", "test_trainer:Exploding")
    monkeypatch.setitem(plugins.BUILT_IN, "hopeless", "test_trainer:Hopeless")


def test_a_diverged_run_returns_to_its_checkpoint_with_half_the_rate(exploding, speech_records, tmp_path, capsys):
    made = train(str(tmp_path), speech_records, "exploding", steps=5, pace=UNSEEN)
    values = made.fit()
    assert np.isfinite(values["reconstruction"]) and float(made.plugin.rate_factor) == 0.5
    assert "step 4: reconstruction not finite; back to step 3, learning rates times 0.5" in capsys.readouterr().err
    steps = [row["step"] for row in logs.read_metrics(str(tmp_path)) if row["split"] == "train"]
    assert steps == [1, 2, 3, 4, 5]


def test_a_run_that_diverges_again_and_again_gives_up(exploding, speech_records, tmp_path):
    with pytest.raises(trainer.Diverged, match="gave up after 4 times"):
        train(str(tmp_path), speech_records, "hopeless", steps=5, pace=UNSEEN).fit()
    assert not (tmp_path / "export").exists()


def test_only_the_same_run_goes_on(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae")
    longer = checkpoint.Run(**{**config.to_json(made.run), "config": {**made.run.config, "steps": 9}})
    assert checkpoint.continued(str(tmp_path), longer) == longer
    other = checkpoint.Run(**{**config.to_json(made.run), "config": {**made.run.config, "latent": 5}})
    with pytest.raises(ValueError, match=r"another run \(config.latent: 32 -> 5\)"):
        checkpoint.continued(str(tmp_path), other)


def test_a_configuration_that_is_none_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not a run's configuration"):
        checkpoint.read_run(str(tmp_path))


def test_what_was_half_written_is_not_restored(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae")
    made.keeper.save(1)
    (tmp_path / "checkpoints" / "ckpt-2.data-00000-of-00001").write_bytes(b"half")
    assert train(str(tmp_path), speech_records, "ae").keeper.restore() == 1


def test_records_that_are_not_finished_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is not there"):
        dataset.open_records(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="incomplete"):
        dataset.open_records(str(tmp_path))


def test_a_summary_names_networks_and_their_sizes(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records)
    told = trainer.summary(made.run, made.data.spec)
    assert f"{made.plugin.g_ab.count_params():,} parameters" in told and "translate_ab, translate_ba" in told


@pytest.mark.parametrize(("name", "replicas"), [("one", 1), ("auto", 1)])
def test_strategies_by_name(name, replicas):
    assert distribution.strategy_of(name).num_replicas_in_sync == replicas


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="--strategy=two"):
        distribution.strategy_of("two")
