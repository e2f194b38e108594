"""The GE2E speaker encoder: windows, the LSTM against that of Keras, and the shipped weights if they are installed."""

import keras
import numpy as np
import pytest
import spoken_clips
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from pipelines.evaluation.external import ge2e


@laws
@given(st.integers(0, 200_000))
def test_windows_overlap_and_all_but_one_are_covered(num_samples):
    starts = ge2e.window_starts(num_samples)
    assert starts == list(range(0, len(starts) * ge2e.STEP_FRAMES, ge2e.STEP_FRAMES))
    window = ge2e.WINDOW_FRAMES * ge2e.HOP_SAMPLES
    covered = (num_samples - starts[-1] * ge2e.HOP_SAMPLES) / window
    assert len(starts) == 1 or covered >= ge2e.MIN_COVERAGE


def test_the_lstm_is_that_of_keras():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    layer = keras.layers.LSTM(4, return_sequences=True)
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    kernel, recurrent, bias = layer.get_weights()  # gates in the same order: input, forget, cell, output
    ours = ge2e.lstm(x, kernel.T, recurrent.T, bias / 2, bias / 2)
    assert np.allclose(ours, layer(x), atol=1e-6)


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    shapes = {"linear.weight": (256, 256), "linear.bias": (256,)}
    for layer in range(ge2e.LAYERS):
        inputs = 256 if layer else ge2e.N_MELS
        shapes |= {f"lstm.weight_ih_l{layer}": (1024, inputs), f"lstm.weight_hh_l{layer}": (1024, 256)}
        shapes |= {f"lstm.bias_{name}_l{layer}": (1024,) for name in ("ih", "hh")}
    return {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}


def test_embeddings_of_windows_have_unit_length_and_do_not_depend_on_the_batch(weights):
    mels = np.random.default_rng(1).exponential(size=(3, 20, ge2e.N_MELS)).astype(np.float32)
    embeddings = ge2e.encode_windows(mels, weights)
    assert embeddings.shape == (3, ge2e.EMBEDDING_SIZE) and (embeddings >= 0).all()
    assert np.allclose(np.linalg.norm(embeddings, axis=-1), 1)
    assert np.allclose(embeddings[1:2], ge2e.encode_windows(mels[1:2], weights), atol=1e-6)


@spoken_clips.needs_metric("speaker_similarity")
def test_the_embedding_of_speech_has_unit_length_and_hardly_depends_on_the_level():
    speech = spoken_clips.speech(spoken_clips.TEXTS[0], spoken_clips.SOURCE_VOICE)
    loud, quiet = ge2e.embed(0.03 * speech), ge2e.embed(0.01 * speech)  # both below -30 dB
    assert np.linalg.norm(loud) == pytest.approx(1) and (loud >= 0).all()
    assert loud @ quiet > 0.999


@spoken_clips.needs_metric("speaker_similarity")
@pytest.mark.parametrize("samples", [0, 1, 479, 480, 5000])
def test_short_silence_has_no_embedding(samples):
    assert not ge2e.embed(np.zeros(samples)).any()
