"""The contract between a model family and the rest: what the trainer, exporter and scripts rely on.

A plugin owns its networks, optimisers and update rule. The trainer owns the loop, the replicas,
the clock and the disk. A plugin never sees flags, files, Beam or the strategy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import keras
import tensorflow as tf

from models import schedules
from models.features.spec import Spec
from models.features.stats import Moments

SIGNATURES = ("encode", "decode", "reconstruct", "sample", "translate_ab", "translate_ba", "vocode")

Batch = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The keys that every plugin has; each plugin adds its own.

    Attributes:
      steps: training steps where `--steps` is not given.
      batch_size: examples of each domain a step, over all replicas, where `--batch_size` is not given.
      crop_frames: frames of speech in one training example.
      seed: what initial weights and draws during training depend on.
    """

    steps: int = 2000
    batch_size: int = 8
    crop_frames: int = 32
    seed: int = 0


class Plugin(tf.Module):
    """A model family: configuration, networks and update rule.

    Subclasses build everything in `__init__` (the trainer calls it under its strategy's scope):
    networks, optimisers, and their slots by `optimizer.build`, because restoring and replication
    need every variable to exist. They override the three methods below.

    Attributes:
      Config: a frozen dataclass derived from :class:`Config`; ``Config()`` trains.
      PRESETS: preset name to kind ("audio", "image") to changes of the defaults.
      BATCHES: what `train_step` is given: "unpaired" ({"a", "b"}), or "mixed" ({"x", "domain"}).
      context: frames to either side that one output frame of a translation depends on.

    Batches also hold `index` `[batch]` int32, the places of the examples in the global batch, and
    `step` `[batch]` int64. A draw that depends on these and `config.seed` alone is the same on one
    replica and on two, before a crash and after it.
    """

    Config: ClassVar[type] = Config
    PRESETS: ClassVar[Mapping[str, Mapping[str, Mapping[str, object]]]] = {"small": {}, "full": {}}
    BATCHES: ClassVar[Literal["unpaired", "mixed"]] = "mixed"
    context: int = 0

    def __init__(self, config: Config, spec: Spec):
        super().__init__(name=type(self).__name__.lower())
        if not isinstance(config, self.Config):
            raise ValueError(f"config is a {type(config).__name__}; wanted a {self.Config.__name__}")
        wanted = 2 if self.BATCHES == "unpaired" else 1
        if len(spec.domains) < wanted:
            raise ValueError(f"domains {list(spec.domains)}; {self.name} wants {wanted}")
        self.config, self.spec = config, spec
        self.rate_factor = tf.Variable(1.0, trainable=False, name="rate_factor")

    def train_step(self, batch: Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """Updates the weights from this replica's share of a batch.

        Losses are sums over the share divided by `global_batch_size`: replicas add up.

        Returns:
          Named scalars; the trainer adds those of the replicas.
        """
        raise TypeError(f"{type(self).__name__} does not define train_step")

    def eval_step(self, batch: Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step`, same names, without an update."""
        raise TypeError(f"{type(self).__name__} does not define eval_step")

    def signatures(self) -> dict[str, Callable]:
        """What the model can do: names from `SIGNATURES` to `tf.function` with an input signature.

        Features in and out are as in the records (log-mels, pixels in [-1, 1]), so statistics are
        inside.
        """
        raise TypeError(f"{type(self).__name__} does not define signatures")

    # ---------------------------------------------------------------- what subclasses share

    def networks(self) -> list:
        """The `keras.Model` attributes, in order of their names."""
        found = ((name, value) for name, value in vars(self).items() if isinstance(value, keras.Model))
        return [value for _, value in sorted(found)]

    def adam(self, rate: float, networks: list, **options):
        """An Adam optimiser, built over the networks' weights, and the list of these weights."""
        schedule = schedules.FlatThenLinear(rate, self.config.steps, factor=self.rate_factor)
        optimizer = keras.optimizers.Adam(schedule, **options)
        weights = [v for network in networks for v in network.trainable_variables]
        optimizer.build(weights)
        return optimizer, weights

    def normalise(self, x: tf.Tensor, moments: Moments) -> tf.Tensor:
        """Speech to zero mean and unit variance per bin; pictures as they are."""
        if self.spec.kind == "image":
            return x
        return (x - tf.cast(moments.mean, x.dtype)) / tf.cast(moments.std, x.dtype)

    def denormalise(self, x: tf.Tensor, moments: Moments) -> tf.Tensor:
        """The inverse of :meth:`normalise`, kept between what the front end and the domain's loudest allow."""
        if self.spec.kind == "image":
            return tf.clip_by_value(x, -1.0, 1.0)
        y = x * tf.cast(moments.std, x.dtype) + tf.cast(moments.mean, x.dtype)
        return tf.clip_by_value(y, self.spec.features.log_floor, tf.cast(moments.highest, y.dtype))

    def features_in(self) -> tf.TensorSpec:
        """Input signature of a batch of features, of any length."""
        return tf.TensorSpec([None, *self.spec.feature_shape()], tf.float32, "features")

    def draw_seed(self, batch: Batch, salt: int) -> tf.Tensor:
        """`[2]` integers for `tf.random.stateless_*`, of this step and this purpose."""
        return tf.stack([batch["step"][0] * 1000 + salt, tf.cast(self.config.seed, tf.int64)])
