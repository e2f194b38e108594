"""The phoneme recogniser of the package `hama` (Apache-2.0) in TensorFlow: the teacher of the content encoder."""

from __future__ import annotations

import functools
import importlib.resources
import struct

import numpy as np
import tensorflow as tf

from models.networks import conformer

RATE_HZ = 16000
WINDOW, HOP, STRIDE = 400, 160, 2
BLOCKS = 4
POWER_FLOOR = 1e-10
FRAME_RATE_HZ = RATE_HZ / HOP / STRIDE  # of the outputs
TOKENS = 191  # the last is the blank of CTC, the one before it the boundary of words


@functools.cache
def read_package() -> dict[str, np.ndarray]:
    """Weights in the file of the package, by name, float32.

    The file has a magic number of 8 bytes, the number of tensors, a header for each (name, type, shape, offset, size),
    and their data, which begin at a multiple of 16 bytes.
    """
    data = (importlib.resources.files("hama.assets") / "asr_waveform.hama").read_bytes()
    (count,), position, headers = struct.unpack_from("<I", data, 8), 12, []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, position)
        name = data[position + 2 : position + 2 + length].decode()
        position += 2 + length
        kind, dims = data[position], data[position + 1]
        shape = struct.unpack_from(f"<{dims}I", data, position + 2)
        offset, size = struct.unpack_from("<QQ", data, position + 2 + 4 * dims)
        headers.append((name, np.float16 if kind else np.float32, shape, offset, size))
        position += 18 + 4 * dims
    start = len(data) - max(offset + size for *_, offset, size in headers)
    return {
        name: np.frombuffer(data, kind, int(np.prod(shape)), start + offset).reshape(shape).astype(np.float32)
        for name, kind, shape, offset, _ in headers
    }


@functools.cache
def weights() -> dict[str, np.ndarray]:
    """Weights by the names of `conformer`."""
    package = read_package()
    matrices = sorted(n for n in package if n.startswith("onnx::MatMul"))
    kernels = sorted(n for n in package if n.startswith("onnx::Conv"))
    prefix, found = "acoustic_model.model", {}
    found["stem/kernel"] = package[kernels[0]].transpose(2, 1, 0)
    found["stem/bias"] = package[kernels[1]]
    for n in range(BLOCKS):
        block, old = f"block_{n}", f"{prefix}.blocks.{n}"
        dense = [package[name] for name in matrices[6 * n : 6 * n + 6]]
        for part, old_part, (first, second) in (
            ("feed_forward_1", "ffn1", dense[:2]),
            ("feed_forward_2", "ffn2", dense[4:]),
        ):
            found |= {f"{block}/{part}/in/kernel": first, f"{block}/{part}/out/kernel": second}
            found |= {
                f"{block}/{part}/{x}/bias": package[f"{old}.{old_part}.{y}.bias"]
                for x, y in (("in", "fc1"), ("out", "fc2"))
            }
        found |= {f"{block}/attention/in/kernel": dense[2], f"{block}/attention/out/kernel": dense[3]}
        found[f"{block}/attention/in/bias"] = package[f"{old}.attn.in_proj_bias"]
        found[f"{block}/attention/out/bias"] = package[f"{old}.attn.out_proj.bias"]
        for x, y in (("in", "pointwise1"), ("out", "pointwise2")):
            found[f"{block}/convolution/{x}/kernel"] = package[f"{old}.conv.{y}.weight"][..., 0].T
            found[f"{block}/convolution/{x}/bias"] = package[f"{old}.conv.{y}.bias"]
        found[f"{block}/convolution/depthwise/kernel"] = package[kernels[2 + 2 * n]][:, 0].T
        found[f"{block}/convolution/depthwise/bias"] = package[kernels[3 + 2 * n]]
        norms = {
            "feed_forward_1": "ffn1.norm",
            "attention": "attn_norm",
            "convolution": "conv.norm",
            "feed_forward_2": "ffn2.norm",
        }
        for x, y in {**{f"{k}/norm": v for k, v in norms.items()}, "norm": "norm"}.items():
            found[f"{block}/{x}/scale"] = package[f"{old}.{y}.weight"]
            found[f"{block}/{x}/bias"] = package[f"{old}.{y}.bias"]
    found["output/kernel"] = package[f"{prefix}.proj.weight"][..., 0].T
    found["output/bias"] = package[f"{prefix}.proj.bias"]
    return found


def log_mels(y: np.ndarray) -> np.ndarray:
    """Log mel powers `[frames, 80]` of a recording `[samples]` at 16 kHz."""
    package = read_package()
    padded = np.pad(y, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    real, imaginary = (frames @ package[f"stft_{part}_kernel"][:, 0].T for part in ("real", "imag"))
    return np.log(np.maximum((real**2 + imaginary**2) @ package["mel_fb"], POWER_FLOOR))


@functools.partial(tf.function, reduce_retracing=True)
def _log_probabilities(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.log_softmax(conformer.encode(x, weights(), blocks=BLOCKS, stride=STRIDE))


def log_probabilities(y: np.ndarray) -> np.ndarray:
    """Log-probabilities `[frames, 191]` of the tokens at 50 Hz for a recording `[samples]` at 16 kHz."""
    return _log_probabilities(tf.constant(log_mels(y)[None]))[0].numpy()
