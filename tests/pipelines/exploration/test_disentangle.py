"""The disentangle job: known factors, tables of labels, and missing factors."""

import pytest

from pipelines.data import dataset


def test_codes_are_scored_against_the_factors_that_drew_them(run_job):
    numbers, rows, _ = run_job("disentangle", "pictures", split="all")
    assert numbers["files"] == 60
    names = {"mig", "modularity", "sap", "factor_vae", "dci_disentanglement", "dci_completeness", "dci_informativeness"}
    assert set(rows[0]) == names and all(0 <= float(value) <= 1 for value in rows[0].values())
    assert set(numbers["gaps"]) == {"shape", "scale", "orientation", "x", "y"}


def test_scores_that_need_two_factors_are_left_out_for_one(run_job, runs, tmp_path):
    data, table = dataset.open_records(runs["speech"][1]), tmp_path / "labels.csv"
    table.write_text("id,voice\n" + "".join(f"{s.id},{s.domain}\n" for s in data.sources))
    numbers, _, _ = run_job("disentangle", "speech", split="all", labels=str(table))
    assert set(numbers["scores"]) == {"mig", "sap", "dci_completeness", "dci_informativeness"}
    table.write_text("id,rate\n" + "".join(f"{s.id},8000\n" for s in data.sources))
    with pytest.raises(ValueError, match="no factor varies"):
        run_job("disentangle", "speech", split="all", labels=str(table))


def test_factors_may_come_from_a_table(run_job, runs, tmp_path):
    data = dataset.open_records(runs["speech"][1])
    table = tmp_path / "labels.csv"
    table.write_text("id,rate,voice\n" + "".join(f"{s.id},8000,{s.domain}\n" for s in data.sources))
    numbers, _, _ = run_job("disentangle", "speech", split="all", labels=str(table))
    assert set(numbers["gaps"]) == {"voice"}  # what never varies has no gap, and takes no other's
    table.write_text("id,voice\nlow/clip_00.wav,low\n")
    with pytest.raises(ValueError, match=r"labels.csv: no row with the id low/clip_.*; 23 ids"):
        run_job("disentangle", "speech", split="all", labels=str(table))
    with pytest.raises(ValueError, match="no such file"):
        run_job("disentangle", "speech", split="all", labels=str(tmp_path / "none.csv"))


def test_without_factors_there_is_nothing_to_score(run_job):
    with pytest.raises(ValueError, match=r"factors of these files are unknown.*--labels"):
        run_job("disentangle", "speech", split="all")


def test_only_the_files_of_the_split_are_scored(run_job, runs):
    data = dataset.open_records(runs["pictures"][1])
    numbers, _, _ = run_job("disentangle", "pictures", split="train")
    assert numbers["files"] == sum(len(data.sources_of("train", name)) for name in data.spec.domains) < 60


def test_a_split_with_too_few_files_is_refused(run_job):
    with pytest.raises(ValueError, match=r"--split=val: \d files; wanted 10 or more, such as with --split=all"):
        run_job("disentangle", "speech", split="val")
