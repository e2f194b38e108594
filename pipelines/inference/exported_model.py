"""An exported run: its signatures on features, which domains it knows, and the vocoder that another run is."""

from __future__ import annotations

import itertools
import json
import posixpath
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models.errors import UserError
from models.features.audio import AudioSpec
from models.features.spec import Spec
from pipelines import config, files

BATCH_FILES = 16  # short ones that go through the model together
INVERTERS = ("griffin_lim", "source_phase", "vocoder:RUN")


class Model:
    """An exported run.

    Args:
      run_dir: the run.

    Raises:
      UserError: nothing was exported there, or not all of it is there.
    """

    def __init__(self, run_dir: str):
        path = files.current_folder(posixpath.join(run_dir, "export"))
        if not tf.io.gfile.exists(posixpath.join(path, "saved_model.pb")):
            if not tf.io.gfile.exists(posixpath.join(run_dir, "config.json")):
                raise UserError(f"{run_dir} is no run: it has no config.json")
            raise UserError(
                f"{run_dir} has no export/saved_model.pb; the same train command goes on with it to the end, "
                "and with --steps no higher than those it has done exports what there is"
            )
        self.loaded = _loaded(path)
        self.signatures = self.loaded.signatures
        self.facts = json.loads(self.signatures["describe"]()["json"].numpy())
        self.spec: Spec = config.spec_from_json(self.facts["spec"])
        self.context: int = self.facts["context"]

    def ways(self) -> list[tuple[str, str]]:
        """The (source, target) domains between which the model translates."""
        pairs = list(itertools.permutations(self.spec.domains, 2))
        if "translate_to" in self.signatures:
            return pairs
        first, second = self.spec.domains[:2] if len(self.spec.domains) > 1 else (None, None)
        named = {"translate_ab": (first, second), "translate_ba": (second, first)}
        return [pair for name, pair in named.items() if name in self.signatures]

    def translation(self, target: str, source: str | None = None) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
        """The source domain, and the translation from it to `target` as a function of features.

        Raises:
          UserError: an unknown domain, or a model that cannot translate.
        """
        domains = self.spec.domains
        for name, asked in (("target", target), ("source", source)):
            if asked is not None and asked not in domains:
                raise UserError(f"--{name}={asked}: the model knows no such domain; {config.suggest(asked, domains)}")
        if source == target:
            raise UserError(f"--source and --target are both {target}")
        run, ways = self.facts["run"]["plugin"], self.ways()
        if not ways:
            able = sorted(set(self.signatures) - {"describe"})
            raise UserError(f"plugin {run} does not translate; it offers {', '.join(able)}")
        matching = [way for way in ways if way[1] == target and source in (None, way[0])]
        if not matching:
            raise UserError(f"plugin {run} translates {', '.join(' to '.join(way) for way in ways)}; not to {target}")
        if len(matching) > 1:
            raise UserError(f"--target={target} from which of {', '.join(way[0] for way in matching)}? give --source")
        return matching[0][0], self._function(*matching[0])

    def _function(self, source: str, target: str) -> Callable[[np.ndarray], np.ndarray]:
        if "translate_to" in self.signatures:
            numbers = {n: np.int32(self.spec.domains.index(d)) for n, d in (("source", source), ("target", target))}
            return lambda features: self.call("translate_to", features=features, **numbers)
        name = "translate_ab" if target == self.spec.domains[1] else "translate_ba"
        return lambda features: self.call(name, features=features)

    def vocode(self, log_mels: np.ndarray) -> np.ndarray:
        """Waveforms `[batch, (frames - 1) * hop_length]` of `[batch, frames + 2 * context, mels]`."""
        beyond = self.context * self.spec.features.hop_length
        waveforms = self.call("vocode", features=log_mels)
        return waveforms[:, beyond : waveforms.shape[1] - beyond]

    def vocoded(self, mels: list[np.ndarray]) -> list[np.ndarray]:
        """Waveforms `[(frames - 1) * hop_length]` of log-mels `[frames, mels]` of any lengths, by a vocoder."""
        around, floor = ((self.context, self.context), (0, 0)), self.spec.features.log_floor
        return [self.vocode(np.pad(np.float32(x), around, constant_values=floor)[None])[0] for x in mels]

    def inverted_from(self, log_mels: np.ndarray, spectrogram: np.ndarray) -> np.ndarray:
        """The waveform `[(frames - 1) * hop_length]` of `[frames, mels]`, from the phases of `[frames, bins]` on."""
        given = {"features": np.float32(log_mels)[None], "phase": np.float32(np.angle(spectrogram))[None]}
        return self.call("invert_from_phase", frames=np.int32([len(log_mels)]), **given)[0]

    def inverted(self, mels: list[np.ndarray]) -> list[np.ndarray]:
        """Waveforms `[(frames - 1) * hop_length]` of log-mels `[frames, bins]` of any lengths, in batches."""
        waveforms: dict[int, np.ndarray] = {}
        order = sorted(range(len(mels)), key=lambda n: len(mels[n]))
        for start in range(0, len(order), BATCH_FILES):
            group = order[start : start + BATCH_FILES]
            frames = np.array([len(mels[n]) for n in group], np.int32)
            padded = np.stack([np.pad(np.float32(mels[n]), [(0, max(frames) - len(mels[n])), (0, 0)]) for n in group])
            waves = self.call("invert", features=padded, frames=frames, first_frame=np.int32(0))
            waveforms |= {
                n: y[: (len(mels[n]) - 1) * self.spec.features.hop_length] for n, y in zip(group, waves, strict=True)
            }
        return [waveforms[n] for n in range(len(mels))]

    def call(self, name: str, **inputs) -> np.ndarray:
        """The one output of a signature."""
        (output,) = self.signatures[name](**{k: tf.constant(v) for k, v in inputs.items()}).values()
        return output.numpy()


def _loaded(path: str):
    """A SavedModel; whatever TensorFlow's readers raise where a file of it is cut off or gone becomes one line."""
    try:
        return tf.saved_model.load(path)
    except (tf.errors.OpError, OSError, IndexError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(getattr(error, "message", error)).split())[:200]
        what = f"{path} is broken or not whole ({type(error).__name__}: {reason})"
        raise UserError(f"{what}; the train command of the run exports it anew") from None


def vocoder_of(name: str, spec: AudioSpec) -> Model:
    """The vocoder that `--inverter=vocoder:RUN` names.

    Raises:
      UserError: no such inverter, a run that is no vocoder's, or one of another front end than `spec`.
    """
    kind, _, run_dir = name.partition(":")
    if kind != "vocoder" or not run_dir:
        raise UserError(f"--inverter={name}; wanted one of {', '.join(INVERTERS)}")
    vocoder = Model(run_dir)
    if "vocode" not in vocoder.signatures:
        raise UserError(f"--inverter={name}: plugin {vocoder.facts['run']['plugin']} has no signature vocode")
    config.check_same_front_end(f"--inverter={name}", vocoder.spec.features, spec)
    return vocoder
