"""Translation quality on held-out files: the model beside closed-form baselines.

Rows of a direction's table; each is a set of results that is scored on the held-out sources of one domain:

* ``no_op``: the untranslated source, after the same inverter; the baseline that a model must beat.
* ``mean_variance``: each mel band normalised to the target's mean and standard deviation.
* ``transport``: the linear filter of `models.features.transport`, in closed form.
* ``model``: the run.
* ``copy_synthesis``: the *target's* own files through front end and inverter; the upper bound.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import sys
from collections.abc import Callable, Iterator

import numpy as np

from models.errors import UserError
from models.features import audio
from models.metrics import feature_extractors
from pipelines.data import dataset, fingerprint, source_features
from pipelines.evaluation import (
    classifier_augmentation,
    classifier_evaluation,
    closed_form,
    copy_synthesis,
    direction_table,
    distances,
    domain_classifier,
    model_results,
    row_scores,
)
from pipelines.evaluation.examples import Example, read_examples, read_waveform, sample_examples
from pipelines.evaluation.verdict import Evidence, TranslationVerdict, translation_verdict
from pipelines.inference.exported_model import Model
from pipelines.inference.vocoders import describe, load_vocoder

MAX_RECORDINGS = 48  # held-out ones per domain, of a run that translates; selected by a stable hash of their names
MAX_CLASSIFIER_IMAGES = 2000  # per domain, to which the domain classifier is fitted; selected by a stable hash
MAX_SPEAKER_RECORDINGS = 16  # of the training split that represent a speaker; selected by a stable hash
ROWS = ("no_op", "mean_variance", "transport", "model", "copy_synthesis")


@dataclasses.dataclass
class Direction:
    """Evaluation of one direction.

    Attributes:
      source: source domain.
      target: target domain.
      examples: row to the examples that are scored.
      scores: row to scores of each file by name.
      table: row to metrics by name.
      intervals: row to 95 % confidence intervals of metrics that are means over files, by name.
      verdict: whether the model translates, with the reasons.
    """

    source: str
    target: str
    examples: dict[str, list[Example]]
    scores: direction_table.Scores
    table: direction_table.Table
    intervals: direction_table.Intervals
    verdict: TranslationVerdict


def open_run(run_dir: str, data_dir: str) -> tuple[Model, dataset.Records]:
    """Return the export of a run and the records to evaluate it on.

    Raises:
      UserError: there is no export, or no records, or the records have another front end or other domains.
    """
    model, data = Model(run_dir), dataset.open_records(data_dir)
    if not _have_same_spec(model, data):
        raise UserError(f"{data_dir} has another front end or other domains than {run_dir}")
    return model, data


def _have_same_spec(model: Model, data: dataset.Records) -> bool:
    return (data.spec.features, data.spec.domains) == (model.spec.features, model.spec.domains)


class Evaluator:
    """Evaluates a run on the test split of records.

    Args:
      run_dir: the run.
      data_dir: records with a held-out test split, and with the run's front end and domains.
      inverter: how log-mels become waveforms: "auto", "griffin_lim" or "vocoder:RUN".
      extractor: name of the feature extractor of distances between sets.

    Attributes:
      model: the export of the run.
      spec: of the records that the run was trained on.
      data: the records.
      test: the examples to evaluate, by domain; of recordings a sample if the run translates.
      held_out: number of held-out files with sound by domain, of which the examples are a sample.

    Raises:
      UserError: records with another front end or other domains, no test split, an unknown inverter or extractor.
    """

    def __init__(
        self, run_dir: str, data_dir: str, inverter: str = "auto", extractor: str = feature_extractors.DEFAULT
    ):
        feature_extractors.load(extractor)
        self.extractor = extractor
        self.model, self.data = open_run(run_dir, data_dir)
        self.spec = self.model.spec
        self._set_inverter(inverter)
        self.test = self._read_test_examples(run_dir)

    def _set_inverter(self, inverter: str) -> None:
        if self.spec.kind == "image":
            self.vocoder, self.inverter = None, "none"
            return
        if inverter == "source_phase":
            expected = "wanted auto, griffin_lim or vocoder:RUN"
            raise UserError(f"--inverter=source_phase: targets and baselines have no source phase; {expected}")
        self.vocoder = load_vocoder(inverter, self.spec.features)
        self.inverter = describe(inverter, self.vocoder)

    def invert_clips(self, mels: list[np.ndarray]) -> list[np.ndarray]:
        """Invert log-mels `[frames, mels]` of any lengths by the inverter to waveforms."""
        return (
            self.vocoder.vocode_clips(mels) if self.vocoder else self.model.invert_clips(mels, self.model.griffin_lim)
        )

    def _read_test_examples(self, run_dir: str) -> dict[str, list[Example]]:
        """Test examples by domain, without files that the run was trained on; warns of these on stderr.

        Of the recordings for a run that translates, a sample of `MAX_RECORDINGS`, because each of its rows inverts all
        of them. Parallel recordings are selected together, so that rows can be compared with their targets.
        """
        test_sources = (source for source in self.data.sources if source.split == "test")
        training_data = fingerprint.TrainingParts.from_run(run_dir, self.model.facts["run"]["data_dir"], test_sources)
        test = {name: read_examples(self.data, "test", name, exclude=training_data) for name in self.spec.domains}
        self.held_out = {name: self._count_held_out(name, training_data) for name in self.spec.domains}
        if self.spec.kind == "audio" and self.model.directions():
            test = {name: sample_examples(examples, MAX_RECORDINGS) for name, examples in test.items()}
        for name in self.spec.domains:
            excluded = [s.id for s in self.data.sources_of("test", name) if s in training_data]
            if excluded:
                ignored = f"{len(excluded)} test files of {name} are left out, such as {excluded[0]}"
                print(f"warning: {ignored}: {run_dir} was trained on the same bytes", file=sys.stderr)
            if not test[name]:
                silent = " with sound" if self.spec.kind == "audio" else ""
                kind = " other than those that the run was trained on" if excluded else silent
                advice = "set --test_fraction of preprocess, and train again"
                raise UserError(f"{self.data.data_dir}: domain {name} has no test files{kind}; {advice}")
        return test

    def _count_held_out(self, domain: str, training_data: fingerprint.TrainingParts) -> int:
        usable = source_features.sources_with_sound(self.data, "test", domain)
        return sum(source not in training_data for source in usable)

    def describe_sample(self) -> str:
        """Return a sentence with the numbers of evaluated and held-out files; empty if all are evaluated."""
        numbers = {name: (len(examples), self.held_out[name]) for name, examples in self.test.items()}
        parts = [f"{shown} of {number} of {name}" for name, (shown, number) in numbers.items() if shown < number]
        return f"A sample of the held-out files is evaluated: {', '.join(parts)}." if parts else ""

    def recordings(self) -> list[Example]:
        """Return examples with the files that an evaluation reads: held-out ones, and those that represent speakers."""
        if self.spec.kind == "image":
            return []
        if not self.model.directions():
            return [
                x for examples in self.test.values() for x in sample_examples(examples, copy_synthesis.MAX_RECORDINGS)
            ]
        speakers = (sample_examples(examples, MAX_SPEAKER_RECORDINGS) for examples in self.training_examples.values())
        return list(itertools.chain(*self.test.values(), *speakers))

    def train_classifier(self, seed: int = 0) -> tuple[domain_classifier.DomainClassifier, dict]:
        """Fit a domain classifier to the run's training split.

        Returns:
          The classifier, and its scores on held-out files, see :func:`classifier_scores.score`.
        """
        training, spec = self._classifier_examples(), self.spec
        if spec.kind == "image":
            return classifier_evaluation.fit_and_score(training, self.test, spec, seed=seed)
        inverted = {"resynthesize": self.resynthesize, "inverted_test": self.resynthesized_test}
        return classifier_evaluation.fit_and_score(training, self.test, spec, **inverted, seed=seed)

    def _classifier_examples(self) -> dict[str, list[Example]]:
        """Training examples of the domain classifier: more images than for other metrics, reduced in size."""
        if self.spec.kind == "audio":
            return self.training_examples
        options = {"max_sources": MAX_CLASSIFIER_IMAGES, "transform": classifier_augmentation.shrink}
        return self._read_training_examples(**options)

    @functools.cached_property
    def training_examples(self) -> dict[str, list[Example]]:
        """Training split by domain of the run's own records, or of the given records if the run's are gone.

        Files in the test split are left out: the records may have been split anew since, or may be others.
        """
        return self._read_training_examples()

    def _read_training_examples(self, **options) -> dict[str, list[Example]]:
        test = fingerprint.TrainingParts.from_manifest(source for source in self.data.sources if source.split == "test")
        for data_dir in (self.model.facts["run"]["data_dir"], self.data.data_dir):
            try:
                data = dataset.open_records(data_dir)
            except UserError:
                continue
            if not _have_same_spec(self.model, data):
                continue
            names = self.spec.domains
            examples = {name: read_examples(data, "train", name, exclude=test, **options) for name in names}
            if all(examples.values()):
                return examples
        raise UserError(f"{self.data.data_dir} has no training split to train the domain classifier on")

    @functools.cached_property
    def resynthesized_test(self) -> dict[str, list[Example]]:
        """Test examples by domain after the inverter: the rows `no_op` and `copy_synthesis`."""
        return {name: self.resynthesize(examples) for name, examples in self.test.items()}

    def resynthesize(self, examples: list[Example]) -> list[Example]:
        """Invert speech examples to waveforms and analyse these again; images are returned unchanged."""
        if self.spec.kind == "image":
            return examples
        waveforms = self.invert_clips([x.features for x in examples])
        return [self._with_waveform(x, y) for x, y in zip(examples, waveforms, strict=True)]

    def _with_waveform(self, example: Example, waveform: np.ndarray) -> Example:
        y = audio.normalize_level(waveform, self.spec.features)
        return dataclasses.replace(example, features=audio.log_mel(y, self.spec.features), waveform=y)

    def evaluate_direction(
        self,
        source: str,
        target: str,
        classifier: domain_classifier.DomainClassifier,
        accuracy: float = 1.0,
        on_row: Callable[[], object] = lambda: None,
    ) -> Direction:
        """Compute all rows of one direction, their table, and the verdict.

        Args:
          source: source domain.
          target: target domain.
          classifier: from :meth:`train_classifier`.
          accuracy: its lowest accuracy on the held-out files of a domain.
          on_row: called after each row, for a progress line.
        """
        results = self._translate(self.test[source], source, target)
        finite = model_results.replace_non_finite(results, self.spec)
        examples = {}
        for name, row in self._direction_rows(source, target, finite):
            examples[name] = row
            on_row()
        logits = {name: classifier.logits([x.features for x in row]) for name, row in examples.items()}
        index = self.spec.domains.index(target)
        evidence = Evidence(
            is_target={name: domain_classifier.class_indices(z) == index for name, z in logits.items()},
            target_log_odds={name: domain_classifier.log_odds(values, index) for name, values in logits.items()},
            similarity=row_scores.speaker_similarities(examples, self._read_speaker(target), self.spec),
            content_error=row_scores.content_errors(examples, self.test[source], self.spec),
            mcd_db=distances.parallel_distortions(examples, self.test[target], self.spec),
            accuracy=accuracy,
            diversity=row_scores.diversity(examples["model"], self.test[target], self.spec),
            is_neither=classifier.is_neither(logits),
            is_finite=model_results.are_finite(results),
            num_targets=len(self.test[target]),
        )
        sources, targets, training = self.test[source], self.test[target], self.training_examples[target]
        scores = direction_table.score_files(examples, evidence, sources, targets, self.spec)
        set_scores = direction_table.score_sets(examples, evidence, targets, training, self.spec, self.extractor)
        table, intervals = direction_table.make_table(scores, set_scores)
        return Direction(source, target, examples, scores, table, intervals, translation_verdict(evidence))

    def _read_speaker(self, domain: str) -> list[np.ndarray]:
        """Training recordings that represent the speaker of a domain, inverted where a file is gone; none of images."""
        if self.spec.kind == "image":
            return []
        examples = sample_examples(self.training_examples[domain], MAX_SPEAKER_RECORDINGS)
        pairs = ((x, read_waveform(x, self.spec)) for x in examples)
        return [self.resynthesize([x])[0].waveform if y is None else y for x, y in pairs]

    def _direction_rows(self, source: str, target: str, results: list[Example]) -> Iterator[tuple[str, list[Example]]]:
        """Yield the rows, in the order of `ROWS`; `results` are those of the model, before the inverter."""
        yield "no_op", self.resynthesized_test[source]
        if self.spec.kind == "audio":
            for name, translated in closed_form.translate(self.test[source], source, target, self.spec).items():
                yield name, self.resynthesize(translated)
        yield "model", self.resynthesize(results)
        yield "copy_synthesis", self.resynthesized_test[target]

    def _translate(self, examples: list[Example], source: str, target: str) -> list[Example]:
        return model_results.translate(self.model, examples, source, target)
