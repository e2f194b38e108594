"""ONNX models: equal to the export at any size, and refused where they differ."""

import numpy as np
import pytest

from pipelines.export import onnx_model
from pipelines.inference import exported_model


def test_networks_as_onnx_compute_the_same_at_any_size(autoencoder_run):
    import onnxruntime

    assert onnx_model.write(autoencoder_run) == ["decode", "encode", "reconstruct"]
    session = onnxruntime.InferenceSession(f"{autoencoder_run}/export/onnx/reconstruct.onnx")
    x = np.random.default_rng(1).normal(size=(3, 57, 32)).astype(np.float32) - 4
    (found,) = session.run(["output"], {"features": x})
    np.testing.assert_allclose(found, exported_model.Model(autoencoder_run).call("reconstruct", features=x), atol=1e-4)


def test_an_onnx_model_that_computes_something_else_is_refused(autoencoder_run, monkeypatch):
    called = onnx_model._call
    monkeypatch.setattr(onnx_model, "_call", lambda *arguments: called(*arguments) + 0.1)
    with pytest.raises(ValueError, match="decode: ONNX Runtime differs from TensorFlow by 0.1"):
        onnx_model.write(autoencoder_run)


def test_onnx_without_its_packages_is_refused(monkeypatch):
    monkeypatch.setattr(onnx_model.importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else name)
    with pytest.raises(ValueError, match="--onnx needs tf2onnx: pip install 'crossfade.onnx.'"):
        onnx_model.check_installed()
