"""An archive is opened once, by its content, and again when it has changed."""

import io
import os
import pathlib

import archive_files
import pytest

from models.errors import UserError
from pipelines.archives import open_archives


@pytest.fixture(autouse=True)
def _none_open(monkeypatch):
    monkeypatch.setattr(open_archives, "_archives", type(open_archives._archives)())


def read(path, name, open_remote=None):
    with open_archives.open_member(path, name, open_remote) as file:
        return file.read()


def test_a_remote_archive_is_downloaded_once(tmp_path):
    content, downloads = pathlib.Path(archive_files.write(tmp_path / "x.tgz", {"a": b"1", "b": b"2"})).read_bytes(), []
    for name in ("a", "b", "a"):
        read("store://bucket/x.tgz", name, lambda path: downloads.append(path) or io.BytesIO(content))
    assert downloads == ["store://bucket/x.tgz"] and open_archives.is_open("store://bucket/x.tgz")


def test_a_local_archive_that_has_changed_is_opened_again(tmp_path):
    path = archive_files.write(tmp_path / "x.zip", {"a": b"1"})
    assert read(path, "a") == b"1"
    archive_files.write(path, {"a": b"22"})
    assert read(path, "a") == b"22"
    with pytest.raises(UserError, match="no such file in the archive"):
        read(path, "b")


def test_the_content_decides_on_the_format(tmp_path):
    for wrong, right in (("a.tar", "b.zip"), ("c.tar.gz", "d.tar.xz"), ("e.tar", "f.tgz")):
        os.rename(archive_files.write(tmp_path / right, {"x": b"1"}), tmp_path / wrong)
        assert read(str(tmp_path / wrong), "x") == b"1"


def test_the_archive_that_was_not_used_for_longest_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(open_archives, "MAX_OPEN", 2)
    paths = [archive_files.write(tmp_path / f"{n}.zip", {"x": bytes([n])}) for n in range(3)]
    first = open_archives.open_archive(paths[0], None)
    open_archives.open_archive(paths[1], None)
    assert open_archives.open_archive(paths[0], None) is first
    open_archives.open_archive(paths[2], None)
    assert open_archives.open_archive(paths[0], None) is first and len(open_archives._archives) == 2
    assert read(paths[1], "x") == b"\1"
