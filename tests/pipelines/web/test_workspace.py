"""Temporary files: who may use them, and when they are deleted."""

import os
import pathlib

import pytest

from pipelines.web.workspace import Workspace


@pytest.fixture
def files():
    with Workspace() as workspace:
        yield workspace


def upload(workspace, content=b"x"):
    path = pathlib.Path(workspace.uploads) / "abc" / "x.wav"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_everything_is_deleted_at_the_end():
    with Workspace() as workspace:
        upload(workspace)
    assert not os.path.exists(workspace.root)


def test_an_upload_is_taken_once(files):
    path = upload(files)
    with files.conversion() as folder:
        files.take_upload(str(path), f"{folder}/0")
        assert pathlib.Path(folder, "0").read_bytes() == b"x" and not path.parent.exists()
        with pytest.raises(ValueError, match="choose the file again"):
            files.take_upload(str(path), f"{folder}/1")
    assert not os.path.exists(folder)


@pytest.mark.parametrize("path", ["/etc/passwd", "uploads/../results/secret", "uploads/link", "uploads/abc"])
def test_no_other_file_is_taken(files, path, tmp_path):
    upload(files)
    for target in (pathlib.Path(files.results) / "secret", tmp_path / "secret"):
        target.write_text("somebody's")
    os.symlink(tmp_path / "secret", os.path.join(files.uploads, "link"))
    with pytest.raises(ValueError, match="choose the file again"):
        files.take_upload(os.path.join(files.root, path), str(tmp_path / "taken"))
    assert not (tmp_path / "taken").exists()


def test_a_result_has_an_address_of_its_own(files, tmp_path):
    (tmp_path / "0").write_bytes(b"result")
    folder, token, name = files.publish(str(tmp_path / "0"), "a b.wav").split("/")
    assert (folder, name) == ("results", "a%20b.wav") and len(token) >= 32
    assert pathlib.Path(files.take_result(token)).read_bytes() == b"result"
    assert all(files.take_result(name) is None for name in (token, "", "..", "x"))


def test_what_nobody_uses_is_deleted_after_a_time(files, tmp_path):
    path = upload(files)
    (tmp_path / "0").write_bytes(b"result")
    token = files.publish(str(tmp_path / "0"), "x.wav").split("/")[1]
    with files.conversion() as folder:
        pathlib.Path(folder, "0").write_bytes(b"in use")
        files.sweep()
        assert path.exists() and os.listdir(files.results) == [token]
        files.sweep(max_age_s=-1)
        assert not path.parent.exists() and not os.listdir(files.results)
        assert os.listdir(folder) == ["0"]
