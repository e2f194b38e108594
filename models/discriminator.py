"""The adversary: a discriminator with all that belongs to it, and one way to train any of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from models import augment, layers
from models.losses import adversarial, reduction
from models.optimizer import Player
from models.stateless_random import Draws

Judged = tf.Tensor | tuple[tf.Tensor, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """How an adversary plays; every field may be off.

    Attributes:
      loss: a name of `losses.ADVERSARIES`.
      r1: weight of R1 on reals (Eq. 9 of arXiv:1801.04406).
      r1_every: steps between the steps that pay for R1, then so many times as much (Appendix B of arXiv:1912.04958).
      gradient_penalty: weight of the penalty between reals and fakes (Eq. 3 of arXiv:1704.00028).
      augment: whether it sees augmented reals and fakes.
    """

    loss: str = "lsgan"
    r1: float = 0.0
    r1_every: int = 16
    gradient_penalty: float = 0.0
    augment: bool = False


class Adversary(tf.Module):
    """A discriminator, its player, its history of fakes, and its rules.

    Args:
      network: `[batch, ...]` to judgements of any shape. If it has further inputs, which say of each example
        what it is to be judged as, an example is a tuple of what is judged and these.
      player: moves the network.
      pool: history of fakes; None for none.
      rules: how it plays.
      name: prefix of its metrics.
    """

    def __init__(
        self, network: keras.Model, player: Player, *, rules: Rules, name: str, pool: layers.ImagePool | None = None
    ):
        super().__init__(name=name)
        self.network, self.player, self.pool, self.rules = network, player, pool, rules
        self.for_generator, self.for_critic = adversarial.ADVERSARIAL_LOSSES[rules.loss]

    def generator_loss(self, fake: Judged, draws: Draws, salt: int) -> tf.Tensor:
        """What the generator minimises, `[batch]`; its gradient runs through the augmentation."""
        fake, critic = self._critic(fake)
        return self.for_generator(critic(self._seen(fake, draws, salt)))

    def train(self, real: Judged, fake: Judged, draws: Draws, salt: int, *, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step of the discriminator.

        1. Swap half the fakes for older ones.
        2. Move the network towards telling reals from these, by the rules' loss and penalties.
        3. One power iteration where it has spectral normalisation.

        Args:
          real: `[batch, ...]`.
          fake: `[batch, ...]`; no gradient runs into it.
          draws: of this step.
          salt: ten in a row from here on are used.
          step: scalar, the training step.

        Returns:
          This replica's part of the losses by name.
        """
        fake = tf.nest.map_structure(tf.stop_gradient, fake)
        if self.pool is not None:
            fake = self.pool.query(fake, draws, salt + 9)
        layers.iterate_spectral_norms(self.network)
        with tf.GradientTape() as tape:
            values = self.losses(real, fake, draws, salt)
            total = tf.add_n(list(values.values()))
            if self.rules.r1:
                x, critic = self._critic(real)
                due = tf.equal(step % self.rules.r1_every, 0)
                slope = tf.cond(due, lambda: adversarial.r1(critic, x), lambda: tf.zeros([tf.shape(x)[0]]))
                weight = self.rules.r1 * self.rules.r1_every
                total += weight * reduction.batch_mean(slope, draws.global_batch_size)
        self.player.minimise(tape, total)
        return values

    def losses(self, real: Judged, fake: Judged, draws: Draws, salt: int) -> dict[str, tf.Tensor]:
        """What the discriminator minimises but for R1, named and weighed, of these reals and fakes."""
        (real, on_real), (fake, on_fake) = self._critic(real), self._critic(fake)
        real, fake = self._seen(real, draws, salt), self._seen(fake, draws, salt + 3)
        terms = {self.name: self.for_critic(on_real(real), on_fake(fake))}
        if self.rules.gradient_penalty:
            penalty = adversarial.gradient_penalty(on_real, real, fake, draws.uniform(salt + 8))
            terms[f"{self.name}_penalty"] = self.rules.gradient_penalty * penalty
        return {name: reduction.batch_mean(term, draws.global_batch_size) for name, term in terms.items()}

    def _critic(self, example: Judged) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        """What is judged, and the network as a function of it."""
        if not isinstance(example, tuple):
            return example, self.network
        x, *conditions = example
        return x, lambda x: self.network([x, *conditions])

    def _seen(self, x: tf.Tensor, draws: Draws, salt: int) -> tf.Tensor:
        if not self.rules.augment:
            return x
        return augment.pictures(x, draws, salt) if len(x.shape) == 4 else augment.mels(x, draws, salt)
