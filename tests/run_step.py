"""Runs a training step that `tests.export_step` has written, on a machine with JAX (0.11) and no TensorFlow.

Batches come from a function; everything else is in the archive. Converting XLA's own format needs a function of jaxlib
that is not public, so other versions of JAX may not have it.
"""

from __future__ import annotations

import collections
import io
import json
import lzma
import time
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.interpreters.mlir import make_ir_context
from jaxlib import _jax, xla_client
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import chlo

TIMED_STEPS = 100
REPLACED = ("mhlo.copy", "mhlo.erf", "stablehlo.set_dimension_size")
jax.config.update("jax_enable_x64", True)  # counters are int64


def to_stablehlo(program: bytes) -> bytes:
    """The program in the form that JAX compiles: without copies and dynamic shapes, `erf` by another name."""
    with make_ir_context(), ir.Location.unknown():
        module, others = ir.Module.parse(_jax.mlir.hlo_to_stablehlo(program)), []

        def collect(operation):
            if operation.name in REPLACED:
                others.append(operation)
            return ir.WalkResult.ADVANCE

        module.operation.walk(collect)
        for operation in others:
            x = operation.operands[0]
            if operation.name == "mhlo.erf":
                with ir.InsertionPoint(operation):
                    x = chlo.erf(x)
            operation.result.replace_all_uses_with(x)
            operation.erase()
        file = io.BytesIO()
        module.operation.write_bytecode(file)
    return file.getvalue()


class ExportedStep:
    """A training step with the values of its variables on the first device.

    Args:
      path: archive of `export_step.write`.
      seed: of the variables that are drawn anew.
    """

    def __init__(self, path: str, *, seed: int = 0):
        with np.load(path, allow_pickle=False) as arrays:
            fields = json.loads(str(arrays["fields"]))
            program = to_stablehlo(lzma.decompress(arrays["program"].tobytes()))
            values = [arrays[f"value_{n:04}"] for n in range(len(fields["names"]))]
        self.names, self.losses, self.outputs = fields["names"], fields["losses"], fields["outputs"]
        self.batch, self.number = fields["batch"], fields["number"]
        rng = np.random.default_rng(seed)
        for n, shape in enumerate(fields["shapes"]):
            if list(values[n].shape) != shape:
                values[n] = np.float32(rng.normal(0, values[n], shape))
        self.device = jax.devices()[0]
        self.values = [jax.device_put(value, self.device) for value in values]
        devices = xla_client.DeviceList((self.device,))
        self.program = self.device.client.compile_and_load(program, devices, xla_client.CompileOptions())

    def __call__(self, batch: np.ndarray, number: int) -> dict[str, jax.Array]:
        """One step: update the variables, return the losses by name."""
        self.values[self.batch] = jax.device_put(batch, self.device)
        self.values[self.number] = jax.device_put(np.int64(number), self.device)
        results = self.program.execute_sharded(self.values).disassemble_into_single_device_arrays()
        losses = iter(self.losses)
        means = {}
        for (value,), parameter in zip(results, self.outputs, strict=True):
            if parameter < 0:
                means[next(losses)] = value
            else:
                self.values[parameter] = value
        return means

    def assign(self, values: Mapping[str, np.ndarray]) -> None:
        """Set variables by name, where the shapes are equal."""
        for n, name in enumerate(self.names):
            if name in values and values[name].shape == self.values[n].shape:
                self.values[n] = jax.device_put(values[name], self.device)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Of the variable that holds the batch."""
        return self.values[self.batch].shape

    def networks(self, variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The variables whose name no other has: those of the networks, not those of the optimizers."""
        counts = collections.Counter(self.names)
        return {name: value for name, value in variables.items() if counts[name] == 1}

    def variables(self) -> dict[str, np.ndarray]:
        """Values by name."""
        return {name: np.asarray(value) for name, value in zip(self.names, self.values, strict=True)}


def train(
    step: ExportedStep, next_batch: Callable[[], np.ndarray], seconds: float, *, total: int, report: int = 500
) -> int:
    """Train for some time; prints the mean losses of each `report` steps.

    Args:
      step: the training step.
      next_batch: returns the batches.
      seconds: for which to train. The number of steps follows from the time of the first ones.
      total: steps of the configuration, on which its schedules count; the numbers of the steps are scaled to it.
      report: interval.

    Returns:
      The number of steps.
    """
    losses, n, steps = [step(next_batch(), 0)], 1, 0
    began = time.monotonic()
    while n < (steps or n + 1):
        losses.append(step(next_batch(), n * total // steps if steps else n))
        n += 1
        if n == TIMED_STEPS:
            jax.block_until_ready(losses[-1])
            steps = max(n, int(n * seconds / (time.monotonic() - began)))
        if n % report == 0 or n == steps:
            means = {name: np.mean([float(loss[name]) for loss in losses]) for name in losses[0]}
            shown = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
            print(f"step {n} of {steps}: {shown}, {time.monotonic() - began:.0f} s", flush=True)
            losses = []
    return n
