"""A grid of runs: each trained once, gone on with where it stopped, and drawn."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from testbed import train

from pipelines import run_directory
from pipelines.data import dataset, fingerprint
from pipelines.exploration import figures, job
from pipelines.exploration import sweep as sweep_job


@pytest.fixture
def swept(picture_records, tmp_path, monkeypatch):
    """Sweeps with trainings in this process; the points that were trained."""
    trained = []

    def trains(asked, point):
        sizes = {key: int(value) if value.isdigit() else value for key, value in point.values}
        train(f"{asked.run_dir}/{point.name}", picture_records, point.plugin, **sizes).fit()
        trained.append(point.name)
        with open(sweep_job._marker(asked, point), "w") as file:
            json.dump(sweep_job._command(asked, point), file)

    def sweep(*flags, **options):
        trained.clear()
        folder = {"run_dir": str(tmp_path / "runs"), "data_dir": picture_records, "output_dir": str(tmp_path / "out")}
        asked = job.Asked(do="sweep", grid=flags, plugins=("ae",), processes=1, **folder, **options)
        job.explore(asked)
        return sorted(trained), json.loads((tmp_path / "out" / "sweep.json").read_text())

    monkeypatch.setattr(sweep_job, "_train", trains)
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


def test_a_key_of_words_has_rows_and_no_curve(swept, tmp_path):
    _, numbers = swept("decay=cosine,constant", "latent=2")
    assert [row["decay"] for row in numbers["means"]] == ["cosine", "constant"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "By latent" in page and "By decay" not in page


def test_a_place_of_zero_is_drawn_on_a_plain_axis():
    for places in ([0.0, 1.0, 4.0], [1.0, 2.0, 4.0]):
        assert figures.curves("", {"ae": (places, places, None)}, x="", y="", log=True).png


@pytest.mark.parametrize("flag", ["latent", "latent=", "=2", "latent=2,,4"])
def test_a_grid_that_is_none_is_refused(flag):
    with pytest.raises(ValueError, match="wanted KEY=VALUE,VALUE"):
        sweep_job.grid(["ae"], [flag])


def test_a_run_that_was_told_something_else_is_trained_again(tmp_path):
    (point,) = sweep_job.grid(["ae"], ["latent=2"])
    asked = job.Asked(do="sweep", run_dir=str(tmp_path), data_dir="x", output_dir="")
    assert sweep_job._done(asked, point) is None
    (tmp_path / point.name).mkdir()
    (tmp_path / point.name / "swept.json").write_text(json.dumps(sweep_job._command(asked, point)))
    assert sweep_job._done(asked, point) == sweep_job._command(asked, point)
    longer = dataclasses.replace(asked, training=("steps=9",))
    assert sweep_job._done(longer, point) != sweep_job._command(longer, point)


def test_a_run_on_other_records_is_trained_again(picture_records, tmp_path):
    (point,) = sweep_job.grid(["ae"], ["latent=2"])
    asked = job.Asked(do="sweep", run_dir=str(tmp_path), data_dir=picture_records, output_dir="")
    data = dataset.open_records(picture_records)
    for kept, stale in ((data.sources, False), (data.sources[1:], True)):
        made = fingerprint.records_fingerprint(data.spec, kept)
        run = run_directory.Run(plugin="ae", preset="small", config={}, data_dir="", spec={}, records=made)
        run_directory.write_run(str(tmp_path / point.name), run)
        assert sweep_job._stale(asked, point) == stale


def test_keys_that_train_has_flags_for_become_flags():
    (point,) = sweep_job.grid(["vae"], ["latent=2", "beta=4", "seed=3"])
    assert point.flags() == ["--plugin=vae", "--set=latent=2", "--set=beta=4", "--seed=3"]


def test_a_training_that_fails_says_why(picture_records, tmp_path):
    asked = {"run_dir": str(tmp_path), "data_dir": picture_records, "output_dir": str(tmp_path / "out")}
    with pytest.raises(ValueError, match=r"train .*--set=latent=0.* exit code 2: error: latent=0; wanted"):
        job.explore(job.Asked(do="sweep", grid=("latent=0",), plugins=("ae",), **asked))


def test_a_point_that_cannot_be_is_refused_before_any_is_trained(tmp_path):
    asked = {"run_dir": str(tmp_path / "runs"), "data_dir": "x", "output_dir": str(tmp_path / "out")}
    for flag, said in (("latent=2,zero", "latent='zero'; wanted a whole"), ("latnet=2", "did you mean latent")):
        with pytest.raises(ValueError, match=said):
            job.explore(job.Asked(do="sweep", grid=(flag,), plugins=("ae",), **asked))
    assert not (tmp_path / "runs").exists()


def test_a_job_that_is_none_is_refused():
    with pytest.raises(ValueError, match="--do=sampel: no such job; did you mean sample"):
        job.explore(job.Asked(do="sampel", run_dir="", data_dir="", output_dir=""))
