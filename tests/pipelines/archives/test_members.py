"""Names of members stay below a folder, and no member expands without bound."""

import pytest

from models.errors import UserError
from pipelines.archives import members
from pipelines.archives.members import Contents, Member

UNSAFE = [
    "",
    "/",
    ".",
    "/a",
    "..",
    "a/..",
    "../a",
    "a/../b",
    "\\\\host\\a",
    "..\\a",
    "C:\\a",
    "c:/a",
    "a\0b",
    256 * "a",
]


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_could_leave_a_folder_is_excluded_and_counted(name):
    contents = Contents()
    contents.add(name, Member(1, 0))
    assert contents.excluded == [(members.UNSAFE_NAME, name)] and not contents.members


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("./a//b.wav", "a/b.wav"),
        ("a\\b.wav", "a/b.wav"),
        ("...", "..."),
        ("tab\t\n.wav", "tab\t\n.wav"),
        (255 * "a",) * 2,
    ],
)
def test_any_other_name_is_a_path_with_slashes(name, safe):
    assert members.safe_name(name) == safe


def test_the_last_member_of_a_name_counts():
    contents = Contents()
    for position, name in enumerate(["a", "b", "./a"]):
        contents.add(name, Member(1, position))
    assert {name: member.position for name, member in contents.members.items()} == {"a": 2, "b": 1}
    assert contents.excluded == [(members.DUPLICATE, "./a")]


def test_data_expands_up_to_its_limit():
    assert list(members.limited([b"ab", b"c"], 3)) == [b"ab", b"c"]
    blocks = members.limited([b"ab", b"cd"], 3)
    assert [next(blocks), next(blocks)] == [b"ab", b"c"]
    with pytest.raises(UserError, match="more than 3 bytes"):
        next(blocks)
    assert members.max_expanded_bytes(10) == members.UNCHECKED_BYTES
    assert members.max_expanded_bytes(1 << 30) == members.MAX_EXPANSION << 30
