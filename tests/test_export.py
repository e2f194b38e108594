"""The SavedModel: what it holds, and that nothing but TensorFlow is needed to use it."""

import io
import json

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from testbed import VOICES_HZ, voice

from pipelines import checkpoint, conversion, export

ALONE = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
x = np.load(sys.argv[2])
y = model.signatures["translate_ab_waveform"](waveform=tf.constant(x))["waveform"].numpy()
assert not {"models", "plugins", "pipelines", "librosa", "apache_beam"} & set(sys.modules)
np.save(sys.argv[3], y)
"""


def test_a_process_with_tensorflow_alone_converts_as_translate_does(speech_run, tmp_path, in_new_process):
    x = voice(VOICES_HZ["low"], 0.9, 8000, seed=7)
    np.save(tmp_path / "in.npy", x[None])
    in_new_process(ALONE, f"{speech_run}/export", tmp_path / "in.npy", tmp_path / "out.npy", cwd=tmp_path)
    alone = np.load(tmp_path / "out.npy")
    assert alone.shape == (1, len(x)) and np.isfinite(alone).all()
    source, made = io.BytesIO(), io.BytesIO()
    soundfile.write(source, x, 8000, format="WAV", subtype="FLOAT")
    source.seek(0)
    held = conversion.Item(source, lambda: _kept(made))
    (facts,) = conversion.Converter(conversion.Conversion(speech_run, "high")).convert([held])
    assert facts["sample_rate_hz"] == 8000
    made.seek(0)
    np.testing.assert_allclose(alone[0], soundfile.read(made)[0], atol=2e-3)


class _kept:
    """A context manager that leaves its file open."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self.file

    def __exit__(self, *_):
        self.file.flush()


@pytest.fixture(scope="module")
def exported(speech_run):
    return tf.saved_model.load(f"{speech_run}/export").signatures


def test_the_export_describes_itself(exported, speech_run):
    facts = json.loads(exported["describe"]()["json"].numpy())
    assert facts["run"]["plugin"] == "cyclegan"
    assert facts["spec"]["features"]["sample_rate_hz"] == 8000 and set(facts["spec"]["domains"]) == {"low", "high"}
    assert checkpoint.read_run(speech_run).config == facts["run"]["config"]


@pytest.mark.parametrize("samples", [1, 100, 2048, 12345])
def test_waveforms_of_any_length_come_out_as_long(exported, samples):
    x = np.float32(0.1 * np.sin(0.2 * np.arange(samples)))[None]
    y = exported["translate_ba_waveform"](waveform=tf.constant(x))["waveform"].numpy()
    assert y.shape == x.shape and np.isfinite(y).all() and np.abs(y).max() <= 1


def test_silence_stays_silent_beside_sound(exported):
    x = np.stack([np.zeros(4000, np.float32), voice(150.0, 0.5, 8000, seed=1)])
    y = exported["translate_ab_waveform"](waveform=tf.constant(x))["waveform"].numpy()
    assert not y[0].any() and 0.3 < y[1].std() / x[1].std() < 3


def test_a_strange_signature_is_refused_at_export(speech_run, speech_records):
    class Strange:
        spec, context = conversion.Model(speech_run).spec, 0

        def networks(self):
            return []

        def players(self):
            return []

        def signatures(self):
            return {"translate_a": None}

    run = checkpoint.read_run(speech_run)
    with pytest.raises(ValueError, match="translate_a"):
        export.Exported(Strange(), run).signatures()
