"""The SavedModel: what it holds, and that nothing but TensorFlow is needed to use it."""

import io
import json
import shutil

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from testbed import VOICES_HZ, voice

from models.features import inversion
from pipelines import run_directory
from pipelines.export import onnx_model, saved_model
from pipelines.inference import exported_model, file_translator

ALONE = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
x = np.load(sys.argv[2])
y = model.signatures["translate_ab_waveform"](waveform=tf.constant(x))["waveform"].numpy()
assert not {"models", "plugins", "pipelines", "librosa", "apache_beam"} & set(sys.modules)
np.save(sys.argv[3], y)
from tensorflow_io.python.ops import core_ops
core_ops.io_audio_decode_wav  # registers what decodes
model = tf.saved_model.load(f"{sys.argv[1]}/encoded_audio")
with open(sys.argv[4], "rb") as file:
    audio = model.signatures["translate_ab_bytes"](audio=tf.constant(file.read()))["audio"].numpy()
with open(sys.argv[5], "wb") as file:
    file.write(audio)
"""


def test_processes_without_this_project_convert_as_translate_does(speech_run, tmp_path, in_new_process):
    x = voice(VOICES_HZ["low"], 0.9, 8000, seed=7)
    np.save(tmp_path / "in.npy", x[None])
    soundfile.write(tmp_path / "in.flac", np.stack([x, x], 1), 8000, subtype="PCM_24")
    files = [tmp_path / name for name in ("in.npy", "out.npy", "in.flac", "out.wav")]
    in_new_process(ALONE, f"{speech_run}/export", *files, cwd=tmp_path)
    source, made = io.BytesIO(), io.BytesIO()
    soundfile.write(source, x, 8000, format="WAV", subtype="FLOAT")
    source.seek(0)
    held = file_translator.Item(source, lambda: _kept(made))
    (facts,) = file_translator.FileTranslator(file_translator.TranslationOptions(speech_run, "high")).translate_files(
        [held]
    )
    assert facts["sample_rate_hz"] == 8000
    made.seek(0)
    wanted, _ = soundfile.read(made)
    for found in (np.load(tmp_path / "out.npy")[0], soundfile.read(tmp_path / "out.wav")[0]):
        assert_sounds_alike(found, wanted)


def assert_sounds_alike(found, wanted):
    """Equal but for a few samples, where rounding sent Griffin-Lim another way."""
    apart = found - wanted
    assert np.sqrt(np.mean(np.square(apart))) < 2e-4 and np.mean(np.abs(apart) > 1e-3) < 0.01


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
    assert run_directory.read_run(speech_run).config == facts["run"]["config"]


@pytest.mark.parametrize("samples", [1, 100, 2048, 12345])
def test_waveforms_of_any_length_come_out_as_long(exported, samples):
    x = np.float32(0.1 * np.sin(0.2 * np.arange(samples)))[None]
    y = exported["translate_ba_waveform"](waveform=tf.constant(x))["waveform"].numpy()
    assert y.shape == x.shape and np.isfinite(y).all() and np.abs(y).max() <= 1


def test_a_long_waveform_goes_in_chunks_as_files_do(exported, speech_run):
    x = np.concatenate([voice(VOICES_HZ["low"], 4.0, 8000, seed=n) for n in range(5)])
    spec = exported_model.Model(speech_run).spec.features
    assert len(list(inversion.chunks(spec.frames(len(x))))) == 3
    source, made = io.BytesIO(), io.BytesIO()
    soundfile.write(source, x, 8000, format="WAV", subtype="FLOAT")
    source.seek(0)
    file_translator.FileTranslator(file_translator.TranslationOptions(speech_run, "high")).translate_files(
        [file_translator.Item(source, lambda: _kept(made))]
    )
    made.seek(0)
    found = exported["translate_ab_waveform"](waveform=tf.constant(x[None]))["waveform"].numpy()[0]
    assert_sounds_alike(found, soundfile.read(made)[0])


def test_silence_stays_silent_beside_sound(exported):
    x = np.stack([np.zeros(4000, np.float32), voice(150.0, 0.5, 8000, seed=1)])
    y = exported["translate_ab_waveform"](waveform=tf.constant(x))["waveform"].numpy()
    assert not y[0].any() and 0.3 < y[1].std() / x[1].std() < 3


def test_an_offset_changes_nothing_of_what_comes_out(exported):
    x = 0.1 * voice(VOICES_HZ["low"], 0.9, 8000, seed=7)[None]
    translate = exported["translate_ab_waveform"]
    plain, odd = (translate(waveform=tf.constant(y))["waveform"].numpy() for y in (x, x + np.float32(0.3)))
    np.testing.assert_allclose(odd, plain, atol=0.02 * np.abs(plain).max())


@pytest.mark.parametrize("left", [0, 1, 0.5, None], ids=str)
@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "variables/variables.data*"])
def test_an_export_that_is_cut_off_is_named_in_one_line(speech_run, tmp_path, name, left):
    shutil.copytree(f"{speech_run}/export", tmp_path / "export", ignore=shutil.ignore_patterns("encoded_audio"))
    (tmp_path / "config.json").write_text("{}")
    (path,) = (tmp_path / "export").glob(name)
    content = path.read_bytes()
    if left is None:
        path.unlink()
    else:
        path.write_bytes(content[: int(left * len(content)) if left < 1 else 1])
    with pytest.raises(ValueError, match="corrupt or incomplete|has no export/saved_model.pb") as caught:
        exported_model.Model(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_strange_signature_is_refused_at_export(speech_run, speech_records):
    class Strange:
        spec, context = exported_model.Model(speech_run).spec, 0

        def networks(self):
            return []

        def players(self):
            return []

        def signatures(self):
            return {"translate_a": None}

    run = run_directory.read_run(speech_run)
    with pytest.raises(ValueError, match="translate_a"):
        saved_model.Exported(Strange(), run).signatures()


def test_networks_as_onnx_compute_the_same_at_any_size(code_run):
    import onnxruntime

    assert onnx_model.write(code_run) == ["decode", "encode", "reconstruct"]
    session = onnxruntime.InferenceSession(f"{code_run}/export/onnx/reconstruct.onnx")
    x = np.random.default_rng(1).normal(size=(3, 57, 32)).astype(np.float32) - 4
    (found,) = session.run(["output"], {"features": x})
    np.testing.assert_allclose(found, exported_model.Model(code_run).call("reconstruct", features=x), atol=1e-4)


def test_an_onnx_model_that_computes_something_else_is_refused(code_run, monkeypatch):
    called = onnx_model._called
    monkeypatch.setattr(onnx_model, "_called", lambda *arguments: called(*arguments) + 0.1)
    with pytest.raises(ValueError, match="decode: ONNX Runtime differs from TensorFlow by 0.1"):
        onnx_model.write(code_run)


def test_onnx_without_its_packages_is_refused(monkeypatch):
    monkeypatch.setattr(onnx_model.importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else name)
    with pytest.raises(ValueError, match="--onnx needs tf2onnx: pip install 'crossfade.onnx.'"):
        onnx_model.needs_extra()
