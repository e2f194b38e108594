"""Tables of files: sorted, each path once, the same in memory and on disk."""

import glob
import random
import tempfile

import pytest

from pipelines.data import file_table
from pipelines.data.file_table import FileEntry, FileTable


@pytest.fixture
def small_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(file_table, "RUN_FILES", 7)
    monkeypatch.setattr(file_table, "MAX_RUNS", 3)
    monkeypatch.setattr(file_table, "LINE_FILES", 2)
    return tmp_path


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 14, 100])
def test_files_are_sorted_and_counted_whatever_their_number(small_runs, count):
    expected = [FileEntry(f"d/{n:03d}\udcff é.wav", n, speaker=f"s{n % 3}") for n in range(count)]
    table = FileTable(random.Random(0).sample(expected, count))
    assert list(table) == list(table) == expected
    assert len(table) == count and table.total_bytes == sum(range(count))


def test_the_first_of_several_files_with_one_path_counts(small_runs):
    table = FileTable(FileEntry(f"{n % 20:02d}", n) for n in range(90))
    assert [entry.size for entry in table] == list(range(20)) and table.total_bytes == sum(range(20))


def test_two_readers_do_not_disturb_each_other(small_runs):
    table = FileTable(FileEntry(f"{n:02d}", n) for n in range(60))
    assert all(one == other for one, other in zip(table, table, strict=True))
    assert FileEntry("59", 59) in table and FileEntry("59", 1) not in table


def test_one_temporary_file_lasts_as_long_as_the_table(small_runs):
    table = FileTable(FileEntry(f"{n:02d}", n) for n in range(60))
    assert len(glob.glob(f"{small_runs}/*")) == 1
    del table
    assert not glob.glob(f"{small_runs}/*")
