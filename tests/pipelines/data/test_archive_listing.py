"""Members of archives are files of a listing, by the rules of folders; all others are counted with the reason."""

import os
import pathlib
import tarfile

import archive_files
import pytest
import store

from pipelines.archives import members, open_archives
from pipelines.beam import filesystem
from pipelines.data import file_listing, ignored_files

SUFFIXES = (".wav", ".png")
MEMBERS = {
    "./s1/b.wav": archive_files.wav(1),
    "s0/[a]*.WAV": archive_files.wav(2),
    "s0/n.txt": b"x",
    "inner.zip": b"x",
    "__MACOSX/s1/._b.wav": b"x",
    "../evil.wav": b"x",
}
LISTED = ["s0/[a]*.WAV", "s1/b.wav"]


def listed(*patterns):
    return file_listing.list_files(patterns, SUFFIXES)


@pytest.mark.parametrize("suffix", [".zip", *archive_files.TAR_MODES])
@pytest.mark.parametrize("form", ["{}", "{}/", "{}/**.[wW][aA][vV]"])
def test_an_archive_stands_for_the_known_files_in_it(tmp_path, suffix, form):
    path = archive_files.write(tmp_path / f"clips{suffix}", MEMBERS)
    listing = listed(form.format(path))
    assert listing.paths == [f"{path}/{name}" for name in LISTED] and listing.root == f"{path}/"
    assert listing.total_bytes == 2 * len(archive_files.wav())
    counts = {ignored_files.METADATA: 1, members.UNSAFE_NAME: 1} | ({} if "*" in form else {ignored_files.EXTENSION: 2})
    assert listing.ignored.counts == counts
    for path in listing.paths:
        with filesystem.open_file(path) as file:
            assert file.read(4) == b"RIFF"


def test_a_glob_of_archives_reads_each_and_a_folder_ignores_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive_files.write("b.tar", MEMBERS)
    archive_files.write("a.zip", {"x.wav": b"x"})
    (tmp_path / "c.wav").write_bytes(b"x")
    assert listed("*").paths == ["a.zip/x.wav", *(f"b.tar/{name}" for name in LISTED), "c.wav"]
    assert listed("*.tar").root == ""
    folder = listed(".")
    assert folder.paths == ["./c.wav"]
    assert folder.ignored.summary().startswith("2 files with other extensions (1 .tar, 1 .zip)")
    assert file_listing.glob_files("*") == ["a.zip", "b.tar", "c.wav"]


def test_a_folder_or_a_file_in_an_archive_can_be_named(tmp_path):
    path = archive_files.write(tmp_path / "clips.zip", MEMBERS)
    assert listed(f"{path}/s0").paths == listed(f"{path}/s0/[[]a*").paths == [f"{path}/s0/[a]*.WAV"]
    assert listed(f"{path}/s0/[a]*.WAV").paths == [f"{path}/s0/[a]*.WAV"]
    assert listed(f"{path}/s0").root == f"{path}/s0/"
    assert listed(f"{path}/s0/n.txt").paths == [f"{path}/s0/n.txt"]
    assert listed(f"{path}/s2").paths == []


def test_an_archive_under_two_names_is_listed_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive_files.write("a.zip", {"s/x.wav": b"x"})
    os.symlink("a.zip", "b.zip")
    listing = listed("a.zip", "./*.zip")
    assert listing.paths == ["a.zip/s/x.wav"] and listing.ignored.counts == {ignored_files.LISTED_FILE: 2}


def test_a_folder_with_the_name_of_an_archive_is_a_folder(tmp_path):
    (tmp_path / "x.zip").mkdir()
    (tmp_path / "x.zip" / "a.wav").write_bytes(b"x")
    assert listed(str(tmp_path / "x.zip")).paths == listed(f"{tmp_path}/*").paths == [f"{tmp_path}/x.zip/a.wav"]


def test_what_cannot_be_read_of_archives_is_counted_with_the_reason(tmp_path):
    archive_files.write(tmp_path / "good.tar", {"a.wav": b"x", "b.wav": {"type": tarfile.SYMTYPE, "linkname": "/"}})
    whole = (tmp_path / "good.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:1400])
    (tmp_path / "none.zip").write_bytes(b"no archive")
    (tmp_path / "empty.tar").write_bytes(bytes(10240))
    os.mkfifo(tmp_path / "pipe.zip")
    listing = listed(f"{tmp_path}/*")
    assert listing.paths == [f"{tmp_path}/cut.tar/a.wav", f"{tmp_path}/good.tar/a.wav"]
    reasons = [ignored_files.DAMAGED_ARCHIVE, ignored_files.UNREADABLE_ARCHIVE, ignored_files.EMPTY_ARCHIVE]
    assert listing.ignored.counts == dict.fromkeys([*reasons, ignored_files.IRREGULAR, members.SPECIAL], 1)
    with pytest.raises(ValueError, match="none.zip: not readable as a zip archive"):
        file_listing.require_files("no file matches", listed(f"{tmp_path}/none.zip"))


def test_an_archive_that_is_damaged_in_the_middle_is_listed_up_to_there_with_one_line(tmp_path):
    names = ["a.wav", "b.wav", "c.wav"]
    path = tmp_path / "x.tar"
    archive_files.write(path, dict.fromkeys(names, b"x"))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"b.wav", b"B.wav"))
    listing = listed(str(path))
    assert listing.paths == [f"{path}/a.wav"]
    assert listing.ignored.summary() == (
        f"1 {ignored_files.DAMAGED_ARCHIVE} (the first: {path}: the header at byte 1024 is damaged, and members from "
        "there on are lost)"
    )


@pytest.mark.parametrize("pattern", ["store://b/x.tar.gz", "store://b/*.gz"])
def test_a_remote_archive_is_listed_and_read(tmp_path, monkeypatch, pattern):
    monkeypatch.setattr(open_archives, "_archives", type(open_archives._archives)())
    monkeypatch.setattr(store, "OBJECTS", {})
    store.OBJECTS["store://b/x.tar.gz"] = pathlib.Path(archive_files.write(tmp_path / "x.tar.gz", MEMBERS)).read_bytes()
    listing = listed(pattern)
    assert listing.paths == [f"store://b/x.tar.gz/{name}" for name in LISTED]
    with filesystem.open_file(listing.paths[1]) as file:
        assert file.read() == MEMBERS["./s1/b.wav"]
    assert listed("store://b").paths == []
