"""What a translator makes of log-mels on their way there and back: what a vocoder is to be trained on for it.

A vocoder that is good on the mels of recordings is often bad on those of a model. These run in step with the
recording, so that its samples are what the vocoder should make of them.
"""

from __future__ import annotations

import dataclasses
import functools

import tensorflow as tf

from models.errors import UserError
from models.features.spec import Spec
from pipelines import config
from pipelines.data import dataset
from pipelines.inference import exported_model

ROUND = {"translate_ab": "translate_ba", "translate_ba": "translate_ab"}  # the way back


class Imitation:
    """Log-mels through an exported run, in the graph: a function for `dataset.Records.mel_transform`.

    A model of two domains translates there and back, one of many to each other domain in turn and back, and one
    that only codes reconstructs.

    Args:
      run_dir: the run.
      spec: of the records; its domains are to be known to the run.

    Attributes:
      margin: frames to either side that the outcome depends on.

    Raises:
      UserError: nothing was exported there, the front ends differ, a domain is unknown, or there is no way back.
    """

    def __init__(self, run_dir: str, spec: Spec):
        self.model, self.spec, self.run_dir = exported_model.Model(run_dir), spec, run_dir
        config.same_front_end(f"mels_from={run_dir}", self.model.spec.features, spec.features)
        self.places = [self._place_of(name) for name in spec.domains]
        ways = [self.ways_from(place) for place in self.places]
        self.margin = self.model.context * max(len(calls) for found in ways for calls in found)
        self.ways = [[functools.partial(self._through, calls) for calls in found] for found in ways]

    def _place_of(self, domain: str) -> int:
        """The number that the run knows a domain by."""
        known = self.model.spec.domains
        if domain not in known:
            raise UserError(f"mels_from={self.run_dir}: the model knows no {domain}; {config.nearest(domain, known)}")
        return known.index(domain)

    def ways_from(self, place: int) -> list[list]:
        """Ways from a domain to itself, each the functions of `[1, frames, mels]` to go through."""
        made, domains = self.model.signatures, self.model.spec.domains
        if "translate_to" in made:
            others = (n for n in range(len(domains)) if n != place)
            return [[self._call("translate_to", *way) for way in ((place, n), (n, place))] for n in others]
        there = ("translate_ab", "translate_ba")[place] if place < 2 else ""
        if there in made and ROUND[there] in made:
            return [[self._call(there), self._call(ROUND[there])]]
        if "reconstruct" in made:
            return [[self._call("reconstruct")]]
        raise UserError(f"mels_from={self.run_dir}: no way from {domains[place]} and back, and no reconstruction")

    def _call(self, name: str, *ends: int):
        """A signature as a function of log-mels, from one domain's number to another's where it takes them."""
        numbers = {key: tf.constant(end) for key, end in zip(("source", "target"), ends, strict=False)}
        return lambda x: self.model.signatures[name](features=x, **numbers)["features"]

    def _through(self, calls: list, x: tf.Tensor) -> tf.Tensor:
        for call in calls:
            x = call(x)
        return x

    def __call__(self, log_mels: tf.Tensor, domain: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """Log-mels `[frames, mels]` of `[frames + 2 * margin, mels]`.

        Args:
          log_mels: as in the records.
          domain: number of their domain in the records.
          row: of the training; another may go another way.
        """
        turn = row // len(self.ways)

        def branch(found):
            pick = tf.cast(turn % len(found), tf.int32)
            return tf.switch_case(pick, [functools.partial(way, log_mels[None]) for way in found])

        made = tf.switch_case(domain, [functools.partial(branch, found) for found in self.ways])[0]
        return made[self.margin : tf.shape(log_mels)[0] - self.margin]


def imitated(data: dataset.Records, plugin_config) -> dataset.Records:
    """The records as a plugin's key `mels_from` wants them shown; as they are without it."""
    run_dir = getattr(plugin_config, "mels_from", "")
    return dataclasses.replace(data, mel_transform=Imitation(run_dir, data.spec)) if run_dir else data
