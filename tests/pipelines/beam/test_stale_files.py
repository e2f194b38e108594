"""Partial files of killed writers are deleted once nobody can be writing them any more."""

import os
import time

import pytest
import store
from apache_beam.io.filesystem import FileMetadata

from pipelines.beam import filesystem, stale_files

HOUR_S = 3600.0
PART = filesystem.PART_PREFIX


def test_old_partial_files_are_deleted_and_no_others(tmp_path):
    ages = {f"{PART}old": 3 * HOUR_S, f"{PART}new": HOUR_S, "old": 3 * HOUR_S, f"sub/{PART}old": 3 * HOUR_S}
    for name, age in ages.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, 2 * (time.time() - age,))
    stale_files.delete_partial_files(str(tmp_path), 2 * HOUR_S)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == ages.keys() - {f"{PART}old"}
    stale_files.delete_partial_files(str(tmp_path / "nowhere"), 2 * HOUR_S)


def test_on_a_store_the_time_of_the_listing_counts_and_a_file_without_one_remains(monkeypatch):
    now = time.time()
    times = {f"{PART}old": now - 3 * HOUR_S, f"{PART}new": now - HOUR_S, f"{PART}unknown": 0.0, "old": 1.0}
    objects = {f"store://b/c/{name}": b"" for name in times}
    monkeypatch.setattr(store, "OBJECTS", objects)
    monkeypatch.setattr(
        store.Store, "metadata", lambda _, path: FileMetadata(path, 0, times[path.removeprefix("store://b/c/")])
    )
    stale_files.delete_partial_files("store://b/c", 2 * HOUR_S)
    assert objects.keys() == {f"store://b/c/{name}" for name in times if name != f"{PART}old"}


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError])
def test_a_file_that_cannot_be_deleted_stops_nobody(tmp_path, monkeypatch, error):
    def refuse(path):
        raise error(path)

    for name in "ab":
        (tmp_path / f"{PART}{name}").write_text("")
        os.utime(tmp_path / f"{PART}{name}", (1, 1))
    monkeypatch.setattr(os, "remove", refuse)
    stale_files.delete_partial_files(str(tmp_path), HOUR_S)
