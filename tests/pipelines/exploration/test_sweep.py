"""Sweeps: every run of a grid is trained once, resumed if incomplete, and plotted."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from testbed import train

import plugins
from pipelines import config, run_directory
from pipelines.data import dataset, fingerprint
from pipelines.exploration import figures, job
from pipelines.exploration import sweep as sweep_job


@pytest.fixture
def swept(picture_records, tmp_path, monkeypatch):
    """A sweep that trains in this process; returns the points that were trained."""
    trained = []

    def train_point(job_config, point):
        values = config.parse_pairs(plugins.load(point.plugin).Config, map("=".join, point.values))
        train(f"{job_config.run_dir}/{point.name}", picture_records, point.plugin, **values).fit()
        trained.append(point.name)
        with open(sweep_job._marker_path(job_config, point), "w") as file:
            json.dump(sweep_job._command(job_config, point), file)

    def sweep(*flags, **options):
        trained.clear()
        folder = {"run_dir": str(tmp_path / "runs"), "data_dir": picture_records, "output_dir": str(tmp_path / "out")}
        job_config = job.JobConfig(do="sweep", grid=flags, plugins=("ae",), processes=1, **folder, **options)
        job.explore(job_config)
        return sorted(trained), json.loads((tmp_path / "out" / "sweep.json").read_text())

    monkeypatch.setattr(sweep_job, "_train_run", train_point)
    return sweep


def test_a_sweep_trains_every_point_once_and_draws_the_curve(swept, tmp_path):
    assert swept("latent=2,4", "seed=0")[0] == ["ae-latent=2-seed=0", "ae-latent=4-seed=0"]
    trained, numbers = swept("latent=2,4", "seed=0,1")
    assert trained == ["ae-latent=2-seed=1", "ae-latent=4-seed=1"]
    assert [(row["latent"], row["seeds"]) for row in numbers["means"]] == [(2, 2), (4, 2)]
    assert numbers["means"][0]["compression"] == 2 * numbers["means"][1]["compression"] == 16 * 16 * 3 / 2
    with open(tmp_path / "out" / "sweep.csv") as file:
        rows = list(csv.DictReader(file))
    first = [float(row["squared_error"]) for row in rows if row["latent"] == "2"]
    assert np.mean(first) == pytest.approx(numbers["means"][0]["squared_error"]) and first[0] != first[1]
    assert (tmp_path / "out" / "report.html").read_text().count("<figure>") == 4


def test_a_key_without_numeric_values_has_rows_and_no_curve(swept, tmp_path):
    _, numbers = swept("decay=cosine,constant", "latent=2")
    assert [row["decay"] for row in numbers["means"]] == ["cosine", "constant"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "By latent" in page and "By decay" not in page


def test_a_grid_may_use_the_old_name_of_a_key(swept):
    trained, numbers = swept("rate=0.001,0.002", "latent=2")
    assert trained == ["ae-rate=0.001-latent=2", "ae-rate=0.002-latent=2"]
    assert [row["rate"] for row in numbers["runs"]] == [0.001, 0.002]


def test_x_values_of_zero_are_plotted_on_a_linear_axis():
    for positions in ([0.0, 1.0, 4.0], [1.0, 2.0, 4.0]):
        assert figures.plot_curves("", {"ae": (positions, positions, None)}, x="", y="", log=True).picture


@pytest.mark.parametrize("flag", ["latent", "latent=", "=2", "latent=2,,4"])
def test_a_malformed_grid_is_refused(flag):
    with pytest.raises(ValueError, match="wanted KEY=VALUE,VALUE"):
        sweep_job.parse_grid(["ae"], [flag])


def test_a_run_with_other_arguments_is_trained_again(tmp_path):
    (point,) = sweep_job.parse_grid(["ae"], ["latent=2"])
    job_config = job.JobConfig(do="sweep", run_dir=str(tmp_path), data_dir="x", output_dir="")
    assert sweep_job._completed_command(job_config, point) is None
    (tmp_path / point.name).mkdir()
    (tmp_path / point.name / "swept.json").write_text(json.dumps(sweep_job._command(job_config, point)))
    assert sweep_job._completed_command(job_config, point) == sweep_job._command(job_config, point)
    longer = dataclasses.replace(job_config, training=("steps=9",))
    assert sweep_job._completed_command(longer, point) != sweep_job._command(longer, point)


def test_a_run_on_other_records_is_trained_again(picture_records, tmp_path):
    (point,) = sweep_job.parse_grid(["ae"], ["latent=2"])
    job_config = job.JobConfig(do="sweep", run_dir=str(tmp_path), data_dir=picture_records, output_dir="")
    data = dataset.open_records(picture_records)
    for sources, stale in ((data.sources, False), (data.sources[1:], True)):
        records = fingerprint.records_fingerprint(data.spec, sources)
        run = run_directory.Run(plugin="ae", preset="small", config={}, data_dir="", spec={}, records=records)
        run_directory.write_run(str(tmp_path / point.name), run)
        assert sweep_job._is_stale(job_config, point) == stale


def test_keys_with_a_flag_of_train_become_flags():
    (point,) = sweep_job.parse_grid(["vae"], ["latent=2", "beta=4", "seed=3"])
    assert point.flags() == ["--plugin=vae", "--set=latent=2", "--set=beta=4", "--seed=3"]


@pytest.mark.slow
def test_the_error_of_a_failed_training_is_reported(picture_records, tmp_path):
    paths = {"run_dir": str(tmp_path), "data_dir": picture_records, "output_dir": str(tmp_path / "out")}
    with pytest.raises(ValueError, match=r"train .*--set=latent=0.* exit code 2: error: latent=0; wanted"):
        job.explore(job.JobConfig(do="sweep", grid=("latent=0",), plugins=("ae",), **paths))


def test_an_invalid_point_is_refused_before_any_training(tmp_path):
    paths = {"run_dir": str(tmp_path / "runs"), "data_dir": "x", "output_dir": str(tmp_path / "out")}
    for flag, message in (("latent=2,zero", "latent='zero'; wanted a whole"), ("latnet=2", "did you mean latent")):
        with pytest.raises(ValueError, match=message):
            job.explore(job.JobConfig(do="sweep", grid=(flag,), plugins=("ae",), **paths))
    assert not (tmp_path / "runs").exists()


def test_an_unknown_job_is_refused():
    with pytest.raises(ValueError, match="--do=sampel: no such job; did you mean sample"):
        job.explore(job.JobConfig(do="sampel", run_dir="", data_dir="", output_dir=""))
