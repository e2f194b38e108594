"""Lists of JSON lines: one file as ever if they are short, several otherwise, and nothing of an earlier list."""

import json
import os

import pytest
import store

from pipelines.beam import filesystem
from pipelines.data import ignored_files, long_lists, part_names, tfrecord

NAME = "translations.jsonl"


def rows(count):
    return [{"path": f"é{n}", "output": f"{n:03d}.wav"} for n in range(count)]


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path, monkeypatch):
    monkeypatch.setattr(part_names, "MAX_LINES", 5)
    monkeypatch.setattr(store, "OBJECTS", {})
    return str(tmp_path) if request.param == "local" else "store://bucket/out"


def names(folder):
    return [os.path.basename(path) for path in filesystem.list_folder(folder)]


def content(folder):
    return b"".join(long_lists.read_lines(folder, NAME))


@pytest.mark.parametrize("count", [0, 1, 5, 6, 10, 11])
def test_a_list_has_the_same_lines_in_one_file_and_in_several(folder, count):
    long_lists.write_list(folder, NAME, iter(rows(count)))
    assert content(folder) == "".join(tfrecord.json_lines(rows(count))).encode()
    assert names(folder) == part_names.names_of(NAME, max(1, -(-count // 5)))
    assert list(ignored_files.read_output_names(folder)) == [row["output"] for row in rows(count)]


def test_a_new_list_replaces_one_of_another_length(folder):
    filesystem.write_text(f"{folder}/translations-more.jsonl", "another file")
    for count in (3, 17, 12, 0, 7, 2):
        long_lists.write_list(folder, NAME, rows(count))
        expected = part_names.names_of(NAME, max(1, -(-count // 5)))
        assert names(folder) == sorted([*expected, "translations-more.jsonl"])
        assert [json.loads(line) for line in content(folder).splitlines()] == rows(count)


def test_a_list_that_fails_leaves_the_earlier_one(folder):
    def failing():
        yield from rows(7)
        raise OSError("no rows")

    long_lists.write_list(folder, NAME, rows(2))
    with pytest.raises(OSError, match="no rows"):
        long_lists.write_list(folder, NAME, failing())
    assert names(folder) == [NAME] and [json.loads(line) for line in content(folder).splitlines()] == rows(2)


def test_results_of_both_forms_are_listed(folder):
    """As after a job that was killed between writing the new files and deleting the old ones."""
    long_lists.write_list(folder, NAME, rows(7))
    filesystem.write_text(f"{folder}/{NAME}", '{"output": "old.wav"}\n')
    assert set(ignored_files.read_output_names(folder)) == {"old.wav", *(row["output"] for row in rows(7))}
