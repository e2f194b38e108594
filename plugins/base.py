"""The contract between a model family and the rest: what the trainer, exporter and scripts rely on.

A plugin owns its networks, optimisers and update rule. The trainer owns the loop, the replicas,
the clock and the disk. A plugin never sees flags, files, Beam or the strategy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import keras
import tensorflow as tf

from models import schedules
from models.config_fields import option
from models.errors import UserError
from models.features.spec import Spec
from models.features.stats import Moments
from models.optimizer import Player
from models.stateless_random import Draws

TRANSLATIONS = ("translate_ab", "translate_ba", "translate_to")  # the last from a domain to a domain, by number
CODES = ("encode", "decode", "reconstruct", "sample", "log_variance", "negative_elbo", "classify")
SIGNATURES = (*CODES, *TRANSLATIONS, "vocode")

Batch = dict[str, tf.Tensor]


def at_least(config: Config, *, below: float = math.inf, **least: float) -> None:
    """Refuses keys whose values are too small, or not below a bound.

    Raises:
      UserError: one is; says which.
    """
    for name, bound in least.items():
        value = getattr(config, name)
        if not bound <= value < below:
            wanted = f"{bound} or more" if below == math.inf else f"a number from {bound} to below {below}"
            raise UserError(f"{name}={value}; wanted {wanted}")


def lacking(frames: tf.Tensor, multiple: int) -> tf.Tensor:
    """How many frames lack to a multiple: without a negative remainder, which ONNX counts otherwise."""
    return (multiple - frames % multiple) % multiple


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The keys that every plugin has; each plugin adds its own."""

    steps: int = option(2000, "number of training steps, unless --steps is given")
    batch_size: int = option(
        8, "examples of each domain in a global batch (all replicas together), unless --batch_size is given"
    )
    crop_frames: int = option(32, "frames of speech in one training example")
    seed: int = option(0, "random seed of the initial weights and of the random numbers during training")
    decay: Literal["linear", "cosine", "constant"] = option(
        "linear",
        "learning-rate schedule: linear (constant for half of the steps, then linearly to zero), cosine or constant",
    )
    warmup_steps: int = option(0, "steps of linear learning-rate warm-up from zero")
    clip_norm: float = option(
        0.0, "gradient clipping: largest norm of the gradient over all weights of an optimiser; 0 for no clipping"
    )
    accumulate: int = option(1, "gradient accumulation: batches whose gradients are averaged into one update")
    ema: float = option(
        0.0, "decay of the exponential moving average of the weights, used in evaluation and export; 0 for no averaging"
    )
    monitor: str = option(
        "", "validation metric that selects the best checkpoint, lower is better; empty for the plugin's default"
    )
    patience: int = option(
        0, "early stopping: validations without improvement after which training ends; 0 for no early stopping"
    )

    def __post_init__(self):
        at_least(self, batch_size=1, crop_frames=1, accumulate=1, warmup_steps=0, patience=0, clip_norm=0)
        at_least(self, below=1, ema=0)


class Plugin(tf.Module):
    """A model family: configuration, networks and update rule.

    Subclasses build everything in `__init__` (the trainer calls it under its strategy's scope):
    networks, optimisers, and their slots by `optimizer.build`, because restoring and replication
    need every variable to exist. They override the three methods below.

    Attributes:
      Config: a frozen dataclass derived from :class:`Config`; ``Config()`` trains.
      PRESETS: preset name to kind ("audio", "image") to changes of the defaults.
      KINDS: the kinds of data that the plugin serves.
      BATCHES: what `train_step` is given: "unpaired" ({"a", "b"} of two domains), "paired" (the same, of
        files of one stem), "mixed" ({"x", "domain"} of any number of domains), or "waveforms" (the same of speech,
        and "waveform" `[batch, (crop_frames - 1) * hop_length]`: from the middle of the first frame to the last's).
      MONITOR: metric whose lowest validation is the best, or None where no metric says that.
      context: frames to either side that one output frame of a translation, or of a vocoder, depends on.

    Batches also hold `index` `[batch]` int32, the places of the examples in the global batch, and
    `step` `[batch]` int64. A draw that depends on these and `config.seed` alone is the same on one
    replica and on two, before a crash and after it.
    """

    Config: ClassVar[type] = Config
    PRESETS: ClassVar[Mapping[str, Mapping[str, Mapping[str, object]]]] = {"small": {}, "full": {}}
    KINDS: ClassVar[tuple[str, ...]] = ("audio", "image")
    BATCHES: ClassVar[Literal["unpaired", "paired", "mixed", "waveforms"]] = "mixed"
    MONITOR: ClassVar[str | None] = None
    context: int = 0

    def __init__(self, config: Config, spec: Spec):
        super().__init__(name=type(self).__name__.lower())
        if not isinstance(config, self.Config):
            raise UserError(f"config is a {type(config).__name__}; wanted a {self.Config.__name__}")
        if spec.kind not in self.KINDS:
            raise UserError(f"{self.name} does not serve {spec.kind}; wanted {' or '.join(self.KINDS)}")
        wanted = 2 if self.BATCHES in ("unpaired", "paired") else 1
        if len(spec.domains) < wanted:
            raise UserError(f"domains {list(spec.domains)}; {self.name} wants {wanted}")
        self.config, self.spec = config, spec
        self.rate_factor = tf.Variable(1.0, trainable=False, name="rate_factor")

    def train_step(self, batch: Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """Updates the weights from this replica's share of a batch.

        Losses are sums over the share divided by `global_batch_size`: replicas add up. Traced without
        AutoGraph: what depends on a tensor is written with `tf.cond` or `tf.where`.

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

    def networks(self) -> list[keras.Model]:
        """Every network, also those that parts of the plugin own, in order of their attributes' names."""
        found: dict[int, keras.Model] = {}
        for module in (self, *self.submodules):
            for _, value in sorted(vars(module).items()):
                if isinstance(value, keras.Model):
                    found.setdefault(id(value), value)
        return list(found.values())

    def players(self) -> list[Player]:
        """The players, each an optimiser with the networks that it moves."""
        return [module for module in self.submodules if isinstance(module, Player)]

    def player(
        self,
        rate: float,
        networks: list[keras.Model],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        averaged: bool = True,
        every: int = 1,
    ) -> Player:
        """A player whose networks Adam moves, as the configuration says.

        Args:
          rate: the highest learning rate.
          networks: what it moves.
          betas: decays of Adam's moments.
          averaged: whether `config.ema` holds for it; not for discriminators, which are not exported.
          every: steps from one gradient that it follows to the next.
        """
        c = self.config
        moves = {name: getattr(c, name) // (c.accumulate * every) for name in ("steps", "warmup_steps")}
        schedule = schedules.LearningRate(rate, decay=c.decay, factor=self.rate_factor, **moves)
        options = {"clip_norm": c.clip_norm, "accumulate": c.accumulate, "ema": c.ema * averaged, "every": every}
        return Player(networks, schedule, betas=betas, **options)

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

    def draws(self, batch: Batch, global_batch_size: int) -> Draws:
        """Random numbers of this step."""
        seed = tf.stack([batch["step"][0] * 1000, tf.cast(self.config.seed, tf.int64)])
        return Draws(seed, batch["index"], global_batch_size)
