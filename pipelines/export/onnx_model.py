"""The networks of an exported run as ONNX models, checked against TensorFlow."""

from __future__ import annotations

import importlib.util
import posixpath

import numpy as np
import tensorflow as tf

from models.errors import UserError
from pipelines import files
from plugins import base

OPSET = 17
UNSUPPORTED = ("sample", "vocode")  # they use random numbers and inverse Fourier transforms, which ONNX lacks
PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
TEST_SIZES = (1, 16), (2, 40)  # batch sizes and frames of speech of the comparison with TensorFlow
TOLERANCE = 1e-3  # of the largest value


def check_installed() -> None:
    """Check that the packages of the extra ``onnx`` are installed.

    Raises:
      UserError: a package is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--onnx needs {', '.join(missing)}: pip install 'crossfade[onnx]'")


def write(run_dir: str) -> list[str]:
    """Write ``RUN/export/onnx/NAME.onnx`` for each of the plugin's own signatures, without `UNSUPPORTED` ones.

    Inputs have the names of those of the SavedModel: `features` as in the records (log-mels, pixels in [-1, 1]),
    `code`, `source` and `target`; the only output is `output`. The batch size and the number of frames of speech are
    free. Front end and inversion are not part of the models.

    Args:
      run_dir: a run with an export.

    Returns:
      The names of the signatures.

    Raises:
      UserError: the results of ONNX Runtime and TensorFlow differ.
    """
    export = files.current_folder(posixpath.join(run_dir, "export"))
    loaded = tf.saved_model.load(export)  # keeps the variables of the signatures alive
    signatures = loaded.signatures
    names = sorted(set(signatures) & set(base.SIGNATURES) - set(UNSUPPORTED))
    for name in names:
        model = _convert(signatures[name])
        _compare(name, model, signatures)
        files.write(posixpath.join(export, "onnx", f"{name}.onnx"), model)
    return names


def _convert(signature) -> bytes:
    """Return a signature of a SavedModel as a serialised ONNX model."""
    import tf2onnx

    specs = signature.structured_input_signature[1]
    names = sorted(specs)

    @tf.function(input_signature=[specs[name] for name in names], autograph=False)
    def fn(*inputs):
        (output,) = signature(**dict(zip(names, inputs, strict=True))).values()
        return {"output": output}

    model, _ = tf2onnx.convert.from_function(fn, input_signature=fn.input_signature, opset=OPSET)
    return model.SerializeToString()


def _compare(name: str, model: bytes, signatures) -> None:
    """Raise UserError if the outputs of ONNX Runtime and TensorFlow differ."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for batch, frames in TEST_SIZES:
        inputs = _random_inputs(name, signatures, batch, frames)
        (actual,) = session.run(None, inputs)
        expected = _call(signatures[name], inputs)
        difference = np.max(np.abs(actual - expected))
        if not difference <= TOLERANCE * max(1.0, np.max(np.abs(expected))):
            raise UserError(f"{name}: ONNX Runtime differs from TensorFlow by {difference:.3g}")


def _random_inputs(name: str, signatures, batch: int, frames: int) -> dict[str, np.ndarray]:
    """Return random values for every input of a signature."""
    specs = signatures[name].structured_input_signature[1]
    if "code" in specs:
        return {"code": _call(signatures["encode"], _random_inputs("encode", signatures, batch, frames))}
    shape = [size or free for size, free in zip(specs["features"].shape, (batch, frames, 1, 1), strict=False)]
    features = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    domains = {"source": np.array(0, np.int32), "target": np.array(1, np.int32)}
    return {"features": features, **{key: value for key, value in domains.items() if key in specs}}


def _call(signature, inputs: dict[str, np.ndarray]) -> np.ndarray:
    (output,) = signature(**{key: tf.constant(value) for key, value in inputs.items()}).values()
    return output.numpy()
