"""Models between more than two domains, and models that go one way only, through every script's library."""

import functools
import itertools
import json

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from testbed import OF_MELS, preprocess, train, voice

from pipelines.evaluation import domain_classifier, file_lists, run_evaluation
from pipelines.export import waveform_signatures
from pipelines.inference.exported_model import Model
from pipelines.jobs import translate_folder

VOICES = {"low": 100.0, "middle": 150.0, "high": 230.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("voices")
    for (name, f0_hz), n in itertools.product(VOICES.items(), range(8)):
        (root / name).mkdir(exist_ok=True)
        soundfile.write(root / name / f"{n}.wav", voice(f0_hz, 0.6, 8000, seed=n), 8000)
    return root


@pytest.fixture(scope="module")
def records(folder, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("records") / "voices"
    preprocess(folder, data_dir, VOICES, pairs=["n_fft=256", "n_mels=32"], fractions=(0.1, 0.4))
    return str(data_dir)


@pytest.fixture(scope="module")
def star(records, tmp_path_factory):
    run_dir = str(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waveform_signatures, "SPEECH_SIGNATURES", OF_MELS)
        train(run_dir, records, "stargan", batch_size=3).fit()
    return run_dir


@pytest.fixture(scope="module")
def one_way(speech_records, tmp_path_factory):
    run_dir = str(tmp_path_factory.mktemp("run"))
    train(run_dir, speech_records, "cut", features=8).fit()
    return run_dir


def translate(run_dir, folder, out, **options):
    return translate_folder.translate(run_dir=run_dir, pattern=str(folder), output_dir=str(out), **options)


def test_a_model_of_many_domains_goes_from_each_to_each(star):
    assert Model(star).directions() == list(itertools.permutations(VOICES, 2))


def test_untrained_it_begins_at_the_transport_of_the_domains_it_is_told(star, folder, tmp_path):
    made = {}
    for target in ("middle", "high"):
        done = translate(star, folder / "low", tmp_path / target, target=target, source="low")
        assert done == {"translations": 8, "failures": 0, "reused": 0}
        made[target], _ = soundfile.read(tmp_path / target / "3.wav")
    source, _ = soundfile.read(folder / "low" / "3.wav")
    assert len(made["middle"]) == len(made["high"]) == len(source)
    assert np.abs(made["middle"] - made["high"]).max() > 0.01


def test_where_several_sources_are_possible_one_is_asked_for(star, folder, tmp_path):
    with pytest.raises(ValueError, match="--target=high from which of low, middle.* give --source"):
        translate(star, folder / "low", tmp_path, target="high")


def test_the_waveform_signature_takes_the_domains_numbers(star):
    model = Model(star)
    wave = voice(100.0, 0.5, 8000, seed=1)[None]
    found = [
        model.call("translate_to_waveform", waveform=wave, source=np.int32(0), target=np.int32(target))
        for target in (1, 2)
    ]
    assert found[0].shape == wave.shape and np.abs(found[0] - found[1]).max() > 0.01
    assert all(np.isfinite(y).all() for y in found)


def test_evaluation_goes_every_way_there_is(star, records, one_way, speech_records, tmp_path, monkeypatch):
    monkeypatch.setattr(
        domain_classifier, "fit", functools.partial(domain_classifier.fit, steps=10)
    )  # ways count, not verdicts
    monkeypatch.setattr(file_lists, "MAX_FILES", 1)
    for run_dir, data_dir, count in ((star, records, 6), (one_way, speech_records, 1)):
        found = run_evaluation.evaluate(run_dir=run_dir, data_dir=data_dir, output_dir=str(tmp_path))
        assert len(found["ways"]) == count == len(json.loads((tmp_path / "metrics.json").read_text())["ways"])


def test_a_model_that_goes_one_way_says_so(one_way, speech_folder, tmp_path):
    assert Model(one_way).directions() == [("low", "high")]
    assert translate(one_way, speech_folder / "low", tmp_path, target="high")["translations"] == 12
    with pytest.raises(ValueError, match="plugin cut translates low to high; not to low"):
        translate(one_way, speech_folder / "high", tmp_path, target="low")


def test_each_example_goes_where_it_is_told(star):
    plugin_like = tf.saved_model.load(f"{star}/export").signatures["translate_to"]
    x = np.random.default_rng(0).normal(size=(2, 16, 32)).astype(np.float32) - 4
    both = plugin_like(features=tf.constant(x), source=tf.constant(0), target=tf.constant(2))["features"]
    alone = plugin_like(features=tf.constant(x[1:]), source=tf.constant(0), target=tf.constant(2))["features"]
    np.testing.assert_allclose(both[1:], alone, atol=1e-4)
