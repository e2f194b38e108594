"""Round-trip log-mels: a translator maps log-mels to another domain and back, as training input of a vocoder.

A vocoder that is good on the log-mels of recordings is often bad on those of a model. Round-trip log-mels are aligned
with the recording, so that its samples are the training target.
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

REVERSE = {"translate_ab": "translate_ba", "translate_ba": "translate_ab"}


class RoundTrip:
    """Log-mels through an exported run, in the graph: a function for `dataset.Records.mel_transform`.

    A model of two domains translates to the other domain and back, a model of many to each other domain in turn and
    back, and a model without translations reconstructs.

    Args:
      run_dir: the run directory of the model.
      spec: of the records; the run must know their domains.

    Attributes:
      margin: frames on either side on which an output frame depends.

    Raises:
      UserError: there is no export, the front ends differ, a domain is unknown, or the model has no round trip.
    """

    def __init__(self, run_dir: str, spec: Spec):
        self.model, self.spec, self.run_dir = exported_model.Model(run_dir), spec, run_dir
        config.check_same_front_end(f"mels_from={run_dir}", self.model.spec.features, spec.features)
        self.domain_indices = [self._domain_index(name) for name in spec.domains]
        paths = [self.round_trips(index) for index in self.domain_indices]
        self.margin = self.model.context * max(len(path) for domain_paths in paths for path in domain_paths)
        self.round_trip_functions = [
            [functools.partial(self._apply, path) for path in domain_paths] for domain_paths in paths
        ]

    def _domain_index(self, domain: str) -> int:
        """Return the index of a domain in the model."""
        domains = self.model.spec.domains
        if domain not in domains:
            raise UserError(
                f"mels_from={self.run_dir}: the model has no domain {domain}; {config.suggest(domain, domains)}"
            )
        return domains.index(domain)

    def round_trips(self, index: int) -> list[list]:
        """Return the paths from a domain to itself, each a list of functions of `[1, frames, mels]`."""
        signatures, domains = self.model.signatures, self.model.spec.domains
        if "translate_to" in signatures:
            others = (n for n in range(len(domains)) if n != index)
            return [[self._call("translate_to", *ends) for ends in ((index, n), (n, index))] for n in others]
        forward = ("translate_ab", "translate_ba")[index] if index < 2 else ""
        if forward in signatures and REVERSE[forward] in signatures:
            return [[self._call(forward), self._call(REVERSE[forward])]]
        if "reconstruct" in signatures:
            return [[self._call("reconstruct")]]
        raise UserError(
            f"mels_from={self.run_dir}: the model neither translates from {domains[index]} and back, nor reconstructs"
        )

    def _call(self, name: str, *ends: int):
        """Return a signature as a function of log-mels; `ends` are the source and target domains where it has them."""
        indices = {key: tf.constant(end) for key, end in zip(("source", "target"), ends, strict=False)}
        return lambda x: self.model.signatures[name](features=x, **indices)["features"]

    def _apply(self, path: list, x: tf.Tensor) -> tf.Tensor:
        for function in path:
            x = function(x)
        return x

    def __call__(self, log_mels: tf.Tensor, domain: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """Return round-trip log-mels `[frames, mels]` of log-mels `[frames + 2 * margin, mels]`.

        Args:
          log_mels: as in the records.
          domain: index of their domain in the records.
          row: row of the training; rows alternate between the paths.
        """
        round_number = row // len(self.round_trip_functions)

        def branch(functions):
            index = tf.cast(round_number % len(functions), tf.int32)
            return tf.switch_case(index, [functools.partial(function, log_mels[None]) for function in functions])

        branches = [functools.partial(branch, functions) for functions in self.round_trip_functions]
        output = tf.switch_case(domain, branches)[0]
        return output[self.margin : tf.shape(log_mels)[0] - self.margin]


def with_round_trip_mels(data: dataset.Records, plugin_config) -> dataset.Records:
    """Return records that give round-trip log-mels if the plugin's key `mels_from` is set, else the records."""
    run_dir = getattr(plugin_config, "mels_from", "")
    return dataclasses.replace(data, mel_transform=RoundTrip(run_dir, data.spec)) if run_dir else data
