"""Debiasing: resampling weights from codes, and their effect on groups."""

import csv
import dataclasses
import json
import types

import numpy as np
import pytest
from testbed import preprocess, train

from models.features import image
from pipelines.data import dataset, sample_weights
from pipelines.exploration import debias, job, latent_model


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """Records of two domains, bright and dark; one in eight of each is of the group "striped"."""
    folder = tmp_path_factory.mktemp("grouped")
    for name, level in (("bright", 200), ("dark", 40)):
        for n in range(48):
            rng = np.random.default_rng(n)
            pixels = np.clip(level + rng.normal(0, 5, (16, 16, 1)), 0, 255).astype(np.uint8)
            group = "plain" if n % 8 else "striped"
            pixels[:: 2 if group == "striped" else 99] = 120
            (folder / name / group).mkdir(parents=True, exist_ok=True)
            image.write(str(folder / name / group / f"{n:02d}.png"), pixels)
    preprocess(folder, folder / "records", ["bright", "dark"])
    return str(folder / "records")


@pytest.fixture(scope="module")
def runs(grouped, speech_records, tmp_path_factory):
    """Records and a run by plugin."""
    runs = {}
    for plugin, data_dir, steps in (("db_vae", grouped, 40), ("ae", speech_records, 2)):
        runs[plugin] = str(tmp_path_factory.mktemp("run")), data_dir
        train(runs[plugin][0], data_dir, plugin, latent=3, steps=steps, batch_size=8, learning_rate=3e-3).fit()
    return runs


def debiased(runs, plugin, folder, **options):
    run_dir, data_dir = runs[plugin]
    paths = {"run_dir": run_dir, "data_dir": data_dir, "output_dir": str(folder), "weights": str(folder / "w.csv")}
    job.explore(job.JobConfig(do="debias", count=2, **{**paths, **options}))
    return json.loads((folder / "debias.json").read_text())


def test_a_file_of_weights_that_cannot_be_written_is_refused_before_the_records_are_read(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(latent_model.LatentModel, "encode", lambda *_: pytest.fail("the job has begun"))
    with pytest.raises(ValueError, match="--weights=.* is a folder; wanted a file"):
        debiased(runs, "ae", tmp_path, weights=str(tmp_path))


def test_the_rare_group_is_drawn_more_often(runs, tmp_path):
    numbers = debiased(runs, "db_vae", tmp_path, alpha=1e-3)
    groups = numbers["groups"]
    assert groups.keys() == {"plain", "striped"}
    assert groups["striped"]["drawn"] > 1.3 * groups["striped"]["share"]
    for column in ("share", "drawn"):
        assert sum(row[column] for row in groups.values()) == pytest.approx(1)
    accuracy = numbers["accuracy"]["plugin"]
    assert 0 <= accuracy["worst"] <= accuracy["overall"] <= 1
    effective = [row["effective_share"] for row in numbers["alphas"]]
    assert effective == sorted(effective) and effective[-1] > 0.95
    assert "Least represented" in (tmp_path / "report.html").read_text()


def test_training_accepts_the_sidecar(runs, tmp_path, capsys):
    for alpha, warned in ((1.0, False), (1e-3, True), (1e-3, False)):
        debiased(runs, "db_vae", tmp_path, alpha=alpha)
        assert ("w.csv holds other weights, which are replaced" in capsys.readouterr().err) == warned
    data = dataset.open_records(runs["db_vae"][1])
    weights = sample_weights.read_weights(str(tmp_path / "w.csv"), data.sources)
    for domain in data.spec.domains:
        domain_weights = [weights[source.id, 0] for source in data.sources_of("train", domain)]
        assert np.mean(domain_weights) == pytest.approx(1, abs=1e-3) and min(domain_weights) > 0
    weighted = dataclasses.replace(data, weights=weights)
    trainer = train(str(tmp_path / "run"), runs["db_vae"][1], "ae", latent=2)
    trainer.loader.data = weighted
    assert np.isfinite(list(trainer.fit().values())).all()


def test_an_autoencoder_of_speech_is_probed(runs, tmp_path):
    labels = tmp_path / "labels.csv"
    data = dataset.open_records(runs["ae"][1])
    rows = "".join(f"{s.id},{'even' if n % 2 else 'odd'}\n" for n, s in enumerate(data.sources))
    labels.write_text("id,group\n" + rows)
    numbers = debiased(runs, "ae", tmp_path, labels=str(labels))
    assert set(numbers["accuracy"]) == {"probe", "weighted_probe"} and set(numbers["groups"]) == {"even", "odd"}
    with open(tmp_path / "debias.csv") as file:
        assert {row["group"] for row in csv.DictReader(file)} == {"even", "odd"}
    assert sample_weights.read_weights(str(tmp_path / "w.csv"), data.sources)
    labels.write_text("id,group\nlow/x,even\n")
    with pytest.raises(ValueError, match=r"labels.csv: no row with the id low/clip_\d+.wav; \d+ ids"):
        debiased(runs, "ae", tmp_path, labels=str(labels))


def test_sampling_shares_follow_the_crops_of_training():
    source = dataclasses.make_dataclass("Source", ["domain", "active"])
    files = [latent_model.File(source("a", active), None, None, None) for active in ([16], [16], [40, 30])]
    model = types.SimpleNamespace(window_frames=32, spec=types.SimpleNamespace(kind="audio"))
    np.testing.assert_allclose(debias.sampling_shares(model, files, np.ones(3)), [0.25, 0.25, 0.5])


def test_weights_of_domains_without_codes_are_one(runs, monkeypatch):
    class Coded:
        plugin_config = {"encoded_domain": "b"}
        job_config = job.JobConfig(do="debias", run_dir="", data_dir="", output_dir="")
        data = dataset.Records("", dataset.Spec(None, ("a", "b"), {}), ())

    class File:
        def __init__(self, domain):
            self.units, self.source = np.zeros((1, 2)), dataclasses.make_dataclass("Source", ["domain"])(domain)

    files = [File(domain) for domain in "aaabbb"]
    codes = [np.array([[float(n == 5)]]) for n in range(6)]
    weights = np.concatenate(debias.unit_weights(Coded, files, codes, 0.0))
    np.testing.assert_allclose(weights, [1, 1, 1, 0.75, 0.75, 1.5])
