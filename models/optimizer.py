"""A player: networks that one optimiser moves, and how gradients become moves.

An autoencoder is one player, a GAN is a game of two. What every training may want between the
gradient and the weights stands here once: sums over replicas, loss scaling, accumulation, clipping,
Adam, and the moving average of the weights. All of it works on one vector of all weights: a GAN has
hundreds of small ones, and on a CPU it is the number of operations that costs, not their size.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from models import replicas

FIRST_SCALE, GROW_EVERY = 2.0**15, 2000  # of losses in half precision, Sec. 3.2 of arXiv:1710.03740
ABSURD = 1e8  # length of a gradient that says nothing: norms divide by nearly zero in pictures of one colour


class Player(tf.Module):
    """Networks and the Adam (arXiv:1412.6980, Algorithm 1) that moves them.

    Args:
      networks: built `keras.Model`s.
      rate: learning rate by the number of moves made.
      betas: decays of Adam's first and second moment.
      clip_norm: the longest that the gradient over all weights may be; 0 for any length.
      accumulate: gradients that are averaged into one move.
      ema: decay of the moving average of the weights; 0 for none.
      every: steps from one gradient that it follows to the next; it sits out those between.

    Attributes:
      turn: what :meth:`minimise` does in a step, read when that is traced: "move" the weights, only
        "hold" the gradient, or "skip". The trainer traces every kind of step that there is.
    """

    def __init__(
        self,
        networks: list[keras.Model],
        rate: Callable[[tf.Tensor], tf.Tensor],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        clip_norm: float = 0.0,
        accumulate: int = 1,
        ema: float = 0.0,
        every: int = 1,
    ):
        super().__init__(name="player")
        for network in networks:  # traced once, however often a step uses it: steps build three times as fast
            network.call = tf.function(network.call, autograph=False)
        self.rate, self.betas, self.clip_norm, self.ema = rate, betas, clip_norm, ema
        self.accumulate, self.every, self.turn = accumulate, every, "move"
        self.weights = [v for network in networks for v in network.trainable_variables]
        self.sizes = [int(tf.size(v)) for v in self.weights]
        self.made = _shared(tf.constant(0, tf.int64), "made")
        self.first, self.second = (_shared(tf.zeros([sum(self.sizes)]), name) for name in ("first", "second"))
        place = _shared(tf.zeros([sum(self.sizes)]), "place")
        self.place = lambda: place  # where the weights are while they move: nothing to be saved
        self.held = _shared(tf.zeros([sum(self.sizes)]), "held") if accumulate > 1 else None
        self.average = _shared(_flat([v.value for v in self.weights]), "average") if ema else None
        self.scaled = keras.config.dtype_policy().name == "mixed_float16"
        self.scale = _shared(tf.constant(FIRST_SCALE), "scale") if self.scaled else None
        self.calm = _shared(tf.constant(0), "calm") if self.scaled else None

    def forget(self) -> None:
        """Begins afresh from the weights that are there."""
        for variable in (self.made, self.first, self.second, self.held):
            if variable is not None:
                variable.assign(tf.zeros_like(variable))
        if self.average is not None:
            self.average.assign(_flat([v.value for v in self.weights]))

    def turn_at(self, step: int) -> str:
        """What to do in a step, the first being 1."""
        if step % self.every:
            return "skip"
        return "hold" if step // self.every % self.accumulate else "move"

    def minimise(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        """Moves the weights down the gradient of this replica's part of a loss.

        1. Take the gradient of the loss, scaled up where half precision would underflow; add up the replicas'.
        2. Hold it, until it is time to move.
        3. Take none for it where it is `ABSURD`: its square would stay with Adam for good. NaN is left to be found.
           Cut it to the longest allowed, move by Adam, draw the average after the weights.
        4. In half precision, leave all as it was where the gradient is not finite, and scale less.

        Args:
          tape: recorded the loss.
          loss: scalar, divided by the global batch.
        """
        if self.turn == "skip":
            return
        scale = self.scale.read_value() if self.scaled else tf.constant(1.0)
        zero = tf.UnconnectedGradients.ZERO  # of networks that only terms of weight zero use
        scaled = tf.cast(scale, loss.dtype)
        gradients = tape.gradient(
            loss, [v.value for v in self.weights], output_gradients=scaled, unconnected_gradients=zero
        )
        gradient = replicas.summed(_flat(gradients))
        if self.scaled:
            gradient = gradient / scale
        if self.held is not None:
            gradient = self.held + gradient / self.accumulate
            self.held.assign(tf.zeros_like(gradient) if self.turn == "move" else gradient)
        if self.turn == "move":
            self._move(gradient)

    def _move(self, gradient: tf.Tensor) -> None:
        fine = tf.reduce_all(tf.math.is_finite(gradient)) if self.scaled else None
        absurd = tf.nn.l2_loss(gradient) > ABSURD**2 / 2
        gradient = tf.cond(absurd, lambda: tf.zeros_like(gradient), lambda: gradient)
        if self.clip_norm:
            gradient = tf.clip_by_norm(gradient, self.clip_norm)
        self.place().assign(_flat([v.value for v in self.weights]))
        if self.scaled:
            tf.cond(fine, lambda: self._adam(gradient), tf.no_op)
            self._rescale(fine)
        else:
            self._adam(gradient)
        self._apply(self.place().read_value())
        if self.average is not None:
            made = tf.cast(self.made, tf.float32)
            decay = tf.minimum(self.ema, (1 + made) / (10 + made))  # early weights are forgotten sooner
            self.average.assign(decay * self.average + (1 - decay) * self.place().read_value())
        self.made.assign_add(tf.cast(fine, tf.int64) if self.scaled else 1)

    def _adam(self, gradient: tf.Tensor) -> tf.Operation:
        """Moves `place` and both moments, in one pass over memory."""
        number = tf.cast(self.made + 1, tf.float32)
        (beta1, beta2), vectors = self.betas, (self.place(), self.first, self.second)
        return tf.raw_ops.ResourceApplyAdam(
            **{name: vector.handle for name, vector in zip(("var", "m", "v"), vectors, strict=True)},
            beta1_power=beta1**number,
            beta2_power=beta2**number,
            lr=self.rate(self.made),
            beta1=beta1,
            beta2=beta2,
            epsilon=1e-7,
            grad=gradient,
        )

    def _rescale(self, fine: tf.Tensor) -> None:
        """Halves the scale after a gradient that is not finite; doubles it after many that are."""
        calm = tf.where(fine, self.calm + 1, 0)
        grown = tf.where(calm >= GROW_EVERY, 2.0, 1.0)
        self.scale.assign(self.scale * tf.where(fine, grown, 0.5))
        self.calm.assign(tf.where(calm >= GROW_EVERY, 0, calm))

    def _apply(self, place: tf.Tensor) -> None:
        """Gives the weights the parts of a vector, on every replica."""
        parts = [tf.reshape(part, v.shape) for part, v in zip(tf.split(place, self.sizes), self.weights, strict=True)]

        def update(strategy, parts):
            for weight, part in zip(self.weights, parts, strict=True):
                strategy.extended.update(weight.value, lambda v, p: v.assign(p), args=(part,), group=False)

        tf.__internal__.distribute.interim.maybe_merge_call(update, tf.distribute.get_strategy(), parts)

    def averaged(self, network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
        """The network with the averages of its weights; itself where no average is kept."""
        if self.average is None:
            return network
        place = {id(weight): n for n, weight in enumerate(self.weights)}

        def call(x, **options):
            parts = tf.split(self.average, self.sizes)
            trained = [tf.reshape(parts[place[id(v)]], v.shape) for v in network.trainable_variables]
            rest = [v.value for v in network.non_trainable_variables]
            traced, network.call = network.call, network.call.python_function  # it holds on to the weights
            try:
                return network.stateless_call(trained, rest, x, **options)[0]
            finally:
                network.call = traced

        return call


def _flat(tensors: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(tf.cast(tensor, tf.float32), [-1]) for tensor in tensors], axis=0)


def _shared(value: tf.Tensor, name: str) -> tf.Variable:
    """A variable that is saved with the rest and that every replica writes the same into."""
    first = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(value, trainable=False, name=name, aggregation=first)
