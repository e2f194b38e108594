"""The sample job: the prior, the mixture model and completeness."""

import numpy as np
import pytest

from models import outliers
from pipelines.exploration import sample

KINDS = pytest.mark.parametrize("kind", ["pictures", "speech"])


@KINDS
def test_samples_are_scored_against_the_data(run_job, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "MIN_UNITS", 5)
    monkeypatch.setattr(outliers, "threshold", lambda scores, _: float(np.max(scores)))  # for fewer files than required
    numbers, rows, page = run_job("sample", kind, count=2)
    assert [row["from"] for row in rows] == ["held out", "reconstructed", "prior", "truncated", "mixture", "noise"]
    table = numbers["samples"]
    assert table["reconstructed"]["accepted"] >= 0.6 > table["noise"]["accepted"] == 0
    assert numbers["completeness"] == table["prior"]["accepted"]
    assert 0 <= numbers["posterior"]["active_units"] <= 4 == numbers["posterior"]["latent"]
    assert len(list(tmp_path.glob("samples/*.wav"))) == page.count("<audio") == (6 if kind == "speech" else 0)


def test_completeness_needs_enough_files(run_job):
    with pytest.raises(ValueError, match=r"11 images or windows in a split of .*; wanted 20 or more"):
        run_job("sample", "pictures")


def test_a_mixture_finds_the_clusters(rng):
    codes = rng.normal(size=(400, 2)) + np.where(np.arange(400) % 2, -8, 8)[:, None]
    mixture = sample.fit_mixture(codes, 0)
    assert mixture.n_components == 2
    drawn = sample.sample_codes(2, mixture, 0)
    assert np.abs(drawn["truncated"]).max() <= 1 < np.abs(drawn["prior"]).max()
    assert np.abs(drawn["mixture"].mean(axis=1)).min() > 4
    assert set(np.sign(drawn["mixture"][:20, 0])) == {-1, 1}  # the page shows the first ones
