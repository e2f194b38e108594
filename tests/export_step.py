"""Writes a plugin's training step as an XLA program, for machines that have JAX and a GPU but not TensorFlow.

`tests.run_step` runs it there. The program is the plugin's own `train_step`, as XLA sees it: networks, losses,
discriminators and optimizers, with all variables as inputs and their new values as outputs.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable, Collection, Sequence

import keras
import numpy as np
import tensorflow as tf


def write(
    path: str,
    module: tf.Module,
    step: Callable[[], dict],
    *,
    batch: tf.Variable,
    number: tf.Variable,
    networks: Sequence[keras.Model],
    redrawn: Collection[tf.Variable] = (),
) -> None:
    """Write the program, the initial values of its variables and their names to a NumPy archive.

    Args:
      path: of the archive (.npz).
      module: the plugin, which holds the variables.
      step: reads `batch` and `number`, updates its other variables, returns losses by name.
      batch: of which the runner sets the value before each step.
      number: int64 scalar, the number of the step, likewise.
      networks: of the module.
      redrawn: variables of which only the standard deviation is written, since random numbers cannot be compressed;
        the runner draws them from a normal distribution.

    Raises:
      ValueError: XLA has made a constant of the batch.
    """
    for network in networks:  # the optimizer's function of a network would make constants of what it depends on
        network.call = getattr(network.call, "python_function", network.call)
    function = tf.function(step, input_signature=[], autograph=False, jit_compile=True)
    concrete, compiler_ir = function.get_concrete_function(), function.experimental_get_compiler_ir()
    variables, text = _captured_variables(concrete, module), compiler_ir(stage="hlo")
    if not _is_used(text, next(n for n, v in enumerate(variables) if v is batch)):
        raise ValueError("the batch is a constant of the program: the shape of some operation depends on its values")
    aliases = dict(re.findall(r"\{(\d+)\}: \((\d+), \{\}", text.split("\n", 1)[0]))
    outputs = {int(output): int(parameter) for output, parameter in aliases.items()}
    names = sorted(concrete.structured_outputs)  # the order of `tf.nest.flatten`
    drawn = {id(v) for v in redrawn}
    values = [np.std(v.numpy()) if id(v) in drawn else v.numpy() for v in variables]
    fields = {
        "names": [v.path if hasattr(v, "path") else v.name for v in variables],
        "shapes": [list(v.shape) for v in variables],
        "losses": names,
        "outputs": [outputs.get(n, -1) for n in range(len(names) + len(outputs))],  # variable of an output
        "batch": next(n for n, v in enumerate(variables) if v is batch),
        "number": next(n for n, v in enumerate(variables) if v is number),
    }
    program = np.frombuffer(lzma.compress(compiler_ir(stage="hlo_serialized")), np.uint8)
    arrays = {f"value_{n:04}": value for n, value in enumerate(values)}
    np.savez_compressed(path, program=program, fields=json.dumps(fields), **arrays)


def _captured_variables(concrete, module: tf.Module) -> list[tf.Variable]:
    """The variables in the order of the program's parameters; an operation may have captured the handle alone."""
    by_handle = {id(v.handle): v for v in (*module.variables, *concrete.variables)}
    return [by_handle[id(handle)] for handle in concrete.captured_inputs]


def _is_used(text: str, parameter: int) -> bool:
    """Whether an operation of the main computation uses a parameter."""
    main = text[text.index("ENTRY") :]
    (name,) = re.findall(rf"(\S+) = \S+ parameter\({parameter}\)", main)
    return len(re.findall(rf"{re.escape(name)}\b", main)) > 1
