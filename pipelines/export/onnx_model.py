"""The networks of an exported run as ONNX, for runtimes without TensorFlow."""

from __future__ import annotations

import importlib.util
import posixpath

import numpy as np
import tensorflow as tf

from models.errors import UserError
from pipelines import files
from plugins import base

OPSET = 17
UNSUPPORTED = ("sample", "vocode")  # random numbers and inverse Fourier transforms, which are no operations of ONNX
PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
TEST_SIZES = (1, 16), (2, 40)  # examples, and frames of speech, at which both are compared
TOLERANCE = 1e-3  # of the largest value


def check_installed() -> None:
    """Says at once what is missing.

    Raises:
      UserError: a package is not installed.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--onnx needs {', '.join(missing)}: pip install 'crossfade[onnx]'")


def write(run_dir: str) -> list[str]:
    """Writes ``RUN/export/onnx/NAME.onnx`` for each of the plugin's own functions.

    Inputs are named as those of the SavedModel: `features` as in the records (log-mels, pixels in [-1, 1]),
    `code`, `source` and `target`; the one output is `output`. Any batch, and any number of frames of speech.
    Front end and inversion stay outside, and so do `LEFT_OUT`.

    Args:
      run_dir: a run that was exported.

    Returns:
      The names.

    Raises:
      UserError: ONNX Runtime computes something else than TensorFlow; says where.
    """
    export = files.current_folder(posixpath.join(run_dir, "export"))
    loaded = tf.saved_model.load(export)  # the signatures do not keep its variables
    signatures = loaded.signatures
    names = sorted(set(signatures) & set(base.SIGNATURES) - set(UNSUPPORTED))
    for name in names:
        model = _convert(signatures[name])
        _compare(name, model, signatures)
        files.write(posixpath.join(export, "onnx", f"{name}.onnx"), model)
    return names


def _convert(signature) -> bytes:
    """A signature of a SavedModel as a serialised ONNX model."""
    import tf2onnx

    specs = signature.structured_input_signature[1]
    names = sorted(specs)

    @tf.function(input_signature=[specs[name] for name in names], autograph=False)
    def fn(*inputs):
        (made,) = signature(**dict(zip(names, inputs, strict=True))).values()
        return {"output": made}

    model, _ = tf2onnx.convert.from_function(fn, input_signature=fn.input_signature, opset=OPSET)
    return model.SerializeToString()


def _compare(name: str, model: bytes, signatures) -> None:
    """Raises UserError where ONNX Runtime and TensorFlow disagree."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for batch, frames in TEST_SIZES:
        given = _random_inputs(name, signatures, batch, frames)
        (found,) = session.run(None, given)
        wanted = _call(signatures[name], given)
        apart = np.max(np.abs(found - wanted))
        if not apart <= TOLERANCE * max(1.0, np.max(np.abs(wanted))):
            raise UserError(f"{name}: ONNX Runtime differs from TensorFlow by {apart:.3g}")


def _random_inputs(name: str, signatures, batch: int, frames: int) -> dict[str, np.ndarray]:
    """Something for every input of a signature."""
    specs = signatures[name].structured_input_signature[1]
    if "code" in specs:
        return {"code": _call(signatures["encode"], _random_inputs("encode", signatures, batch, frames))}
    shape = [size or given for size, given in zip(specs["features"].shape, (batch, frames, 1, 1), strict=False)]
    made = {"features": np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)}
    ends = {"source": np.array(0, np.int32), "target": np.array(1, np.int32)}
    return made | {key: value for key, value in ends.items() if key in specs}


def _call(signature, given: dict[str, np.ndarray]) -> np.ndarray:
    (made,) = signature(**{key: tf.constant(value) for key, value in given.items()}).values()
    return made.numpy()
