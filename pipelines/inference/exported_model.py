"""Exported models: the SavedModel of a run, its directions, translation and inversion of features."""

from __future__ import annotations

import contextlib
import itertools
import json
import posixpath
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models.errors import UserError
from models.features.spec import Spec
from pipelines import config, files

BATCH_FILES = 16  # short files per batch


def use_one_thread_per_operation() -> None:
    """Let every operation of TensorFlow use one thread, if TensorFlow has not started yet in this process.

    With several, the rounding of results depends on the number of cores. Files, and the chunks of a long recording, are
    computed beside each other instead, which is faster.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)


class Model:
    """The SavedModel of a run.

    Args:
      run_dir: the run.

    Attributes:
      signatures: functions by name.
      facts: the description that is stored in the SavedModel: the run's configuration, its spec, its context.
      spec: of the records that the run was trained on.
      context: frames on either side of a frame on which its translation depends.
      any_source: whether it translates any source, also of none of its domains.

    Raises:
      UserError: there is no export, or it is incomplete.
    """

    def __init__(self, run_dir: str):
        path = files.current_folder(posixpath.join(run_dir, "export"))
        if not tf.io.gfile.exists(posixpath.join(path, "saved_model.pb")):
            if not tf.io.gfile.exists(posixpath.join(run_dir, "config.json")):
                raise UserError(f"{run_dir} is not a run: it has no config.json")
            raise UserError(
                f"{run_dir} has no export/saved_model.pb; repeat the train command to finish and export the run, or "
                "repeat it with --steps at or below the completed steps to export its current state"
            )
        self.saved_model = _load_saved_model(path)
        self.signatures = self.saved_model.signatures
        self.facts = json.loads(self.signatures["describe"]()["json"].numpy())
        self.spec: Spec = config.spec_from_json(self.facts["spec"])
        self.context: int = self.facts["context"]
        self.any_source: bool = self.facts.get("any_source", False)  # exports of earlier versions lack it

    def directions(self) -> list[tuple[str, str]]:
        """Return the (source, target) domains between which the model translates."""
        pairs = list(itertools.permutations(self.spec.domains, 2))
        if "translate_to" in self.signatures:
            return pairs
        first, second = self.spec.domains[:2] if len(self.spec.domains) > 1 else (None, None)
        by_signature = {"translate_ab": (first, second), "translate_ba": (second, first)}
        return [pair for name, pair in by_signature.items() if name in self.signatures]

    def require_directions(self) -> list[tuple[str, str]]:
        """Return the directions of the model; raise UserError if it does not translate."""
        if not (directions := self.directions()):
            offered = sorted(set(self.signatures) - {"describe"})
            raise UserError(f"plugin {self.facts['run']['plugin']} does not translate; it offers {', '.join(offered)}")
        return directions

    def translation(
        self, target: str, source: str | None = None
    ) -> tuple[str | None, Callable[[np.ndarray], np.ndarray]]:
        """Return the source domain, and the function that translates features from it to `target`.

        Args:
          target: the target domain.
          source: the source domain; may be None if only one domain can be translated to `target`, or any source.

        Raises:
          UserError: an unknown or ambiguous domain, or a model that does not translate between the two.
        """
        domains = self.spec.domains
        for flag, domain in (("target", target), ("source", source)):
            if domain is not None and domain not in domains:
                raise UserError(f"--{flag}={domain}: the model has no such domain; {config.suggest(domain, domains)}")
        if self.any_source:
            others = [domain for domain in domains if domain != target]
            known = source or (others[0] if len(others) == 1 else None)
            return known, self._translate_function(known or target, target)
        if source == target:
            raise UserError(f"--source and --target are both {target}")
        plugin, directions = self.facts["run"]["plugin"], self.require_directions()
        matching = [pair for pair in directions if pair[1] == target and source in (None, pair[0])]
        if not matching:
            offered = ", ".join(" to ".join(pair) for pair in directions)
            raise UserError(f"plugin {plugin} translates {offered}; not to {target}")
        if len(matching) > 1:
            sources = ", ".join(pair[0] for pair in matching)
            raise UserError(f"--target={target} from which of {sources}? give --source")
        return matching[0][0], self._translate_function(*matching[0])

    def _translate_function(self, source: str, target: str) -> Callable[[np.ndarray], np.ndarray]:
        if "translate_to" in self.signatures:
            indices = {n: np.int32(self.spec.domains.index(d)) for n, d in (("source", source), ("target", target))}
            return lambda features: self.call("translate_to", features=features, **indices)
        name = "translate_ab" if target == self.spec.domains[1] else "translate_ba"
        return lambda features: self.call(name, features=features)

    def invert_from_phase(self, log_mels: np.ndarray, spectrogram: np.ndarray) -> np.ndarray:
        """Invert log-mels to a waveform, with the phases of another spectrogram as initial phases.

        Args:
          log_mels: `[frames, mels]`.
          spectrogram: complex, `[frames, bins]`.

        Returns:
          Samples `[(frames - 1) * hop_length]`.
        """
        inputs = {"features": np.float32(log_mels)[None], "phase": np.float32(np.angle(spectrogram))[None]}
        return self.call("invert_from_phase", frames=np.int32([len(log_mels)]), **inputs)[0]

    @property
    def griffin_lim(self) -> str:
        """Name of the signature of Griffin-Lim; in exports of earlier versions it is `invert`."""
        return "invert_griffin_lim" if "invert_griffin_lim" in self.signatures else "invert"

    def invert_clips(self, mels: list[np.ndarray], signature: str = "invert") -> list[np.ndarray]:
        """Invert log-mels `[frames, mels]` of any lengths to waveforms `[(frames - 1) * hop_length]`, in batches.

        Args:
          mels: the log-mels.
          signature: `invert` for the inverter that the export holds, or `griffin_lim`.
        """
        waveforms: dict[int, np.ndarray] = {}
        order = sorted(range(len(mels)), key=lambda n: len(mels[n]))
        for start in range(0, len(order), BATCH_FILES):
            group = order[start : start + BATCH_FILES]
            frames = np.array([len(mels[n]) for n in group], np.int32)
            padded = np.stack([np.pad(np.float32(mels[n]), [(0, max(frames) - len(mels[n])), (0, 0)]) for n in group])
            waves = self.call(signature, features=padded, frames=frames, first_frame=np.int32(0))
            waveforms |= {
                n: y[: (len(mels[n]) - 1) * self.spec.features.hop_length] for n, y in zip(group, waves, strict=True)
            }
        return [waveforms[n] for n in range(len(mels))]

    def call(self, name: str, **inputs) -> np.ndarray:
        """Call a signature that has one output, and return that output."""
        (output,) = self.signatures[name](**{k: tf.constant(v) for k, v in inputs.items()}).values()
        return output.numpy()


def _load_saved_model(path: str):
    """Load a SavedModel; turn the various errors that TensorFlow raises for incomplete files into a UserError."""
    try:
        return tf.saved_model.load(path)
    except (tf.errors.OpError, OSError, IndexError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(getattr(error, "message", error)).split())[:200]
        problem = f"{path} is corrupt or incomplete ({type(error).__name__}: {reason})"
        raise UserError(f"{problem}; repeat the run's train command to export it again") from None
