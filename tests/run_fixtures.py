"""Fixtures of trained models that the tests of several modules use."""

import csv
import json
import re

import pytest
import tensorflow as tf
from testbed import preprocess, train, write_voices

from pipelines.beam import runner
from pipelines.data import front_end
from pipelines.data.domains import read_domains
from pipelines.exploration import job as exploration_job
from pipelines.exploration import latent_model
from pipelines.exploration import outliers as outliers_job
from pipelines.export import waveform_signatures
from pipelines.jobs import dataset_writer, preprocess_job


@pytest.fixture(scope="session")
def factor_records(tmp_path_factory):
    """Records of small generated images with known factors."""
    data_dir = str(tmp_path_factory.mktemp("records") / "drawn")
    domains = read_domains(["drawn=factors:pictures/60"], data_dir)
    spec = front_end.infer_spec("image", domains, ["height=16", "width=16"])
    dataset_writer.write_dataset(
        preprocess_job.PreprocessJob("image", spec, domains, data_dir, (0.2, 0.2), "file"), runner.parse_options([])
    )
    return data_dir


@pytest.fixture(scope="session")
def runs(factor_records, speech_records, tmp_path_factory):
    """Records and a run by kind: `vae` on pictures, `ae` on speech."""
    folder = tmp_path_factory.mktemp("runs")
    train(str(folder / "pictures"), factor_records, "vae", latent=4, steps=2).fit()
    train(str(folder / "speech"), speech_records, "ae", latent=4, steps=2).fit()
    return {"pictures": (str(folder / "pictures"), factor_records), "speech": (str(folder / "speech"), speech_records)}


@pytest.fixture
def run_job(runs, tmp_path):
    """Runs a job; returns the content of its JSON, CSV and HTML files."""

    def explore(do, kind, **options):
        run_dir, data_dir = runs[kind]
        options = {"data_dir": data_dir, "output_dir": str(tmp_path), **options}
        result = exploration_job.explore(exploration_job.JobConfig(do=do, run_dir=run_dir, **options))
        numbers = json.loads((tmp_path / f"{do}.json").read_text())
        with open(tmp_path / f"{do}.csv") as file:
            rows = list(csv.DictReader(file))
        page = (tmp_path / "report.html").read_text()
        assert len(rows) == len(result.rows) > 0 and result.summary in page
        assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
        return numbers, rows, page

    return explore


@pytest.fixture
def latent(runs):
    def load(kind, **options):
        run_dir, data_dir = runs[kind]
        return latent_model.LatentModel(
            exploration_job.JobConfig(do="sample", run_dir=run_dir, data_dir=data_dir, output_dir="", **options)
        )

    return load


@pytest.fixture
def low_thresholds(monkeypatch):
    """Thresholds by the few held-out files that there are."""
    monkeypatch.setattr(outliers_job, "MIN_HELD_OUT", 2)
    monkeypatch.setattr(outliers_job, "MAX_OOD_FILES", 16)


@pytest.fixture
def outlier_run(run_job, runs, low_thresholds):
    """A run with a detector, and the output of the job."""
    numbers, rows, page = run_job("outliers", "pictures", false_positive_rate=0.3, count=2)
    return runs["pictures"][0], numbers, rows, page


@pytest.fixture(scope="session")
def held_out(tmp_path_factory):
    """Records of voices that no run was trained on, all in the test split."""
    folder, data_dir = (tmp_path_factory.mktemp("records") / name for name in ("voices", "held_out"))
    write_voices(folder, 12, seed=100)
    preprocess(folder, data_dir, ("low", "high"), pairs=["n_fft=256", "n_mels=32"], fractions=(0.0, 1.0))
    return str(data_dir)


@pytest.fixture(scope="session")
def default_records(tmp_path_factory):
    """Records of two voices with the default front end at 8 kHz, half of them in the test split."""
    folder, data_dir = (tmp_path_factory.mktemp("records") / name for name in ("voices", "defaults"))
    write_voices(folder, 6)
    preprocess(folder, data_dir, ("low", "high"), fractions=(0.0, 0.5))
    return str(data_dir)


@pytest.fixture(scope="session")
def default_run(default_records, tmp_path_factory):
    """A run of `cyclegan` on these, two steps long, exported with one signature for waveforms."""
    run_dir = str(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waveform_signatures, "SPEECH_SIGNATURES", ("translate_ab",))
        train(run_dir, default_records).fit()
    return run_dir


@pytest.fixture(scope="session")
def exported(speech_run):
    return tf.saved_model.load(f"{speech_run}/export").signatures
