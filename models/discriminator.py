"""A discriminator with its optimizer, image pool and regularisation, and its training step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from models import augment, image_pool, spectral_norm
from models.losses import adversarial, reduction
from models.optimizer import Optimizer
from models.stateless_random import StatelessRng

Examples = tf.Tensor | tuple[tf.Tensor, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Loss and regularisation of a discriminator.

    Attributes:
      loss: a key of `models.losses.adversarial.ADVERSARIAL_LOSSES`.
      r1: weight of the R1 penalty on real examples (Eq. 9 of arXiv:1801.04406); 0 for none.
      r1_interval: training steps between two R1 penalties, whose weight is multiplied by as much (lazy
        regularisation, Appendix B of arXiv:1912.04958).
      gradient_penalty: weight of the penalty between real and generated examples (Eq. 3 of arXiv:1704.00028).
      augment: whether real and generated examples are augmented.
      parts: images or spectrograms of which an example consists, one after the other in its last axis, as a pair of
        source and result; they are augmented alike.
    """

    loss: str = "lsgan"
    r1: float = 0.0
    r1_interval: int = 16
    gradient_penalty: float = 0.0
    augment: bool = False
    parts: int = 1


class Discriminator(tf.Module):
    """A discriminator network, its optimizer, its image pool, and its losses.

    Args:
      network: `[batch, ...]` to logits of any shape. If it has further inputs (conditions, such as domain labels),
        examples are tuples of the features and the conditions.
      optimizer: of the network.
      config: loss and regularisation.
      name: prefix of its metrics and of its random streams.
      pool: history of generated examples; None for none.
    """

    def __init__(
        self,
        network: keras.Model,
        optimizer: Optimizer,
        *,
        config: DiscriminatorConfig,
        name: str,
        pool: image_pool.ImagePool | None = None,
    ):
        super().__init__(name=name)
        self.network, self.optimizer, self.pool, self.config = network, optimizer, pool, config
        self._generator_loss, self._discriminator_loss = adversarial.ADVERSARIAL_LOSSES[config.loss]

    def generator_loss(self, fake: Examples, rng: StatelessRng) -> tf.Tensor:
        """The adversarial loss of the generator, `[batch]`; its gradient passes through the augmentation."""
        x, network = self._unconditional(fake)
        rng = rng.stream(self.name).stream("generator_loss")
        return self._generator_loss(network(self._augmented(x, rng)))

    def train(self, real: Examples, fake: Examples, rng: StatelessRng, *, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """One training step.

        1. Replace half of the generated examples by older ones from the image pool.
        2. One power iteration in layers with spectral normalisation.
        3. Update the network by the gradient of the loss and its penalties.

        Args:
          real: `[batch, ...]`.
          fake: `[batch, ...]`; no gradient passes into it.
          rng: random numbers of this step.
          step: scalar, the training step.

        Returns:
          This replica's part of the losses by name.
        """
        fake = tf.nest.map_structure(tf.stop_gradient, fake)
        if self.pool is not None:
            fake = self.pool.query(fake, rng.stream(self.name).stream("pool"))
        spectral_norm.update_spectral_norms(self.network)
        with tf.GradientTape() as tape:
            values = self.losses(real, fake, rng)
            total = tf.add_n(list(values.values()))
            if self.config.r1:
                total += self._r1(real, step, rng.global_batch_size)
        self.optimizer.minimize(tape, total)
        return values

    def _r1(self, real: Examples, step: tf.Tensor, global_batch_size: int) -> tf.Tensor:
        """The weighted R1 penalty in every `r1_interval`-th step, zero in the others."""
        x, network = self._unconditional(real)
        is_due = tf.equal(step % self.config.r1_interval, 0)
        penalty = tf.cond(is_due, lambda: adversarial.r1(network, x), lambda: tf.zeros([tf.shape(x)[0]]))
        return self.config.r1 * self.config.r1_interval * reduction.batch_mean(penalty, global_batch_size)

    def losses(self, real: Examples, fake: Examples, rng: StatelessRng) -> dict[str, tf.Tensor]:
        """The losses of the discriminator except R1, weighted, by name: this replica's part."""
        rng = rng.stream(self.name)
        (real, on_real), (fake, on_fake) = self._unconditional(real), self._unconditional(fake)
        real, fake = self._augmented(real, rng.stream("real")), self._augmented(fake, rng.stream("fake"))
        terms = {self.name: self._discriminator_loss(on_real(real), on_fake(fake))}
        if self.config.gradient_penalty:
            epsilon = rng.stream("gradient_penalty").uniform()
            penalty = adversarial.gradient_penalty(on_real, real, fake, epsilon)
            terms[f"{self.name}_penalty"] = self.config.gradient_penalty * penalty
        return {name: reduction.batch_mean(term, rng.global_batch_size) for name, term in terms.items()}

    def _unconditional(self, examples: Examples) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        """The features, and the network as a function of features with its conditions fixed."""
        if not isinstance(examples, tuple):
            return examples, self.network
        x, *conditions = examples
        return x, lambda x: self.network([x, *conditions])

    def _augmented(self, x: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
        if not self.config.augment:
            return x
        return (augment.augment_images if len(x.shape) == 4 else augment.augment_mels)(x, rng, self.config.parts)
