"""A player: networks that one optimiser moves, and how gradients become moves.

An autoencoder is one player, a GAN is a game of two. What every training may want between the
gradient and the optimiser stands here once: sums over replicas, loss scaling, clipping,
accumulation, and the moving average of the weights.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf


class Player(tf.Module):
    """Networks and the optimiser that moves them.

    Args:
      networks: built `keras.Model`s.
      optimizer: not built yet; wrapped in loss scaling under the policy "mixed_float16".
      clip_norm: the longest that the gradient over all weights may be; 0 for any length.
      accumulate: gradients that are averaged into one move.
      ema: decay of the moving average of the weights; 0 for none.

    Attributes:
      moves: whether :meth:`minimise` moves the weights or only holds the gradient, read when a step
        is traced. The trainer traces both kinds of step.
    """

    def __init__(
        self,
        networks: list[keras.Model],
        optimizer: keras.optimizers.Optimizer,
        *,
        clip_norm: float = 0.0,
        accumulate: int = 1,
        ema: float = 0.0,
    ):
        super().__init__(name="player")
        self.members, self.clip_norm, self.accumulate, self.ema = networks, clip_norm, accumulate, ema
        if keras.config.dtype_policy().name == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        self.weights = [v for network in networks for v in network.trainable_variables]
        optimizer.build(self.weights)
        self.optimizer, self.moves = optimizer, True
        self.scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self.held = [_shadow(tf.zeros(v.shape), "held") for v in self.weights] if accumulate > 1 else []
        self.averages = [_shadow(v.value, "average") for v in self.weights] if ema else []

    def minimise(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        """Moves the weights down the gradient of this replica's part of a loss.

        1. Take the gradient of the loss, scaled up where half precision would underflow.
        2. Where its whole is needed (to clip, accumulate or see that it is finite), add up the replicas'.
        3. Hold it, until it is time to move.
        4. Clip, move, and draw the averages after the weights.

        Args:
          tape: recorded the loss.
          loss: scalar, divided by the global batch.
        """
        scale = self.optimizer.scale_loss(tf.ones_like(loss)) if self.scaled else tf.ones_like(loss)
        zero = tf.UnconnectedGradients.ZERO  # of networks that only terms of weight zero use
        gradients = tape.gradient(loss, self.weights, output_gradients=scale, unconnected_gradients=zero)
        if self.clip_norm or self.held or self.scaled:
            gradients = _of_all_replicas(gradients)
        if self.held:
            sums = [held + g / (scale * self.accumulate) for held, g in zip(self.held, gradients, strict=True)]
            for held, total in zip(self.held, sums, strict=True):
                held.assign(tf.zeros_like(total) if self.moves else total)
            gradients = [scale * total for total in sums]
        if self.moves:
            self._move(gradients, scale)

    def _move(self, gradients: list[tf.Tensor], scale: tf.Tensor) -> None:
        if self.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm * scale)
        if self.clip_norm or self.held or self.scaled:  # whole already, and the optimiser adds replicas up
            replicas = tf.distribute.get_replica_context().num_replicas_in_sync
            gradients = [g / replicas for g in gradients]
        moved = tf.cast(self.optimizer.iterations, tf.float32)
        self.optimizer.apply(gradients, self.weights)
        if self.averages:
            decay = tf.minimum(self.ema, (1 + moved) / (10 + moved))  # early weights are forgotten sooner
            for average, weight in zip(self.averages, self.weights, strict=True):
                average.assign(decay * average + (1 - decay) * weight.value)

    def averaged(self, network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
        """The network with the averages of its weights; itself where no average is kept."""
        if not self.averages:
            return network
        average = {id(weight): value for weight, value in zip(self.weights, self.averages, strict=True)}

        def call(x, **options):
            trained = [tf.convert_to_tensor(average[id(v)]) for v in network.trainable_variables]
            rest = [v.value for v in network.non_trainable_variables]
            return network.stateless_call(trained, rest, x, **options)[0]

        return call


def _shadow(value: tf.Tensor, name: str) -> tf.Variable:
    """A variable that is saved with the rest and that every replica writes the same into."""
    first = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(value, trainable=False, name=name, aggregation=first)


def _of_all_replicas(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return gradients
    return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
