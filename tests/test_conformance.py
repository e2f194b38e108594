"""Every plugin, built in or installed, through one suite: what the trainer, exporter and scripts rely on."""

import dataclasses
import functools
import json
import tempfile
import typing

import keras
import numpy as np
import pytest
import tensorflow as tf

import plugins
from models import config_fields, schedules
from pipelines import config, run_directory
from pipelines.data import dataset, input_pipeline
from pipelines.export import saved_model, waveform_signatures
from pipelines.training import checkpoint
from plugins import adversarial, base, encoding, recognition_synthesis

SMALL = {"batch_size": 4, "crop_frames": 16, "channels": 8, "discriminator_channels": 8, "blocks": 1, "latent": 4}
SMALL |= {"adversarial": 1.0, "mel": 1.0, "periods": 1, "resolutions": 1, "projections": 1}  # of vocoders
LEARNING_RATE_SCALE = 10.0  # times the learning rates, for overfitting in few steps
CASES = [(name, kind) for name in plugins.available() for kind in plugins.load(name).KINDS]


def is_encoder(plugin_class):
    return issubclass(plugin_class.Config, encoding.Config)


def is_translator(plugin_class):
    of_two_domains = plugin_class.BATCHES in ("unpaired", "paired")
    configs = (adversarial.TranslatorConfig, recognition_synthesis.Config)
    return of_two_domains or issubclass(plugin_class.Config, configs)


def is_vocoder(plugin_class):
    return plugin_class.BATCHES == "waveforms"


def weights_of_terms(plugin_class):
    """Names of the keys that weigh a term of the loss."""
    types = typing.get_type_hints(plugin_class.Config)
    return [name for name, kind in types.items() if kind == schedules.Schedule]


def cases_of(applies, kinds=("audio", "image")):
    """Parametrize a law by the built-in cases to which it applies, and by all cases of installed plugins."""
    names = {name for name in plugins.available() if name not in plugins.BUILT_IN or applies(plugins.load(name))}
    selected = [case for case in CASES if case[0] in names and case[1] in kinds]
    return pytest.mark.parametrize("case", selected, ids="-".join, indirect=True, scope="module")


def require_signatures(plugin, names):
    """The signatures of these names; skip the law for an installed plugin that has none of them."""
    found = names & set(plugin.signatures())
    if not found:
        pytest.skip(f"{plugin.name} has none of the signatures {', '.join(sorted(names))}")
    return found


def small_config(plugin_class, kind, **changes):
    """The small preset, made smaller still."""
    made = config.preset(plugin_class, "small", kind)
    known = {field.name for field in dataclasses.fields(made)}
    return dataclasses.replace(made, **{k: v for k, v in {**SMALL, **changes}.items() if k in known})


class Case:
    """One plugin on one kind of data."""

    def __init__(self, name, kind, data):
        self.name, self.kind, self.data, self.spec = name, kind, data, data.spec
        self.plugin_class = plugins.load(name)

    def build(self, **changes):
        """A plugin a little off its first weights: where those are zero, some gradients have no sign."""
        tf.keras.utils.set_random_seed(changes.get("seed", 0))
        plugin, rng = (
            self.plugin_class(small_config(self.plugin_class, self.kind, **changes), self.spec),
            np.random.default_rng(0),
        )
        for weight in [v for network in plugin.networks() for v in network.trainable_variables]:
            weight.assign(weight + 0.02 * rng.normal(size=weight.shape))
        return plugin

    @functools.cached_property
    def batches(self):
        """The first three."""
        made = small_config(self.plugin_class, self.kind)
        return list(input_pipeline.batches(self.data, self.plugin_class, made, batch_size=made.batch_size).take(3))

    def constant(self, value):
        """A batch of equal features, and of no sound where it holds waveforms."""
        batch = {k: tf.fill(tf.shape(v), value) if v.dtype == tf.float32 else v for k, v in self.batches[0].items()}
        return batch | {k: tf.zeros_like(v) for k, v in batch.items() if k == "waveform"}


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request, speech_records, waveform_records, picture_records):
    name, kind = request.param
    speech = waveform_records if plugins.load(name).BATCHES == "waveforms" else speech_records
    return Case(name, kind, dataset.open_records({"audio": speech, "image": picture_records}[kind]))


@dataclasses.dataclass
class Trained:
    """A plugin after three steps; all variables and its weights before, and what there was after one, two and three.

    `learnt` are its weights after two.
    """

    plugin: base.Plugin
    step: typing.Callable
    begun: list
    before: list
    first_values: dict
    gradients: list
    values: dict
    learnt: list
    after: dict
    half_way: str


@pytest.fixture(scope="module")
def trained(case, tmp_path_factory):
    plugin, half_way = case.build(), str(tmp_path_factory.mktemp("half_way"))
    made = plugin.signatures()
    plugin.signatures = lambda: made  # traced once for all tests
    begun, before = [v.numpy() for v in variables_of(plugin)], weights(plugin)
    step = tf.function(plugin.train_step, autograph=False)
    for n, batch in enumerate(case.batches):
        if n == 2:
            checkpoint.Checkpointer(half_way, plugin).save(2)
            learnt = weights(plugin)
        values = {name: float(value) for name, value in step(batch, plugin.config.batch_size).items()}
        if n == 0:
            first = values, gradients(plugin)
    return Trained(plugin, step, begun, before, *first, values, learnt, state(plugin), half_way)


def weights(plugin):
    return [v.numpy() for network in plugin.networks() for v in network.trainable_variables]


def root_mean_square(arrays):
    """Of the elements of all."""
    return np.sqrt(np.mean(np.square(np.concatenate([array.ravel() for array in arrays]), dtype=np.float64)))


def variables_of(plugin):
    """All variables: its own, and those of its networks, which are Keras's."""
    return [*plugin.variables, *(v.value for network in plugin.networks() for v in network.variables)]


def state(plugin):
    """All that a checkpoint holds, by name."""
    with tempfile.TemporaryDirectory() as folder:
        reader = tf.train.load_checkpoint(tf.train.Checkpoint(plugin=plugin).write(f"{folder}/state"))
        names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE")]
        return {name: reader.get_tensor(name) for name in names if not name.startswith("save_counter")}


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_no_plugin_escapes_this_suite():
    assert {name for name, _ in CASES} == set(plugins.available()) >= set(plugins.BUILT_IN)


def test_every_key_of_the_small_size_is_a_key_of_a_plugin():
    assert SMALL.keys() <= {key for name, _ in CASES for key in plugins.load(name).Config.__dataclass_fields__}


def test_default_and_preset_configurations_survive_json(case):
    assert {"small", "full"} <= set(case.plugin_class.PRESETS)
    made = [case.plugin_class.Config(), *(config.preset(case.plugin_class, p, case.kind) for p in ("small", "full"))]
    for each in made:
        assert config.from_json(type(each), json.loads(json.dumps(config.to_json(each)))) == each


def test_train_steps_are_finite_and_update_every_trainable_variable(trained):
    assert trained.values and all(np.isfinite(list(trained.values.values())))
    moved = zip(trained.before, weights(trained.plugin), strict=True)
    assert trained.before and all(not np.array_equal(a, b) for a, b in moved)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_outputs_of_networks_are_in_single_precision_also_in_mixed_precision(case, policy):
    """Losses, normalisation and exports take them."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        networks = case.build().networks()
    finally:
        keras.config.set_dtype_policy(before)
    outputs = {f"{network.name}: {y.name}": y.dtype for network in networks for y in network.outputs}
    assert set(outputs.values()) == {"float32"}, outputs


def test_evaluation_gives_the_same_names_and_changes_nothing(case, trained):
    plugin, batch = trained.plugin, case.batches[0]
    before = state(plugin)
    found = plugin.eval_step(batch, plugin.config.batch_size)
    assert found.keys() == trained.values.keys() and all(np.isfinite([float(v) for v in found.values()]))
    assert_same(state(plugin), before)


def test_resuming_from_a_checkpoint_changes_nothing(case, trained):
    for variable in variables_of(trained.plugin):
        variable.assign(tf.cast(tf.fill(variable.shape, 7), variable.dtype))
    assert checkpoint.Checkpointer(trained.half_way, trained.plugin).restore() == 2
    trained.step(case.batches[2], trained.plugin.config.batch_size)
    assert_same(state(trained.plugin), trained.after)


def test_two_replicas_match_one(case, trained, replicas):
    with replicas.scope():
        two = case.build()
    size = two.config.batch_size

    def portion(batch, context):
        half = slice(context.replica_id_in_sync_group * size // 2, (context.replica_id_in_sync_group + 1) * size // 2)
        return {name: value[half] for name, value in batch.items()}

    for n, batch in enumerate(case.batches[:2]):  # eagerly: what is traced is traced for each replica
        shared = replicas.experimental_distribute_values_from_function(functools.partial(portion, batch))
        replicas.run(two.train_step, args=(shared, size))
        if n == 0:
            for found, wanted in zip(gradients(two), trained.gradients, strict=True):
                assert np.linalg.norm(found - wanted) <= 1e-4 * np.linalg.norm(wanted)
    apart = [found - wanted for found, wanted in zip(weights(two), trained.learnt, strict=True)]
    assert root_mean_square(apart) <= 1e-5  # one at a kink of ReLU or of L1 may be further apart


def test_the_train_step_compiles_under_xla_and_agrees(case, trained):
    plugin = trained.plugin
    reset(trained)
    traced = trained.step.get_concrete_function(case.batches[0], plugin.config.batch_size)
    if getattr(plugin.config, "r1", 0):  # conditions that gradients run through are traced otherwise for XLA
        traced = plugin.train_step
    step = tf.function(lambda batch: traced(batch, plugin.config.batch_size), autograph=False, jit_compile=True)
    values = {name: float(value) for name, value in step(case.batches[0]).items()}
    assert values == pytest.approx(trained.first_values, rel=1e-3, abs=1e-4)
    for found, wanted in zip(gradients(plugin), trained.gradients, strict=True):
        assert np.linalg.norm(found - wanted) <= 1e-3 * np.linalg.norm(wanted)


def reset(trained):
    """Back to before the first step."""
    for variable, value in zip(variables_of(trained.plugin), trained.begun, strict=True):
        variable.assign(value)


def gradients(plugin):
    """Of the first step, but for a factor: the first moment of each optimizer."""
    return [optimizer.m.numpy() for optimizer in plugin.optimizers()]


def features(case, batch, frames):
    """Random features as in the records."""
    rng = np.random.default_rng(0)
    shape = [size or frames for size in case.spec.feature_shape()]
    if case.kind == "image":
        return rng.uniform(-1, 1, [batch, *shape]).astype(np.float32)
    overall = case.spec.overall
    drawn = overall.mean + overall.std * rng.normal(size=[batch, *shape])
    return np.maximum(drawn, case.spec.features.log_floor).astype(np.float32)


def inputs(case, trained, fn, batch, frames):
    """Something for every input of a signature."""
    x, code = features(case, batch, frames), None
    if "encode" in trained.plugin.signatures():
        code = trained.plugin.signatures()["encode"](tf.constant(x))
    known = {"features": tf.constant(x), "code": code, "count": tf.constant(batch), "seed": tf.constant(frames)}
    known |= {"source": tf.constant(1), "target": tf.constant(0)}
    return {spec.name: known[spec.name] for spec in fn.input_signature}


@pytest.fixture(scope="module")
def exported(case, trained, tmp_path_factory):
    fields = config.to_json(trained.plugin.config)
    described = run_directory.describe_spec(case.spec)
    run = run_directory.Run(plugin=case.name, preset="small", config=fields, data_dir="records", spec=described)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waveform_signatures, "build_waveform_signatures", lambda *_: {})  # which is the same for all
        path = saved_model.write(trained.plugin, run, str(tmp_path_factory.mktemp("run")))
    return tf.saved_model.load(path)


def test_the_export_matches_the_plugin(case, trained, exported):
    made = trained.plugin.signatures()
    assert made and set(made) <= set(base.SIGNATURES)
    for name, fn in made.items():
        for batch, frames in ((1, 16), (3, 41)):
            given = inputs(case, trained, fn, batch, frames)
            (found,) = exported.signatures[name](**given).values()
            np.testing.assert_allclose(found, fn(*given.values()), atol=1e-5)


TRANSLATIONS = {"translate_ab", "translate_ba", "translate_to"}
CODING = {"encode", "decode", "reconstruct"}


def test_signatures_are_those_that_the_class_promises(case, trained):
    names = set(trained.plugin.signatures())
    assert CODING & names in (set(), CODING)  # one without the others is of no use
    if case.name in plugins.BUILT_IN:  # or a law would not be generated for it
        assert bool(CODING & names) == is_encoder(case.plugin_class)
        assert bool(TRANSLATIONS & names) == is_translator(case.plugin_class)
        assert ("vocode" in names) == is_vocoder(case.plugin_class)


@cases_of(is_encoder)
def test_reconstruct_is_encode_and_decode(case, trained, exported):
    require_signatures(trained.plugin, CODING)
    x = features(case, 2, 33)
    code = exported.signatures["encode"](features=tf.constant(x))["code"]
    decoded = exported.signatures["decode"](code=code)["features"]
    again = exported.signatures["reconstruct"](features=tf.constant(x))["features"]
    assert again.shape == x.shape
    np.testing.assert_allclose(decoded[:, : x.shape[1]], again, atol=1e-5)


@cases_of(is_translator, kinds=("audio",))
def test_a_translation_depends_on_no_frames_beyond_its_context(case, trained):
    plugin = trained.plugin
    for name in sorted(require_signatures(plugin, TRANSLATIONS)):
        translate, ends = plugin.signatures()[name], (1, 0) if name == "translate_to" else ()
        context = plugin.context
        x, first = features(case, 1, 2 * context + 120), context + 60
        whole = translate(tf.constant(x), *ends).numpy()[0, first : first + 10]
        part = translate(tf.constant(x[:, 60:-50]), *ends).numpy()[0, context : context + 10]
        np.testing.assert_allclose(part, whole, atol=1e-4)


@cases_of(is_vocoder)
def test_vocoded_samples_depend_on_no_frames_beyond_the_context(case, trained):
    plugin = trained.plugin
    require_signatures(plugin, {"vocode"})
    vocode, context, hop = plugin.signatures()["vocode"], plugin.context, case.spec.features.hop_length
    x = features(case, 1, 120)
    whole = vocode(tf.constant(x)).numpy()[0, 60 * hop : 70 * hop]
    part = vocode(tf.constant(x[:, 60 - context : 71 + context])).numpy()[0, context * hop : (context + 10) * hop]
    assert whole.shape == part.shape and context < 60
    np.testing.assert_allclose(part, whole, atol=1e-4 * np.abs(whole).max())


@pytest.mark.parametrize("value", ["silence", 0.0, 0.5])
def test_constant_input_stays_finite(case, trained, value):
    silence = case.spec.features.log_floor if case.kind == "audio" else -1.0
    plugin = trained.plugin
    values = trained.step(case.constant(silence if value == "silence" else value), plugin.config.batch_size)
    assert all(np.isfinite([float(v) for v in values.values()]))
    assert all(np.isfinite(w).all() for w in weights(plugin))


def operations(plugin, batch):
    """Operations in the graph of the losses."""
    concrete = tf.function(plugin.eval_step, autograph=False).get_concrete_function(batch, plugin.config.batch_size)
    graph = concrete.graph.as_graph_def()
    functions = {fn.signature.name: fn.node_def for fn in graph.library.function}

    def count(nodes):
        called = [n.attr[key].func.name for n in nodes for key in ("f", "then_branch", "else_branch") if key in n.attr]
        return len(nodes) + sum(count(functions[name]) for name in called if name in functions)

    return count(graph.node)


@cases_of(weights_of_terms)
def test_a_term_of_weight_zero_costs_no_forward_pass(case, trained, monkeypatch):
    names = weights_of_terms(case.plugin_class)
    meanings = config_fields.help_texts(case.plugin_class.Config)
    plugin, batch, given = trained.plugin, case.batches[0], trained.plugin.config

    def with_weights(**weights):
        monkeypatch.setattr(plugin, "config", dataclasses.replace(given, **{**dict.fromkeys(names, 0.0), **weights}))
        return operations(plugin, batch)

    none = with_weights()
    assert none > 0
    for name in names:
        for_speech_only = case.kind == "image" and meanings[name].startswith("speech:")
        found = with_weights(**{name: 1.0})
        assert found == none if for_speech_only else found > none, name


OVERFITTED_LOSSES = ("reconstruction", "cycle", "l1", "nce", "mel")  # losses that say how well examples are known


def distance_to_samples(plugin, batch):
    """From each example to the nearest of some samples, root mean square, and over all examples the mean."""
    x, y = (np.reshape(each, [len(each), -1]) for each in (batch["x"], plugin.signatures()["sample"](16, 0)))
    return float(np.mean(np.sqrt(np.mean(np.square(x[:, None] - y[None]), axis=-1)).min(axis=1)))


def test_four_examples_can_be_overfitted(case, trained):
    plugin, batch = trained.plugin, case.batches[0]
    reset(trained)
    plugin.learning_rate_scale.assign(LEARNING_RATE_SCALE)

    def known():
        values = {k: float(v) for k, v in plugin.eval_step(batch, 4).items() if k in OVERFITTED_LOSSES}
        return values or {"distance": distance_to_samples(plugin, batch)}

    first = known()
    wanted = 0.9 if "distance" in first else 0.6  # players of a game go round and round
    for _ in range(6):
        for _ in range(50):
            trained.step(batch, 4)
        last = known()
        if any(last[name] < wanted * first[name] for name in first):
            return
    pytest.fail(f"{first} became {last}")
