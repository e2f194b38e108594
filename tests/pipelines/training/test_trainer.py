"""The loop: what it writes, how it stops, goes on and recovers."""

import glob
import json
import os
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from testbed import ROOT, train

import plugins
from pipelines.data import cropping, dataset, input_pipeline, source_features
from pipelines.export import saved_model
from pipelines.training import checkpoint, metrics_log, model_summary, trainer, validation
from plugins import autoencoder

EAGERLY = trainer.Intervals(log_steps=1, validations=3, checkpoint_s=0.0)
NO_EVALUATION = trainer.Intervals(log_steps=1, validations=0, checkpoint_s=0.0)


def variables(run_dir):
    """The newest checkpoint, by name."""
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(os.path.join(run_dir, "checkpoints")))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE")]
    return {name: reader.get_tensor(name) for name in names if not name.startswith("save_counter")}


def test_a_run_that_was_killed_goes_on_to_the_same_bits(speech_records, tmp_path, in_new_process, monkeypatch):
    monkeypatch.setattr(saved_model, "write", lambda *_: None)  # of which other tests are
    whole, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    train(whole, speech_records, "ae", steps=6, accumulation_steps=2, ema=0.9).fit()
    code = f"""
import os, signal, sys
sys.path.insert(0, {os.path.join(ROOT, "tests")!r})
from testbed import train
from pipelines.training import trainer
intervals = trainer.Intervals(validations=0, checkpoint_s=0.0)
made = train({killed!r}, {speech_records!r}, "ae", steps=6, accumulation_steps=2, ema=0.9, intervals=intervals)
save = made.checkpoints.latest.save
def deadly(step):
    save(step)
    if step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
made.checkpoints.latest.save = deadly
made.fit()
"""
    with pytest.raises(AssertionError):
        in_new_process(code)
    again = train(killed, speech_records, "ae", steps=6, accumulation_steps=2, ema=0.9)
    assert again.checkpoints.latest.restore() == 3
    again.fit()
    found, wanted = variables(killed), variables(whole)
    assert found.keys() == wanted.keys() and len(wanted) > 20
    assert all([name for name in wanted if part in name] for part in ("accumulated", "average", "/m/", "/v/"))
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_run_that_is_told_to_stop_saves_first(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae", steps=50)
    step, done = made.replicated_train_step(("update",)), []

    def interrupted(batch):
        done.append(None)
        if len(done) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(batch)

    made.replicated_train_step = lambda update_modes: interrupted
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        made.fit()
    assert train(str(tmp_path), speech_records, "ae", steps=50).checkpoints.latest.restore() == 4
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_writes_metrics_pictures_and_sound(speech_records, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "write", lambda *_: None)
    train(str(tmp_path), speech_records, steps=2, intervals=EAGERLY).fit()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["split"] == "train"] == [1, 2]
    assert [row["step"] for row in rows if row["split"] == "val"] == [1, 2]
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
    log = metrics_log.MetricsLog(str(tmp_path), 0)
    for step in (1, 2, 3):
        log.log_scalars("train", step, {"loss": step / 2, "bad": float("nan")})
    log.flush()
    assert [row["bad"] for row in metrics_log.read_metrics(str(tmp_path))] == [None] * 3
    metrics_log.MetricsLog(str(tmp_path), 2)
    assert [row["step"] for row in metrics_log.read_metrics(str(tmp_path))] == [1, 2]


def test_a_run_exports_the_averages_of_its_weights(speech_records, tmp_path, features_only):
    made = train(str(tmp_path), speech_records, "ae", steps=4, ema=0.5, learning_rate=0.1)
    made.fit()
    x = np.random.default_rng(0).normal(size=(1, 16, 32)).astype(np.float32) - 3
    exported = tf.saved_model.load(str(tmp_path / "export")).signatures["reconstruct"]
    (found,) = exported(features=tf.constant(x)).values()
    np.testing.assert_allclose(found, made.signatures["reconstruct"](tf.constant(x)), atol=1e-5)
    z = made.plugin.normalize(tf.constant(x), made.plugin.spec.overall)
    last = made.plugin.denormalize(made.plugin.decoder(made.plugin.encoder(z)), made.plugin.spec.overall)
    assert np.abs(found - last).max() > 1e-3


class Exploding(autoencoder.Autoencoder):
    """Is not finite at step 3 until its rate has been lowered `patience` times."""

    patience = 1

    def train_step(self, batch, global_batch_size):
        values = super().train_step(batch, global_batch_size)
        bad = (batch["step"][0] == 3) & (self.learning_rate_scale > 0.6**self.patience)
        return {name: tf.where(bad, np.nan, value) for name, value in values.items()}


class Hopeless(Exploding):
    """Never recovers."""

    patience = 99


@pytest.fixture
def exploding(monkeypatch):
    monkeypatch.setitem(plugins.BUILT_IN, "exploding", f"{__name__}:Exploding")
    monkeypatch.setitem(plugins.BUILT_IN, "hopeless", f"{__name__}:Hopeless")


def test_a_diverged_run_returns_to_its_checkpoint_with_half_the_rate(
    exploding, speech_records, tmp_path, features_only, capsys
):
    made = train(str(tmp_path), speech_records, "exploding", steps=5, intervals=NO_EVALUATION)
    values = made.fit()
    assert np.isfinite(values["reconstruction"]) and float(made.plugin.learning_rate_scale) == 0.5
    assert "step 4: reconstruction not finite; back to step 3, learning rates times 0.5" in capsys.readouterr().err
    steps = [row["step"] for row in metrics_log.read_metrics(str(tmp_path)) if row["split"] == "train"]
    assert steps == [1, 2, 3, 4, 5]


def test_a_run_that_diverges_again_and_again_gives_up(exploding, speech_records, tmp_path):
    with pytest.raises(trainer.Diverged, match="training diverged 4 times"):
        train(str(tmp_path), speech_records, "hopeless", steps=5, intervals=NO_EVALUATION).fit()
    assert not (tmp_path / "export").exists()


def test_a_wasserstein_loss_near_zero_is_no_alarm(picture_records, tmp_path):
    for plugin, wasserstein in (("wgan_gp", True), ("dcgan", False), ("ae", False)):
        assert train(str(tmp_path / plugin), picture_records, plugin).alarms.wasserstein == wasserstein


def test_records_that_are_not_finished_are_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        dataset.open_records(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="incomplete"):
        dataset.open_records(str(tmp_path))


def test_validation_goes_through_the_whole_split_up_to_a_bound(speech_records, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "write", lambda *_: None)
    made = train(str(tmp_path), speech_records, "ae", steps=1, batch_size=2, intervals=EAGERLY)
    draws = [
        sum(cropping.crops_per_epoch(active, 16) for s in made.data.sources_of("val", name) for active in s.active)
        for name in made.data.spec.domains
    ]
    assert input_pipeline.rows_of_epoch(made.data, made.plugin_class, made.config, "val") == 2 * max(draws)
    seen, step = [], made.validator.eval_step
    made.validator.eval_step = lambda batch: (seen.append(batch["index"].shape[0]), step(batch))[1]
    made.fit()
    assert sum(seen) == 2 * max(draws)
    monkeypatch.setattr(validation, "MAX_EXAMPLES", 5)
    assert validation.num_batches(made.data, made.plugin_class, made.config) == 3


def test_shown_samples_are_those_that_a_hash_chooses(speech_records, monkeypatch):
    data = dataset.open_records(speech_records)
    monkeypatch.setattr(validation, "NUM_SAMPLES", 1)
    found = validation.sample_features(data)
    for name, x in found.items():
        assert x.shape == (1, validation.SAMPLE_FRAMES, 32)
        (source,) = source_features.hash_sample(data.sources_of("val", name), 1, "sample")
        ((_, start, wanted),) = source_features.read_excerpts(data, "val", name, [source], validation.SAMPLE_FRAMES)
        np.testing.assert_array_equal(x[0, : len(wanted)], wanted)


def test_records_that_are_damaged_end_training_with_their_name(speech_records, tmp_path):
    shutil.copytree(speech_records, tmp_path / "records")
    (shard,) = (tmp_path / "records").glob("low-train*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(OSError, match=f"{tmp_path}/records: the records cannot be read: "):
        train(str(tmp_path / "run"), str(tmp_path / "records"), "ae", steps=9).fit()


def test_a_worker_that_is_not_the_chief_counts_its_steps_and_restores_no_best(speech_records, tmp_path, monkeypatch):
    made = train(str(tmp_path), speech_records, "ae", steps=2, intervals=EAGERLY)
    made.is_chief = False
    monkeypatch.setattr(made.checkpoints.best, "restore", lambda: pytest.fail("before the chief has saved it"))
    made.fit(exported="best")
    assert made.step == 2 and int(made.checkpoints.latest.step.numpy()) == 0 and not (tmp_path / "export").exists()


def test_a_summary_names_networks_and_their_sizes(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records)
    told = model_summary.summarize(made.run, made.data.spec)
    assert f"{made.plugin.generator_ab.count_params():,} parameters" in told and "translate_ab, translate_ba" in told


def test_training_ends_when_validation_improves_no_more_and_the_best_is_exported(
    speech_records, tmp_path, features_only, capsys
):
    intervals = trainer.Intervals(log_steps=1, validations=99, checkpoint_s=999.0)
    made = train(str(tmp_path), speech_records, "ae", steps=40, patience=2, learning_rate=0.3, intervals=intervals)
    made.fit(exported="best")
    assert "early stopping: reconstruction has not improved for 2 validations" in capsys.readouterr().out
    rows = metrics_log.read_metrics(str(tmp_path))
    validations = [(row["reconstruction"], row["step"]) for row in rows if row["split"] == "val"]
    assert validations[-1][1] < 40 and min(validations)[1] == validations[-3][1]
    assert made.checkpoints.best.manager.latest_checkpoint.endswith(f"ckpt-{min(validations)[1]}")
    assert int(made.checkpoints.best.step.numpy()) == min(validations)[1]
    assert (tmp_path / "export" / "saved_model.pb").exists()
    again = train(str(tmp_path), speech_records, "ae", steps=40, patience=2, learning_rate=0.3, intervals=intervals)
    assert again.fit() == {} and int(again.checkpoints.latest.step.numpy()) == validations[-1][1]


@pytest.mark.parametrize(
    ("plugin", "changes", "exported", "why"),
    [
        ("ae", {"monitor": "recon"}, "last", "monitor=recon: no such metric; there are: reconstruction"),
        ("cyclegan", {"patience": 3}, "last", "patience=3: cyclegan has no default metric"),
        ("cyclegan", {}, "best", "--export=best: cyclegan has no default metric"),
    ],
)
def test_what_cannot_be_watched_is_refused_before_training(plugin, changes, exported, why, speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, plugin, intervals=EAGERLY, **changes)
    with pytest.raises(ValueError, match=why):
        made.fit(exported=exported)
    assert not (tmp_path / "checkpoints").exists()


def test_without_validation_nothing_can_be_watched(speech_records, tmp_path, monkeypatch):
    monkeypatch.setattr(input_pipeline, "has_examples", lambda *_: False)
    with pytest.raises(ValueError, match="patience=2: the records have no validation split"):
        train(str(tmp_path), speech_records, "ae", patience=2).fit()


def test_a_plugins_own_metric_may_be_missing_or_not_finite(speech_records, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "write", lambda *_: None)
    monkeypatch.setattr(metrics_log, "log_samples", lambda *_: [])
    made = train(str(tmp_path), speech_records, "vae", steps=2, beta=0.0, intervals=EAGERLY)  # so there is no ELBO
    evaluated = made.validator.eval_step
    made.fit()
    made.validator.eval_step = lambda batch: {name: value * np.nan for name, value in evaluated(batch).items()}
    made.monitor = "reconstruction"
    made._validate(3)
    assert made.log.rows[-1]["reconstruction"] is None and made.checkpoints.best.restore() == 0


def test_what_is_not_finite_is_not_saved(exploding, speech_records, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(saved_model, "write", lambda *_: None)

    class Broken(Exploding):
        def train_step(self, batch, global_batch_size):
            values = super().train_step(batch, global_batch_size)
            weight = self.networks()[0].trainable_variables[0]
            bad = (batch["step"][0] == 3) & (self.learning_rate_scale > 0.6)
            weight.assign(tf.where(bad, np.nan, weight))
            return values

    monkeypatch.setattr(plugins, "load", lambda name: Broken)
    made = train(
        str(tmp_path),
        speech_records,
        "ae",
        steps=8,
        intervals=trainer.Intervals(log_steps=4, validations=0, checkpoint_s=0),
    )
    made.fit()
    assert "back to step 3" in capsys.readouterr().err and float(made.plugin.learning_rate_scale) == 0.5


@pytest.mark.slow
def test_validation_and_export_work_on_replicas(replicas, speech_records, tmp_path, features_only):
    found = {}
    for name, strategy in (("one", tf.distribute.get_strategy()), ("two", replicas)):
        made = train(str(tmp_path / name), speech_records, "ae", intervals=EAGERLY, strategy=strategy)
        made.fit(exported="best")
        found[name] = [row["reconstruction"] for row in made.log.rows]
        assert (tmp_path / name / "export" / "saved_model.pb").exists()
    np.testing.assert_allclose(found["two"], found["one"], rtol=1e-4)


def test_half_precision_trains_goes_on_and_exports_single_precision(speech_records, tmp_path, features_only):
    precision = "mixed_float16"  # which scales losses, what bfloat16 need not
    whole, halves = str(tmp_path / "whole"), str(tmp_path / "halves")
    same = {"ema": 0.9, "precision": precision, "decay": "constant"}
    made = train(whole, speech_records, "vae", steps=4, **same)
    made.fit()
    assert {layer.compute_dtype for layer in made.plugin.encoder.layers} >= {precision.removeprefix("mixed_")}
    assert keras.config.dtype_policy().name == "float32"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "write", lambda *_: None)
        for steps in (2, 4):
            train(halves, speech_records, "vae", steps=steps, **same).fit()
    found, wanted = variables(halves), variables(whole)
    assert all(np.array_equal(found[name], value) for name, value in wanted.items())
    x = np.random.default_rng(0).normal(size=(1, 16, 32)).astype(np.float32) - 3
    exported = tf.saved_model.load(str(tmp_path / "whole" / "export")).signatures["reconstruct"]
    (found,) = exported(features=tf.constant(x)).values()
    twin = checkpoint.to_single_precision(made.plugin, made.run).signatures()["reconstruct"](tf.constant(x))
    np.testing.assert_allclose(found, twin, atol=1e-5)
    rough = np.abs(found - made.signatures["reconstruct"](tf.constant(x))).max()
    assert 1e-6 < rough < 0.2


def test_bfloat16_moves_as_single_precision_does_but_for_rounding(speech_records, tmp_path):
    moved = {}
    for precision in ("float32", "mixed_bfloat16"):
        made = train(str(tmp_path / precision), speech_records, "ae", precision=precision)
        batch = next(made.loader.batches("train", 0))
        values = made.plugin.train_step(batch, 2)
        assert values["reconstruction"].dtype == tf.float32
        moved[precision] = made.plugin.optimizer.m.numpy()
    plain, rounded = moved.values()
    assert 1e-4 < np.linalg.norm(rounded - plain) / np.linalg.norm(plain) < 0.1


def test_a_compiled_step_trains_like_a_plain_one(speech_records, tmp_path, monkeypatch):
    plain, compiled = (
        train(str(tmp_path / str(jit)), speech_records, "ae", steps=2, jit_compile=jit) for jit in (False, True)
    )
    monkeypatch.setattr(saved_model, "write", lambda *_: None)
    for made in (plain, compiled):
        made.fit()
    for a, b in zip(plain.plugin.networks(), compiled.plugin.networks(), strict=True):
        for x, y in zip(a.trainable_variables, b.trainable_variables, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-4)
