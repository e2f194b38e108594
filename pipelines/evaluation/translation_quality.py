"""Does it convert? The model beside what costs nothing, on files it has not seen.

Rows, each judged on held-out sources of one domain sent to another:

* ``no_op``: the source as it is. What a model must beat.
* ``mean_variance``: every band brought to the target's mean and deviation.
* ``transport``: the linear filter that `models.features.transport` gives in closed form.
* ``model``: the run.
* ``copy_synthesis``: the *target's* own files through front end and inverter. What can be reached.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np

from models.errors import UserError
from models.features import audio, stats, transport
from models.metrics import image as image_metrics
from models.metrics import speech
from pipelines.data import dataset, fingerprint
from pipelines.evaluation import copy_synthesis, domain_classifier, sample_quality
from pipelines.evaluation.examples import Example, chosen, examples_of, recorded
from pipelines.evaluation.verdict import gained, verdict
from pipelines.inference.exported_model import Model, vocoder_of
from pipelines.reporting import html_report

MAX_REMADE = 32  # recordings of each domain that every inverter makes again; a stable hash chooses
ROWS = ("no_op", "mean_variance", "transport", "model", "copy_synthesis")


@dataclasses.dataclass
class Way:
    """One direction: its rows of examples, its table, its verdict, and what it gained over what needs no training."""

    source: str
    target: str
    examples: dict[str, list[Example]]
    table: dict[str, dict[str, float]]
    verdict: str = ""
    note: str = ""


class Evaluator:
    """Judges a run on the test split of records.

    Args:
      run_dir: the run.
      data_dir: records whose test split is held out; with the run's front end and domains.
      inverter: what speech is heard through: "griffin_lim" or "vocoder:RUN".

    Raises:
      UserError: other records than the run's, no test split, or no such inverter.
    """

    def __init__(self, run_dir: str, data_dir: str, inverter: str = "griffin_lim"):
        self.model = Model(run_dir)
        self.spec = self.model.spec
        self.vocoder = self.model if "vocode" in self.model.signatures else None
        self.inverted = self.model.inverted
        if inverter != "griffin_lim" and self.spec.kind == "audio":
            if inverter == "source_phase":
                raise UserError(
                    "--inverter=source_phase: targets and closed forms have no source; wanted griffin_lim, vocoder:RUN"
                )
            self.vocoder = vocoder_of(inverter, self.spec.features)
            self.inverted = self.vocoder.vocoded
        self.data = dataset.open_records(data_dir)
        if (self.data.spec.features, self.data.spec.domains) != (self.spec.features, self.spec.domains):
            raise UserError(f"{data_dir} has another front end or other domains than {run_dir}")
        data_dir_of_run, everyone = self.model.facts["run"]["data_dir"], self.data.sources
        known = fingerprint.TrainingParts.from_run(run_dir, data_dir_of_run, (s for s in everyone if s.split == "test"))
        self.test = {name: examples_of(self.data, "test", name, but=known) for name in self.spec.domains}
        for name in self.spec.domains:
            seen = [s.id for s in self.data.sources_of("test", name) if s in known]
            if seen:
                some = f"{len(seen)} test files of {name} are left out, such as {seen[0]}"
                print(f"warning: {some}: {run_dir} was trained on the same bytes", file=sys.stderr)
            if not self.test[name]:
                silent = " that sound" if self.spec.kind == "audio" else ""
                left = " but those that the run was trained on" if seen else silent
                what = f"has no test files{left}; see --test_fraction of preprocess, and train again"
                raise UserError(f"{data_dir}: domain {name} {what}")

    def judge(self, seed: int = 0) -> tuple[domain_classifier.Classifier, dict]:
        """A judge trained on the run's records, and how well it knows held-out files, plain and inverted."""
        training = self._training()
        shown = {name: [x.features for x in examples] for name, examples in training.items()}
        if self.spec.kind == "audio":
            for name, examples in training.items():
                shown[name] += [x.features for x in self.heard(examples)]
        judge = domain_classifier.fit(shown, self.spec, seed=seed)
        facts = {
            "accuracy": judge.accuracy({name: [x.features for x in examples] for name, examples in self.test.items()})
        }
        if self.spec.kind == "audio":
            inverted = {name: [x.features for x in self.heard(examples)] for name, examples in self.test.items()}
            facts["accuracy_inverted"] = judge.accuracy(inverted)
        return judge, facts

    def _training(self) -> dict[str, list[Example]]:
        """The training split of the run's own records; of those given, where the run's are gone.

        Without what is tested here: records may have been cut anew since, or be others.
        """
        tested = fingerprint.TrainingParts.from_manifest(
            source for source in self.data.sources if source.split == "test"
        )
        for data_dir in (self.model.facts["run"]["data_dir"], self.data.data_dir):
            try:
                data = dataset.open_records(data_dir)
            except UserError:
                continue
            if (data.spec.features, data.spec.domains) != (self.spec.features, self.spec.domains):
                continue
            examples = {name: examples_of(data, "train", name, but=tested) for name in self.spec.domains}
            if all(examples.values()):
                return examples
        raise UserError(f"{self.data.data_dir} has no training split to train the domain classifier on")

    def heard(self, examples: list[Example]) -> list[Example]:
        """Speech through the inverter and analysed again: what a listener gets of these log-mels."""
        if self.spec.kind == "image":
            return examples
        waves = self.inverted([x.features for x in examples])
        return [self._analysed(x, y) for x, y in zip(examples, waves, strict=True)]

    def _analysed(self, example: Example, waveform: np.ndarray) -> Example:
        y = audio.levelled(waveform, self.spec.features)
        return dataclasses.replace(example, features=audio.log_mel(y, self.spec.features), waveform=y)

    def way(self, source: str, target: str, judge: domain_classifier.Classifier) -> Way:
        """All rows of one direction, their table, and the verdict."""
        inputs = self.test[source]
        rows = {"no_op": inputs, "model": self.heard(self._translated(inputs, source, target))}
        if self.spec.kind == "audio":
            a, b = self.spec.moments[source], self.spec.moments[target]
            kernel = transport.kernel(a, b, self.spec.features)
            for name, filtered in (("mean_variance", None), ("transport", kernel)):
                rows[name] = self.heard([_moved(x, a, b, filtered, self.spec.features.log_floor) for x in inputs])
        rows["copy_synthesis"] = self.heard(self.test[target])
        way = Way(source, target, {name: rows[name] for name in ROWS if name in rows}, {})
        judged = {name: judge.judge([x.features for x in examples]) for name, examples in way.examples.items()}
        heard = {name: answers == self.spec.domains.index(target) for name, answers in judged.items()}
        for name, examples in way.examples.items():
            way.table[name] = {"n": len(examples), "heard_as_target": float(np.mean(heard[name]))}
            if self.spec.kind == "image":
                way.table[name]["heard_as_neither"] = float(np.mean(judged[name] == len(self.spec.domains)))
            way.table[name] |= self._distances(examples, inputs, self.test[target], name)
        mcd = {name: row["mcd_db"] for name, row in way.table.items() if "mcd_db" in row}
        way.verdict, way.note = verdict(heard["model"], heard["no_op"]), gained(heard, mcd)
        return way

    def _translated(self, examples: list[Example], source: str, target: str) -> list[Example]:
        _, translate = self.model.translation(target, source)
        if self.spec.kind == "image":
            translated = translate(np.stack([x.features for x in examples]))
            return [dataclasses.replace(x, features=y) for x, y in zip(examples, translated, strict=True)]
        context, floor = self.model.context, self.spec.features.log_floor
        out = []
        for x in examples:
            padded = np.pad(x.features, ((context, context), (0, 0)), constant_values=floor).astype(np.float32)
            translated = translate(padded[None])[0]
            out.append(dataclasses.replace(x, features=translated[context : len(translated) - context]))
        return out

    def _distances(self, results: list[Example], sources: list[Example], targets: list[Example], row: str) -> dict:
        """Means over examples: to the parallel target where there is one, and to the source."""
        parallel = {x.stem: x for x in targets}
        pairs = [(x, parallel[x.stem]) for x in results if x.stem in parallel]
        out = {}
        if self.spec.kind == "audio":
            if pairs:
                spec = self.spec.features
                mcd = [speech.mel_cepstral_distortion(x.features, y.features, spec) for x, y in pairs]
                out["mcd_db"] = float(np.mean(mcd))
            if row != "copy_synthesis":
                lsd = [
                    speech.log_spectral_distance(x.features, y.features) for x, y in zip(results, sources, strict=True)
                ]
                out["lsd_to_source_db"] = float(np.mean(lsd))
        elif pairs:
            stacked = [np.stack([pair[n].features for pair in pairs]) for n in (0, 1)]
            out["ssim"] = float(np.mean(image_metrics.ssim(*stacked)))
            out["mean_absolute_error"] = float(np.mean(image_metrics.mean_absolute_error(*stacked)))
        return out

    def reconstruction(self) -> dict[str, dict[str, float]]:
        """For models that encode and decode: the squared error of normalised features, beside the mean's."""
        table: dict[str, dict[str, float]] = {}
        for name, examples in self.test.items():
            reconstructed = [
                self.model.call("reconstruct", features=x.features[None].astype(np.float32))[0] for x in examples
            ]
            scale = self.spec.overall.std if self.spec.kind == "audio" else 1.0
            mean = self.spec.overall.mean
            error = [np.mean(np.square((x.features - y) / scale)) for x, y in zip(examples, reconstructed, strict=True)]
            blank = [np.mean(np.square((x.features - mean) / scale)) for x in examples]
            table[name] = {"n": len(examples), "model": float(np.mean(error)), "mean_of_data": float(np.mean(blank))}
        return table

    def copy_synthesis(self) -> dict[str, dict[str, float]]:
        """Held-out recordings made again of their log-mels by each inverter; of a domain whose files are gone, none."""
        spec, ways = self.spec.features, copy_synthesis.inverters(self.model, self.vocoder)
        rows = {}
        for domain, examples in self.test.items():
            read = (recorded(x, self.spec) for x in chosen(examples, MAX_REMADE))
            if recordings := [audio.levelled(y, spec) for y in read if y is not None]:
                rows |= {
                    f"{domain}, {name}": copy_synthesis.row(invert, recordings, spec) for name, invert in ways.items()
                }
        return rows

    def remade(self, metrics: dict) -> list[html_report.Section]:
        """The section on what each inverter loses, of speech whose recordings are still there."""
        if self.spec.kind == "image" or not (table := self.copy_synthesis()):
            return []
        metrics["copy_synthesis"] = table
        heads, rows = html_report.format_table(table)
        return [html_report.Section("Copy synthesis", heads=heads, table=rows)]

    def coding(self, metrics: dict) -> list[html_report.Section]:
        """Sections on what a model that does not translate can do: reconstruct, draw from noise."""
        sections = []
        if "reconstruct" in self.model.signatures:
            metrics["reconstruction"] = self.reconstruction()
            heads, rows = html_report.format_table(metrics["reconstruction"])
            sections.append(html_report.Section("Reconstruction", heads=heads, table=rows))
        if "sample" in self.model.signatures:
            plain = [
                {d: [x.features for x in v] for d, v in examples.items()} for examples in (self._training(), self.test)
            ]
            metrics["samples"] = sample_quality.compared(self.model, *plain)
            sections.append(sample_quality.section(self.model, metrics["samples"]))
        return sections


def _moved(example: Example, a: stats.Moments, b: stats.Moments, kernel, floor: float) -> Example:
    """A source moved to the target's statistics, band by band or by a filter."""
    z = stats.normalise(example.features, a)
    if kernel is not None:
        z = transport.filtered(z, kernel)
    moved = np.clip(stats.denormalise(z, b), floor, b.highest)
    return dataclasses.replace(example, features=moved)
