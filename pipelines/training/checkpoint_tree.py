"""Parts of a plugin as a tree of checkpoint objects: networks only, or under the names of another version.

TensorFlow identifies a variable in a checkpoint by the path of attributes that leads to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import keras
import tensorflow as tf

TF_INTERNAL_PREFIXES = ("_self_", "_obj_")  # attributes in which TensorFlow tracks the others
NETWORKS = (keras.Model,)
EVERYTHING = (tf.Variable, keras.layers.Layer, keras.optimizers.Optimizer)


def checkpoint_tree(
    value,
    leaves: tuple[type, ...],
    names: Callable[[type], Mapping[str, str]] = lambda _: {},
    *,
    excluded: Collection[str] = (),
):
    """The leaves in a module, mapping or sequence, under the paths that they have in a checkpoint.

    Args:
      value: a `tf.Module`, a mapping, a sequence, or a leaf.
      leaves: types of the objects to restore, such as `NETWORKS`.
      names: for a class of modules, its attributes whose names in the checkpoint are others.
      excluded: attributes of `value` to leave out.

    Returns:
      An object for `tf.train.Checkpoint`; None where there are no leaves.
    """
    if isinstance(value, leaves):
        return value
    if isinstance(value, tf.Module):
        renamed = names(type(value))
        children = {renamed.get(name, name): child for name, child in vars(value).items()}
    elif isinstance(value, Mapping):
        children = value
    elif isinstance(value, (list, tuple)):
        children = {str(n): child for n, child in enumerate(value)}
    else:
        return None
    trees = {
        name: checkpoint_tree(child, leaves, names)
        for name, child in children.items()
        if isinstance(name, str) and not name.startswith(TF_INTERNAL_PREFIXES) and name not in excluded
    }
    trees = {name: tree for name, tree in trees.items() if tree is not None}
    return tf.train.Checkpoint(**trees) if trees else None
