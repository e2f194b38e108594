"""The contract between a model family and the rest of the system: trainer, exporter and scripts.

A plugin owns its networks, optimizers and update rule. The trainer owns the loop, the replicas, the step counter and
all files. A plugin has no access to flags, files, Beam or the strategy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from models import schedules
from models.config_fields import option
from models.errors import UserError
from models.features.spec import Spec
from models.features.stats import Moments
from models.optimizer import Optimizer
from models.stateless_random import StatelessRng

TRANSLATION_SIGNATURES = (
    "translate_ab",
    "translate_ba",
    "translate_to",
)  # the last between any two domains, by index
LATENT_SIGNATURES = ("encode", "decode", "reconstruct", "sample", "log_variance", "negative_elbo", "classify")
SIGNATURES = (*LATENT_SIGNATURES, *TRANSLATION_SIGNATURES, "vocode")
Batch = dict[str, tf.Tensor]


def require_at_least(config: Config, *, below: float = math.inf, **minimum: float) -> None:
    """Checks that keys of a configuration are not below their minimum, and below a common bound.

    Raises:
      UserError: a key is out of range; the message names it.
    """
    for name, bound in minimum.items():
        value = getattr(config, name)
        if not bound <= value < below:
            valid = f"{bound} or more" if below == math.inf else f"a number from {bound} to below {below}"
            raise UserError(f"{name}={value}; wanted {valid}")


def padding_to_multiple(frames: tf.Tensor, multiple: int) -> tf.Tensor:
    """Number of frames to add to reach the next multiple; no negative remainder, which ONNX defines otherwise."""
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
    accumulation_steps: int = option(1, "gradient accumulation: batches whose gradients are averaged into one update")
    ema: float = option(
        0.0, "decay of the exponential moving average of the weights, used in evaluation and export; 0 for no averaging"
    )
    monitor: str = option(
        "", "validation metric that selects the best checkpoint, lower is better; empty for the plugin's default"
    )
    patience: int = option(
        0, "early stopping: validations without improvement after which training ends; 0 for no early stopping"
    )
    RENAMED: ClassVar[Mapping[str, str]] = {"accumulate": "accumulation_steps"}

    def __post_init__(self):
        require_at_least(
            self, batch_size=1, crop_frames=1, accumulation_steps=1, warmup_steps=0, patience=0, clip_norm=0
        )
        require_at_least(self, below=1, ema=0)
        require_at_least(self, below=2**32, steps=0, seed=0)


class Plugin(tf.Module):
    """A model family: configuration, networks and update rule.

    Subclasses create everything in `__init__` (the trainer calls it under its strategy's scope): networks and
    optimizers with all of their variables (call `build` on a Keras optimizer), because restoring and replication need
    every variable to exist. They override the three methods below.

    Attributes:
      Config: a frozen dataclass derived from :class:`Config`; ``Config()`` trains.
      PRESETS: preset name to kind ("audio", "image", "photograph") to changes of the defaults. Images in colour of at
        least 48 pixels are photographs where the preset lists these. Every plugin has presets small and full.
      KINDS: the kinds of data that the plugin supports.
      BATCHES: content of a batch: "unpaired" ({"a", "b"} of two domains), "paired" (the same, from files of the same
        name), "mixed" ({"x", "domain"} of any number of domains), or "waveforms" (the same of speech, and "waveform"
        `[batch, (crop_frames - 1) * hop_length]`: from the centre of the first frame to that of the last).
      MONITOR: validation metric that selects the best checkpoint (the lowest value), or None.
      ANY_SOURCE: whether `translate_to` translates any source, in whatever domain, and ignores its index.
      DOMAIN_NETWORKS: attributes that are networks with weights of each domain; with a warm start from a run of other
        domains they keep their initial weights.
      context: receptive field: frames on either side that one output frame of a translation, or of a vocoder, depends
        on.

    Batches also hold `index` `[batch]` int32, the positions of the examples in the global batch, and `step` `[batch]`
    int64. Random numbers that depend on these and `config.seed` only (see :meth:`rng`) are the same on one replica and
    on several, and after resuming.
    """

    Config: ClassVar[type] = Config
    PRESETS: ClassVar[Mapping[str, Mapping[str, Mapping[str, object]]]] = {"small": {}, "full": {}}
    KINDS: ClassVar[tuple[str, ...]] = ("audio", "image")
    BATCHES: ClassVar[Literal["unpaired", "paired", "mixed", "waveforms"]] = "mixed"
    MONITOR: ClassVar[str | None] = None
    ANY_SOURCE: ClassVar[bool] = False
    DOMAIN_NETWORKS: ClassVar[tuple[str, ...]] = ()
    context: int = 0

    def __init__(self, config: Config, spec: Spec):
        super().__init__(name=type(self).__name__.lower())
        if not isinstance(config, self.Config):
            raise UserError(f"config is a {type(config).__name__}; wanted a {self.Config.__name__}")
        if spec.kind not in self.KINDS:
            raise UserError(f"{self.name} does not support {spec.kind}; wanted {' or '.join(self.KINDS)}")
        min_domains = 2 if self.BATCHES in ("unpaired", "paired") else 1
        if len(spec.domains) < min_domains:
            raise UserError(f"domains {list(spec.domains)}; {self.name} wants {min_domains}")
        self.config, self.spec = config, spec
        self.learning_rate_scale = tf.Variable(1.0, trainable=False, name="learning_rate_scale")

    def train_step(self, batch: Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """Updates the weights by one step on this replica's part of a batch.

        Losses are sums over this part divided by `global_batch_size`, so that the replicas' losses add up. The step is
        traced without AutoGraph: branches on tensors are written with `tf.cond` or `tf.where`.

        Returns:
          Named scalars; the trainer sums them over the replicas.
        """
        raise TypeError(f"{type(self).__name__} does not define train_step")

    def eval_step(self, batch: Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` under the same names, without an update."""
        raise TypeError(f"{type(self).__name__} does not define eval_step")

    def signatures(self) -> dict[str, Callable]:
        """The functions that are exported: names of `SIGNATURES` to `tf.function` with an input signature.

        Inputs and outputs are features as in the records (log-mels, pixels in [-1, 1]); normalisation is inside.
        """
        raise TypeError(f"{type(self).__name__} does not define signatures")

    # ---------------------------------------------------------------- shared by subclasses

    def networks(self) -> list[keras.Model]:
        """Every network that is an attribute of the plugin or of one of its submodules, sorted by attribute name."""
        networks: dict[int, keras.Model] = {}
        for module in (self, *self.submodules):
            for _, value in sorted(vars(module).items()):
                if isinstance(value, keras.Model):
                    networks.setdefault(id(value), value)
        return list(networks.values())

    def statistics(self) -> list[tf.Variable]:
        """Variables beside the networks on which the signatures depend, such as running means; none by default."""
        return []

    def optimizers(self) -> list[Optimizer]:
        """The plugin's optimizers of class :class:`Optimizer`; Keras optimizers are not among them."""
        return [module for module in self.submodules if isinstance(module, Optimizer)]

    def build_optimizer(
        self,
        learning_rate: float,
        networks: list[keras.Model],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        averaged: bool = True,
        update_interval: int = 1,
    ) -> Optimizer:
        """An Adam optimizer as the configuration describes it.

        Args:
          learning_rate: the highest learning rate of the schedule.
          networks: the networks that it trains.
          betas: decay rates of Adam's moments.
          averaged: whether it keeps the moving average of `config.ema`; not for discriminators, which are not exported.
          update_interval: training steps from one gradient to the next.
        """
        c = self.config
        updates = {
            name: getattr(c, name) // (c.accumulation_steps * update_interval) for name in ("steps", "warmup_steps")
        }
        schedule = self.learning_rate(learning_rate, **updates)
        options = {"clip_norm": c.clip_norm, "accumulation_steps": c.accumulation_steps, "ema": c.ema * averaged}
        return Optimizer(networks, schedule, betas=betas, update_interval=update_interval, **options)

    def learning_rate(self, learning_rate: float, *, steps: int, warmup_steps: int) -> schedules.LearningRate:
        """The learning-rate schedule of the configuration, also for a Keras optimizer; lowered after a divergence.

        Args:
          learning_rate: its highest value.
          steps: updates in the whole training.
          warmup_steps: updates in which it rises from zero.
        """
        options = {"decay": self.config.decay, "scale": self.learning_rate_scale}
        return schedules.LearningRate(learning_rate, steps, warmup_steps=warmup_steps, **options)

    def normalize(self, x: tf.Tensor, moments: Moments) -> tf.Tensor:
        """Log-mels to zero mean and unit variance per band; images unchanged."""
        if self.spec.kind == "image":
            return x
        return (x - tf.cast(moments.mean, x.dtype)) / tf.cast(moments.std, x.dtype)

    def denormalize(self, x: tf.Tensor, moments: Moments) -> tf.Tensor:
        """The inverse of :meth:`normalize`, clipped to the front end's floor and the domain's highest level."""
        if self.spec.kind == "image":
            return tf.clip_by_value(x, -1.0, 1.0)
        y = x * tf.cast(moments.std, x.dtype) + tf.cast(moments.mean, x.dtype)
        return tf.clip_by_value(y, self.spec.features.log_floor, tf.cast(moments.highest, y.dtype))

    def normalize_by_domain(self, x: tf.Tensor, domain: tf.Tensor) -> tf.Tensor:
        """:meth:`normalize` by the moments of each example's domain, given by its index `[batch]` int32."""
        if self.spec.kind == "image":
            return x
        return (x - self._domain_statistic("mean", domain)) / self._domain_statistic("std", domain)

    def denormalize_by_domain(self, x: tf.Tensor, domain: tf.Tensor) -> tf.Tensor:
        """:meth:`denormalize` by the moments of each example's domain, given by its index `[batch]` int32."""
        if self.spec.kind == "image":
            return tf.clip_by_value(x, -1.0, 1.0)
        y = x * self._domain_statistic("std", domain) + self._domain_statistic("mean", domain)
        return tf.clip_by_value(y, self.spec.features.log_floor, self._domain_statistic("highest", domain))

    def _domain_statistic(self, name: str, domain: tf.Tensor) -> tf.Tensor:
        """A statistic `[batch, 1, bins]` of each example's domain."""
        table = np.stack([getattr(self.spec.moments[each], name) for each in self.spec.domains])
        return tf.gather(tf.constant(table, tf.float32), domain)[:, None]

    def features_in(self) -> tf.TensorSpec:
        """Input signature of a batch of features, of any batch size and length."""
        return tf.TensorSpec([None, *self.spec.feature_shape()], tf.float32, "features")

    def rng(self, batch: Batch, global_batch_size: int) -> StatelessRng:
        """Random numbers of this step, the same on any number of replicas and after resuming."""
        seed = tf.stack([batch["step"][0] * 1000, tf.cast(self.config.seed, tf.int64)])
        return StatelessRng(seed, batch["index"], global_batch_size, path=self.name)
