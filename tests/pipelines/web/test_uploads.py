"""Names of uploads, and files of archives."""

import os
import zipfile

import pytest

from pipelines.web import uploads
from pipelines.web.limits import Limits
from pipelines.web.uploads import Upload


@pytest.fixture
def archive(tmp_path):
    """Writes an archive of files by name; returns it as an upload."""

    def write(contents, change=lambda content: content):
        path = tmp_path / "in.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in contents.items():
                file.writestr(name, content)
        path.write_bytes(change(path.read_bytes()))
        return Upload("set.zip", str(path))

    return write


@pytest.fixture
def expand(tmp_path):
    """Expands uploads below an empty folder; returns them."""

    def expand(*received, **limits):
        (tmp_path / "folder").mkdir(exist_ok=True)
        return list(uploads.expand_archives(received, str(tmp_path / "folder"), Limits(**limits)))

    return expand


def read(upload):
    with open(upload.path, "rb") as file:
        return file.read()


def test_files_of_an_archive_replace_it_and_others_stay(archive, expand, tmp_path):
    (tmp_path / "x").write_bytes(b"3")
    received = archive({"a.wav": b"1", "sub/": b"", "sub/a.wav": b"2"}), Upload("x.wav", str(tmp_path / "x"))
    assert {upload.name: read(upload) for upload in expand(*received)} == {
        "set/a.wav": b"1",
        "set/sub/a.wav": b"2",
        "x.wav": b"3",
    }


@pytest.mark.parametrize("name", ["../../evil.wav", "/etc/evil.wav", "..\\..\\evil.wav", "C:\\evil.wav", "a/../../b"])
def test_no_file_is_written_outside_of_the_folder(archive, expand, tmp_path, name):
    before = set(os.listdir(tmp_path)) | {"in.zip", "folder"}
    (upload,) = expand(archive({name: b"1"}))
    assert upload.name.startswith("set/") and ".." not in upload.name
    assert set(os.listdir(tmp_path)) == before and os.listdir(tmp_path / "folder") == [os.path.basename(upload.path)]


def test_long_names_are_shortened_and_keep_their_extension():
    name = uploads.relative_name("é" * 300 + "/" + "b" * 300 + ".flac")
    assert name.endswith(".flac") and all(len(part.encode()) <= 255 for part in name.split("/"))


def test_the_announced_size_of_an_archive_is_limited(archive, expand, tmp_path):
    bomb = archive({f"{n}.wav": bytes(10_000_000) for n in range(3)})
    assert os.path.getsize(bomb.path) < 100_000
    with pytest.raises(ValueError, match=r"set.zip: its files have 30.0 MB; at most 20 MB are accepted"):
        expand(bomb, max_megabytes=20)
    assert not os.listdir(tmp_path / "folder")


def test_a_file_larger_than_announced_is_an_error_of_that_file(archive, expand):
    size = (1000).to_bytes(4, "little")
    lying = archive({"a.wav": bytes(1000), "b.wav": b"1"}, lambda content: content.replace(size, b"\x0a\0\0\0"))
    damaged, good = expand(lying)
    assert damaged.error is not None and read(good) == b"1" and os.path.getsize(damaged.path) <= 10


def test_the_number_of_files_is_limited(archive, expand, tmp_path):
    many = archive({f"{n}.wav": b"" for n in range(50)})
    with pytest.raises(ValueError, match="set.zip: more than 40 files"):
        expand(many, max_files=40)
    with pytest.raises(ValueError, match="the batch: more than 1 files"):
        expand(Upload("a.wav", many.path), Upload("b.wav", many.path), max_files=1)


def test_a_table_of_contents_of_too_many_entries_is_not_read(archive, expand, monkeypatch):
    many = archive({f"{n}.wav": b"" for n in range(50)})
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(ValueError, match="set.zip: more than 10 files"):
        expand(many, max_files=10)


def test_an_encrypted_file_is_an_error_of_that_file(archive, expand):
    def set_flag(content):
        at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x01\x02"))
        return content[: at + 8] + b"\1" + content[at + 9 :]

    encrypted, good = expand(archive({"a.wav": b"1", "b.wav": b"2"}, set_flag))
    assert "encrypted" in str(encrypted.error) and read(good) == b"2"


def test_an_archive_that_is_none_is_refused(tmp_path, expand):
    (tmp_path / "x").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="x.zip: not readable as a zip archive: File is not a zip file"):
        expand(Upload("x.zip", str(tmp_path / "x")))


def test_files_of_other_kinds_and_of_tools_are_ignored_and_equal_names_told_apart():
    names = ["a.wav", "a.wav", "b.txt", "__MACOSX/a.wav", "s/._a.wav", "s/a.FLAC", "c.png"]
    selected, ignored = uploads.select_files([Upload(name, name) for name in names], "audio")
    assert [upload.name for upload in selected] == ["a.wav", "a (2).wav", "s/a.FLAC"]
    assert ignored.summary().startswith("2 files with other extensions (1 .png, 1 .txt); 2 metadata files")
