"""The SavedModel: its description, its signatures, and use without this project."""

import io
import json

import numpy as np
import pytest
import soundfile
from testbed import VOICES_HZ, voice
from translated_audio import _kept, assert_sounds_alike

from pipelines import run_directory
from pipelines.export import saved_model
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


def test_the_export_describes_itself(exported, speech_run):
    facts = json.loads(exported["describe"]()["json"].numpy())
    assert facts["run"]["plugin"] == "cyclegan"
    assert facts["spec"]["features"]["sample_rate_hz"] == 8000 and set(facts["spec"]["domains"]) == {"low", "high"}
    assert run_directory.read_run(speech_run).config == facts["run"]["config"]


def test_an_unknown_signature_is_refused_at_export(speech_run, speech_records):
    class Strange:
        spec, context = exported_model.Model(speech_run).spec, 0
        ANY_SOURCE = False

        def networks(self):
            return []

        def optimizers(self):
            return []

        def statistics(self):
            return []

        def signatures(self):
            return {"translate_a": None}

    run = run_directory.read_run(speech_run)
    with pytest.raises(ValueError, match="translate_a"):
        saved_model.ExportModule(Strange(), run).signatures()
