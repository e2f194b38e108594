"""Adam over all weights of several networks as one vector, with everything between gradient and weight update.

Sums over replicas, loss scaling, gradient accumulation, gradient clipping, Adam, and the moving average of the weights
are here once for all plugins. They work on one flat vector of all weights: a GAN has hundreds of small variables, and
on a CPU the number of operations costs more than their size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import keras
import tensorflow as tf

from models import replicas, tensorflow_internals

INITIAL_LOSS_SCALE, LOSS_SCALE_GROWTH_INTERVAL = 2.0**15, 2000  # Sec. 3.2 of arXiv:1710.03740
MAX_GRADIENT_NORM = 1e8  # a longer gradient is numerical error: a norm that divides by nearly zero on flat images
EPSILON = 1e-7

UpdateMode = Literal["update", "accumulate", "skip"]


class Optimizer(tf.Module):
    """Adam (arXiv:1412.6980, Algorithm 1) on the weights of some networks.

    Args:
      networks: built `keras.Model`s.
      learning_rate: learning rate as a function of the number of updates so far.
      betas: decay rates of Adam's first and second moment.
      clip_norm: maximum norm of the gradient over all weights; 0 for no clipping.
      accumulation_steps: gradients that are averaged into one update.
      ema: decay of the exponential moving average of the weights; 0 for none.
      update_interval: training steps from one gradient to the next; the steps between are skipped.

    Attributes:
      update_mode: what :meth:`minimize` does, read when a step is traced: "update" the weights, only "accumulate"
        the gradient, or "skip" the step. The trainer traces each mode that occurs.
      iterations: number of updates so far.
      m: first moment, one flat vector over all weights.
      v: second moment, likewise.
    """

    def __init__(
        self,
        networks: list[keras.Model],
        learning_rate: Callable[[tf.Tensor], tf.Tensor],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        clip_norm: float = 0.0,
        accumulation_steps: int = 1,
        ema: float = 0.0,
        update_interval: int = 1,
    ):
        super().__init__(name="optimizer")
        for network in networks:  # traced once however often a step calls it: steps are built three times as fast
            network.call = tf.function(network.call, autograph=False)
        self.learning_rate, self.betas, self.clip_norm, self.ema = learning_rate, betas, clip_norm, ema
        self.accumulation_steps, self.update_interval = accumulation_steps, update_interval
        self.update_mode: UpdateMode = "update"
        self.weights = [v for network in networks for v in network.trainable_variables]
        self.sizes = [int(tf.size(v)) for v in self.weights]
        total = sum(self.sizes)
        self.iterations = _variable(tf.constant(0, tf.int64), "iterations")
        self.m, self.v = (_variable(tf.zeros([total]), name) for name in ("m", "v"))
        flat_weights = _variable(tf.zeros([total]), "flat_weights")
        self.flat_weights = lambda: flat_weights  # scratch memory of an update; hidden from checkpoints
        self.accumulated = _variable(tf.zeros([total]), "accumulated") if accumulation_steps > 1 else None
        self.average = _variable(_flatten([v.value for v in self.weights]), "average") if ema else None
        self.scales_loss = keras.config.dtype_policy().name == "mixed_float16"
        self.loss_scale = _variable(tf.constant(INITIAL_LOSS_SCALE), "loss_scale") if self.scales_loss else None
        self.good_steps = _variable(tf.constant(0), "good_steps") if self.scales_loss else None

    def reset(self) -> None:
        """Resets the moments, the counters and the moving average; the weights stay."""
        for variable in (self.iterations, self.m, self.v, self.accumulated):
            if variable is not None:
                variable.assign(tf.zeros_like(variable))
        if self.average is not None:
            self.average.assign(_flatten([v.value for v in self.weights]))

    def update_mode_at(self, step: int) -> UpdateMode:
        """The update mode of a training step; steps are counted from 1."""
        if step % self.update_interval:
            return "skip"
        return "accumulate" if step // self.update_interval % self.accumulation_steps else "update"

    def minimize(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        """Updates the weights by the gradient of this replica's part of a loss.

        1. Compute the gradient of the loss, multiplied by the loss scale in half precision; sum it over the replicas.
        2. Accumulate it until an update is due.
        3. Replace it by zero if it is longer than `MAX_GRADIENT_NORM`, whose square would stay in Adam's second
           moment. NaN stays, for the trainer to detect. Clip it, update the weights by Adam, update the average.
        4. In half precision, skip the update if the gradient is not finite, and lower the loss scale.

        Args:
          tape: has recorded the loss.
          loss: scalar, divided by the global batch size.
        """
        if self.update_mode == "skip":
            return
        gradient = self._gradient(tape, loss)
        if self.accumulated is not None:
            gradient = self.accumulated + gradient / self.accumulation_steps
            self.accumulated.assign(tf.zeros_like(gradient) if self.update_mode == "update" else gradient)
        if self.update_mode == "update":
            self._update(gradient)

    def _gradient(self, tape: tf.GradientTape, loss: tf.Tensor) -> tf.Tensor:
        """The gradient over all replicas as a flat vector."""
        scale = self.loss_scale.read_value() if self.scales_loss else tf.constant(1.0)
        gradients = tape.gradient(
            loss,
            [v.value for v in self.weights],
            output_gradients=tf.cast(scale, loss.dtype),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,  # networks that only terms of weight zero use
        )
        gradient = replicas.all_reduce_sum(_flatten(gradients))
        return gradient / scale if self.scales_loss else gradient

    def _update(self, gradient: tf.Tensor) -> None:
        finite = tf.reduce_all(tf.math.is_finite(gradient)) if self.scales_loss else None
        too_long = tf.nn.l2_loss(gradient) > MAX_GRADIENT_NORM**2 / 2
        gradient = tf.cond(too_long, lambda: tf.zeros_like(gradient), lambda: gradient)
        if self.clip_norm:
            gradient = tf.clip_by_norm(gradient, self.clip_norm)
        self.flat_weights().assign(_flatten([v.value for v in self.weights]))
        if self.scales_loss:
            tf.cond(finite, lambda: self._adam(gradient), tf.no_op)
            self._update_loss_scale(finite)
        else:
            self._adam(gradient)
        self._assign_weights(self.flat_weights().read_value())
        if self.average is not None:
            self._update_average()
        self.iterations.assign_add(tf.cast(finite, tf.int64) if self.scales_loss else 1)

    def _adam(self, gradient: tf.Tensor) -> tf.Operation:
        """Updates `flat_weights` and both moments, in one pass over memory."""
        t = tf.cast(self.iterations + 1, tf.float32)
        beta1, beta2 = self.betas
        return tf.raw_ops.ResourceApplyAdam(
            var=self.flat_weights().handle,
            m=self.m.handle,
            v=self.v.handle,
            beta1_power=beta1**t,
            beta2_power=beta2**t,
            lr=self.learning_rate(self.iterations),
            beta1=beta1,
            beta2=beta2,
            epsilon=EPSILON,
            grad=gradient,
        )

    def _update_average(self) -> None:
        """Exponential moving average, whose decay rises from 0.1 so that early weights count less."""
        updates = tf.cast(self.iterations, tf.float32)
        decay = tf.minimum(self.ema, (1 + updates) / (10 + updates))
        self.average.assign(decay * self.average + (1 - decay) * self.flat_weights().read_value())

    def _update_loss_scale(self, finite: tf.Tensor) -> None:
        """Halves the loss scale after a gradient that is not finite; doubles it after many that are."""
        good_steps = tf.where(finite, self.good_steps + 1, 0)
        growth = tf.where(good_steps >= LOSS_SCALE_GROWTH_INTERVAL, 2.0, 1.0)
        self.loss_scale.assign(self.loss_scale * tf.where(finite, growth, 0.5))
        self.good_steps.assign(tf.where(good_steps >= LOSS_SCALE_GROWTH_INTERVAL, 0, good_steps))

    def _assign_weights(self, flat: tf.Tensor) -> None:
        """Assigns the parts of a flat vector to the weights, on every replica."""
        values = [tf.reshape(part, v.shape) for part, v in zip(tf.split(flat, self.sizes), self.weights, strict=True)]
        tensorflow_internals.assign_on_all_replicas([weight.value for weight in self.weights], values)

    def averaged(self, network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
        """The network with the moving averages of its weights; the network itself where none are kept."""
        if self.average is None:
            return network
        position = {id(weight): n for n, weight in enumerate(self.weights)}

        def call(x, **options):
            parts = tf.split(self.average, self.sizes)
            trainable = [tf.reshape(parts[position[id(v)]], v.shape) for v in network.trainable_variables]
            non_trainable = [v.value for v in network.non_trainable_variables]
            traced, network.call = network.call, network.call.python_function  # the traced one captures the weights
            try:
                return network.stateless_call(trainable, non_trainable, x, **options)[0]
            finally:
                network.call = traced

        return call


def _flatten(tensors: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(tf.cast(tensor, tf.float32), [-1]) for tensor in tensors], axis=0)


def _variable(value: tf.Tensor, name: str) -> tf.Variable:
    """A variable that is saved with the others, and to which every replica assigns the same value."""
    aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(value, trainable=False, name=name, aggregation=aggregation)
