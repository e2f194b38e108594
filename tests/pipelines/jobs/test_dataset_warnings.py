"""What a user is warned of after `preprocess`."""

import json
import pathlib

import pytest
from testbed import SMALL

from pipelines.beam import rows
from pipelines.data.domains import Domain
from pipelines.jobs import dataset_warnings
from pipelines.jobs.preprocess_job import PreprocessJob

ROWS = [
    {"domain": "a", "split": "train", "active": [9], "notes": [], "path": "x.wav"},
    {"domain": "a", "split": "val", "active": [0], "notes": ["nothing sounds"], "path": "y.wav"},
]


@pytest.fixture
def job(tmp_path):
    domains = (Domain("a", "a/", ignored="3 files with other extensions (3 .txt)"),)
    return PreprocessJob("audio", SMALL, domains, str(tmp_path), (0.2, 0.2), "file")


def test_counts_follow_the_rows_that_pass():
    counts = dataset_warnings.ManifestCounts()
    assert list(counts.count(ROWS)) == ROWS
    assert (counts.sources, counts.with_notes, counts.first_note) == (2, 1, "y.wav: nothing sounds")
    assert counts.by_split == {("a", "train"): 1, ("a", "val"): 1} and counts.with_sound == {("a", "train")}


def test_each_fault_of_the_data_is_one_warning(job):
    counts = dataset_warnings.ManifestCounts()
    list(counts.count(ROWS))
    work = rows.work_folder(job.data_dir)
    place = {"id": "a/x.wav", "hash": "0", "places": [["a", "train", "a/x.wav"], ["a", "val", "a/y.wav"]]}
    pathlib.Path(work).mkdir()
    pathlib.Path(work, "duplicates-00000").write_text(json.dumps(place) + "\n")
    ignored, notes, silent, empty, duplicates = dataset_warnings.warnings_of(job, counts)
    assert ignored == "ignored in a: 3 files with other extensions (3 .txt)"
    assert notes.startswith("1 files have notes") and notes.endswith("the first: y.wav: nothing sounds")
    assert silent == "a has only silent files in the val split: add files or raise --val_fraction"
    assert empty == "a has no file in the test split: add files or raise --test_fraction"
    assert duplicates.startswith("1 files have the same bytes in two splits, such as a/x.wav and a/y.wav")
