"""A path names a member only where no file could be, and keeps its meaning where a folder has an archive's name."""

import pytest

from pipelines.archives import archive_paths


@pytest.mark.parametrize("suffix", archive_paths.SUFFIXES)
def test_a_member_is_what_follows_the_first_archive_that_is_a_file(suffix):
    assert archive_paths.is_archive(f"a/clips{suffix}") and not archive_paths.is_archive(f"a/clips{suffix}/x.wav")
    path = f"a{suffix}/b{suffix}/c/x.wav"
    assert archive_paths.split(path, lambda name: True) == (f"a{suffix}", f"b{suffix}/c/x.wav")
    assert archive_paths.split(path, lambda name: name.endswith(f"b{suffix}")) == (
        f"a{suffix}/b{suffix}",
        "c/x.wav",
    )
    assert archive_paths.split(path, lambda name: False) is None


@pytest.mark.parametrize("path", ["a/x.wav", ".zip/x.wav", "a.zipped/x.wav", "zip/x.wav", "a/x.gz"])
def test_no_file_system_is_asked_about_other_paths(path):
    assert archive_paths.split(path, lambda name: pytest.fail(name)) is None


def test_the_archive_itself_has_no_member():
    assert archive_paths.split("a.ZIP", lambda name: True) == ("a.ZIP", "")
    assert archive_paths.split("a.zip/", lambda name: True) == ("a.zip", "")
