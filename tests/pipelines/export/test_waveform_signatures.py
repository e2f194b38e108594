"""Waveform signatures: any length, chunks, silence and offsets."""

import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from testbed import VOICES_HZ, voice
from translated_audio import _kept, assert_sounds_alike

from models.features import inversion
from pipelines.inference import exported_model, file_translator


@pytest.mark.parametrize("samples", [1, 100, 2048, 12345])
def test_waveforms_keep_their_length(exported, samples):
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


def test_a_dc_offset_does_not_change_the_output(exported):
    x = 0.1 * voice(VOICES_HZ["low"], 0.9, 8000, seed=7)[None]
    translate = exported["translate_ab_waveform"]
    plain, odd = (translate(waveform=tf.constant(y))["waveform"].numpy() for y in (x, x + np.float32(0.3)))
    np.testing.assert_allclose(odd, plain, atol=0.02 * np.abs(plain).max())


def test_a_waveform_is_vocoded_as_translate_does_beside_others_and_in_chunks(default_run):
    x = np.concatenate([voice(VOICES_HZ["low"], 4.0, 8000, seed=n) for n in range(5)])
    model = exported_model.Model(default_run)
    assert len(list(inversion.chunks(model.spec.features.frames(len(x))))) == 2
    source, made = io.BytesIO(), io.BytesIO()
    soundfile.write(source, x, 8000, format="WAV", subtype="FLOAT")
    source.seek(0)
    translator = file_translator.FileTranslator(file_translator.TranslationOptions(default_run, "high"))
    assert translator.inverter.startswith("auto: universal vocoder of 8000 Hz")
    translator.translate_files([file_translator.Item(source, lambda: _kept(made))])
    made.seek(0)
    batch = np.stack([x[::-1], x])
    found = model.signatures["translate_ab_waveform"](waveform=tf.constant(batch))["waveform"].numpy()[1]
    assert_sounds_alike(found, soundfile.read(made)[0])
