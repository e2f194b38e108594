"""File names of long lists: which files belong to one list, and which lists are incomplete."""

import pytest

from models.errors import UserError
from pipelines.data import part_names

NAME = "manifest.jsonl"


@pytest.mark.parametrize("count", [1, 2, 12])
def test_a_list_is_complete_with_all_of_its_files_in_their_order(count):
    names = part_names.names_of(NAME, count)
    others = ["manifest.json", "failures.jsonl", "xmanifest.jsonl", "manifest-0-of-1.jsonl", "manifest-x.jsonl"]
    assert part_names.complete([*others, *reversed(names)], NAME) == names
    assert part_names.parts([*others, *names], NAME) == names


def test_no_list_is_no_error():
    assert part_names.complete(["statistics.json"], NAME) == []


def test_a_list_that_lacks_a_file_is_refused():
    for missing in part_names.names_of(NAME, 3):
        names = set(part_names.names_of(NAME, 3)) - {missing}
        with pytest.raises(UserError, match=f"{missing} is missing"):
            part_names.complete(names, NAME)


@pytest.mark.parametrize("counts", [(1, 2), (2, 3)])
def test_files_of_two_lists_are_refused(counts):
    names = [name for count in counts for name in part_names.names_of(NAME, count)]
    with pytest.raises(UserError, match="are of two lists"):
        part_names.complete(names, NAME)
