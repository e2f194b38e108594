"""Runs that version 0.1 wrote: today's code restores, resumes, warm-starts and translates with them.

`data/README.md` says what the runs are and how they were made.
"""

import dataclasses
import functools
import json
import pathlib
import tarfile

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from testbed import NO_EVALUATION, script

import plugins
from models import layers
from pipelines import config, run_directory
from pipelines.data import dataset
from pipelines.inference import exported_model
from pipelines.training import checkpoint, resume, trainer

ARCHIVE = pathlib.Path(__file__).parent / "data" / "runs_0.1.tar.xz"
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
NETWORKS = {  # attribute path in version 0.1: attribute path today
    "cyclegan": {
        "g_ab": "generator_ab",
        "g_ba": "generator_ba",
        "adversary_a.network": "discriminator_a.network",
        "adversary_b.network": "discriminator_b.network",
    },
    "beta_vae": {"encoder": "encoder", "decoder": "decoder", "likelihood.deviation": "likelihood.log_sigma"},
    "vocoder": {
        "network": "generator",
        "adversaries.0.network": "discriminators.0.network",
        "adversaries.1.network": "discriminators.1.network",
    },
    "cut": {"generator": "generator", "heads": "heads", "adversary.network": "discriminator.network"},
}
OPTIMIZERS = {
    "cyclegan": {
        "generators": "generator_optimizer",
        "adversary_a.player": "discriminator_a.optimizer",
        "adversary_b.player": "discriminator_b.optimizer",
    },
    "beta_vae": {"mover": "optimizer"},
    "vocoder": {
        "generator": "generator_optimizer",
        "adversaries.0.player": "discriminators.0.optimizer",
        "adversaries.1.player": "discriminators.1.optimizer",
    },
    "cut": {"mover": "generator_optimizer", "adversary.player": "discriminator.optimizer"},
}
SLOTS = {"made": "iterations", "first": "m", "second": "v", "held": "accumulated", "average": "average"}
OTHERS = {
    "rate_factor": "learning_rate_scale",
    "adversary_a.pool.fakes": "discriminator_a.pool.examples",
    "adversary_a.pool.filled": "discriminator_a.pool.filled",
    "adversary_b.pool.fakes": "discriminator_b.pool.examples",
    "adversary_b.pool.filled": "discriminator_b.pool.filled",
    "adversary.pool.fakes": "discriminator.pool.examples",
    "adversary.pool.filled": "discriminator.pool.filled",
}
each_run = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture
def runs(tmp_path):
    """The runs, with `data_dir` in `config.json` set to where the records are now."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    for name in NETWORKS:
        path = tmp_path / name / "config.json"
        fields = json.loads(path.read_text())
        fields["data_dir"] = str(tmp_path / "records" / pathlib.Path(fields["data_dir"]).name)
        path.write_text(json.dumps(fields))
    return tmp_path


def expected(runs, name) -> dict[str, np.ndarray]:
    """The arrays of a run, by their keys without its name."""
    with np.load(runs / "expected.npz") as arrays:
        return {key.partition("/")[2]: arrays[key] for key in arrays if key.startswith(f"{name}/")}


def build(runs, name):
    """The plugin that `config.json` of a run describes, with fresh weights."""
    run = run_directory.read_run(str(runs / name))
    tf.keras.utils.set_random_seed(1)
    plugin = run_directory.build_plugin(run, dataset.open_records(run.data_dir).spec)
    return run, plugin


def attribute(plugin, path):
    """The attribute at a dotted path; numbers are indices."""
    return functools.reduce(lambda x, key: x[int(key)] if key.isdigit() else getattr(x, key), path.split("."), plugin)


def sampled(values, like) -> np.ndarray:
    """The values that `data/make_runs.py` keeps of an array."""
    flat = np.ravel(values)
    kept = flat[:: -(-len(flat) // 16)]
    assert kept.shape == like.shape
    return kept


def flat(network) -> np.ndarray:
    return np.concatenate([np.ravel(weight) for weight in network.weights])


def trained_weights(network) -> list[np.ndarray]:
    """The weights without those of fixed filters, which a warm start computes from the records."""
    fixed = [id(weight) for weight in layers.fixed_weights(network)]
    return [weight.numpy() for weight in network.weights if id(weight) not in fixed]


def variable_paths(name):
    """Attribute paths of a run's optimizer slots and other variables: in version 0.1, today."""
    yield from OTHERS.items()
    for old, new in OPTIMIZERS[name].items():
        yield from ((f"{old}.{slot}", f"{new}.{today}") for slot, today in SLOTS.items())


@each_run
def test_every_value_of_a_checkpoint_arrives_in_its_variable(runs, name):
    run, plugin = build(runs, name)
    values = expected(runs, name)
    assert checkpoint.Checkpointer(str(runs / name), plugin).restore() == values["step"] == run.config["steps"]
    paths = dict(variable_paths(name))
    assert {key.partition("/")[2] for key in values if key.startswith("network/")} == NETWORKS[name].keys()
    assert {key.partition("/")[2] for key in values if key.startswith("variable/")} <= paths.keys()
    for key, value in values.items():
        group, _, path = key.partition("/")
        if group == "network":
            network = attribute(plugin, NETWORKS[name][path])
            np.testing.assert_array_equal(sampled(flat(network), value), value, err_msg=key)
        if group == "variable":
            variable = attribute(plugin, paths[path])
            np.testing.assert_array_equal(sampled(variable, value), value, err_msg=key)


@each_run
def test_a_restored_plugin_computes_what_it_computed(runs, name):
    _, plugin = build(runs, name)
    checkpoint.Checkpointer(str(runs / name), plugin).restore()
    values, signatures = expected(runs, name), plugin.signatures()
    names = [key.removeprefix("input/") for key in values if key.startswith("input/")]
    assert names
    for signature in names:
        output = signatures[signature](tf.constant(values[f"input/{signature}"]))
        np.testing.assert_allclose(output, values[f"output/{signature}"], **TOLERANCE, err_msg=signature)


@each_run
def test_an_export_computes_what_it_computed(runs, name):
    values, model = expected(runs, name), exported_model.Model(str(runs / name))
    assert model.facts["run"]["plugin"] == name
    for key in [key for key in values if key.startswith("input/")]:
        signature = key.removeprefix("input/")
        (argument,) = model.signatures[signature].structured_input_signature[1]
        output = model.call(signature, **{argument: values[key]})
        np.testing.assert_allclose(output, values[f"output/{signature}"], **TOLERANCE, err_msg=signature)


@pytest.mark.parametrize(("name", "target", "signature"), [("cyclegan", "low", "ba"), ("cut", "tinted", "ab")])
def test_an_export_translates_to_its_domain(runs, name, target, signature):
    values = expected(runs, name)
    _, translate = exported_model.Model(str(runs / name)).translation(target)
    output = translate(values[f"input/translate_{signature}"])
    np.testing.assert_allclose(output, values[f"output/translate_{signature}"], **TOLERANCE)


def test_a_recording_is_translated_and_vocoded(runs, speech_folder):
    files = [f"--input={speech_folder / 'low' / 'clip_00.wav'}", f"--output_dir={runs / 'translated'}"]
    models = [f"--run_dir={runs / 'cyclegan'}", f"--inverter=vocoder:{runs / 'vocoder'}"]
    done = script("translate", *models, *files, "--target=high")
    assert done.returncode == 0, done.stderr[-4000:]
    translated, rate_hz = soundfile.read(runs / "translated" / "clip_00.wav")
    assert rate_hz == 8000 and np.std(translated) > 0.01


@each_run
def test_a_run_warm_starts_another(runs, name):
    _, old = build(runs, name)
    checkpoint.Checkpointer(str(runs / name), old).restore()
    _, new = build(runs, name)
    checkpoint.warm_start(new, str(runs / name))
    for path in NETWORKS[name].values():
        for ours, theirs in zip(
            trained_weights(attribute(new, path)), trained_weights(attribute(old, path)), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs, err_msg=path)
    for path in OPTIMIZERS[name].values():
        assert int(attribute(new, f"{path}.{SLOTS['made']}")) == 0
        assert not np.any(attribute(new, f"{path}.{SLOTS['first']}"))


@each_run
def test_training_resumes(runs, name, features_only):
    old, run_dir = run_directory.read_run(str(runs / name)), str(runs / name)
    settings = config.from_json(plugins.load(old.plugin).Config, old.config)
    settings = dataclasses.replace(settings, steps=settings.steps + 2)
    run = resume.resolve_resume(run_dir, dataclasses.replace(old, config=config.to_json(settings)))
    resumed = trainer.Trainer(
        run, dataset.open_records(run.data_dir), run_dir, tf.distribute.get_strategy(), NO_EVALUATION
    )
    metrics = resumed.fit()
    assert resumed.step == old.config["steps"] + 2 and np.isfinite(list(metrics.values())).all()
    assert checkpoint.Checkpointer(run_dir, resumed.plugin).restore() == resumed.step


@pytest.mark.parametrize("name", ["beta_vae", "vocoder"])
def test_the_best_checkpoint_restores(runs, name):
    _, plugin = build(runs, name)
    best = checkpoint.Checkpointer(str(runs / name), plugin, folder="best")
    assert best.best_value() == pytest.approx(float(expected(runs, name)["lowest"]), rel=1e-6)
    assert best.restore() == expected(runs, name)["step"]
