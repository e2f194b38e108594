"""Names of uploads, and files of archives."""

import gc
import os
import re
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import archive_files
import pytest

from pipelines.archives import members, zip_directory
from pipelines.data import ignored_files
from pipelines.data.ignored_files import IgnoredFiles
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
def ignored():
    """Counts of what `expand` does not extract."""
    return IgnoredFiles()


@pytest.fixture
def expand(tmp_path, ignored):
    """Expands uploads below an empty folder; returns them."""

    def expand(*received, **limits):
        (tmp_path / "folder").mkdir(exist_ok=True)
        return list(uploads.expand_archives(received, str(tmp_path / "folder"), Limits(**limits), ignored))

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


@pytest.mark.parametrize("suffix", archive_files.TAR_MODES)
def test_tar_archives_are_expanded_too(expand, ignored, tmp_path, suffix):
    path = archive_files.write_tar(tmp_path / f"in{suffix}", {"./a.wav": b"1", "sub/a.wav": b"2"})
    received = expand(Upload(f"folder/set{suffix.upper()}", path))
    assert {upload.name: read(upload) for upload in received} == {
        "folder/set/a.wav": b"1",
        "folder/set/sub/a.wav": b"2",
    }
    assert not ignored.counts


@pytest.mark.parametrize("name", ["../../evil.wav", "/etc/evil.wav", "..\\..\\evil.wav", "C:\\evil.wav", "a/../../b"])
def test_a_file_of_an_unsafe_name_is_not_written_and_counted(archive, expand, ignored, tmp_path, name):
    before = set(os.listdir(tmp_path)) | {"in.zip", "folder"}
    (upload,) = expand(archive({name: b"1", "a.wav": b"2"}))
    assert upload.name == "set/a.wav" and read(upload) == b"2"
    assert set(os.listdir(tmp_path)) == before and os.listdir(tmp_path / "folder") == [os.path.basename(upload.path)]
    assert ignored.counts == {members.UNSAFE_NAME: 1} and f"set.zip/{name}" in ignored.examples.values()


def test_files_of_the_same_number_in_several_archives_have_files_of_their_own(expand, tmp_path):
    paths = [archive_files.write(tmp_path / f"{n}.zip", {f"{n}.wav": b"%d" % n}) for n in range(3)]
    assert [read(upload) for upload in expand(*(Upload(path, path) for path in paths))] == [b"0", b"1", b"2"]


def patched(content, name, at, form, value):
    """The archive with a field of the table of contents changed, at an offset in the entry of a member."""
    changed = bytearray(content)
    struct.pack_into(form, changed, changed.rindex(name) - zip_directory.ENTRY.size + at, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.replace("b\u00e9d".encode(), b"b\xff\xfed"), None),  # its flag says UTF-8
        (lambda content: patched(content, b"b\xc3\xa9d", 6, "<B", 99), None),  # a later version
        (lambda content: patched(content, b"b\xc3\xa9d", 10, "<H", 93), "compressed by method 93"),
        (lambda content: patched(content, b"b\xc3\xa9d", 16, "<I", 1), "damaged in the archive: Bad CRC"),
        (
            lambda content: patched(content, b"b\xc3\xa9d", 24, "<I", 1 << 31),
            "as the archive states, have 2147.5 MB; at",
        ),
        (lambda content: patched(content, b"b\xc3\xa9d", 24, "<I", 1 << 27), "states 134217728 bytes.* a bomb"),
        (lambda content: patched(content, b"b\xc3\xa9d", 42, "<I", 1), "damaged in the archive: its header is not"),
        (lambda content: patched(content, b"b\xc3\xa9d", 8, "<H", 0x801), "encrypted in the archive; unpack it first"),
    ],
    ids=["name", "version", "method", "checksum", "size", "bomb", "offset", "encrypted"],
)
def test_a_damaged_entry_costs_no_other_file(archive, expand, ignored, change, reason):
    first, damaged, last = expand(archive({"a.wav": b"1", "b\u00e9d.wav": b"2", "c.wav": b"3"}, change))
    assert [read(first), read(last)] == [b"1", b"3"] and not ignored.counts
    if reason is None:
        assert read(damaged) == b"2" and damaged.name in ("set/b\u00e9d.wav", "set/b\\xff\\xfed.wav")
    else:
        assert re.search(reason, str(damaged.error))


def test_what_is_not_extracted_is_counted_with_the_reason(expand, ignored, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(archive_files.zip_info("link.wav", kind=stat.S_IFLNK), "/etc/passwd")
        file.writestr(archive_files.zip_info("a.wav"), "old")
        file.writestr(archive_files.zip_info("./a.wav"), "new")
    link = {"type": tarfile.LNKTYPE, "linkname": "a.wav"}
    archive_files.write(tmp_path / "y.tar", {"b.wav": b"1", "l.wav": link, "c.wav": b"2"})
    damaged = (tmp_path / "y.tar").read_bytes().replace(b"c.wav", b"d.wav")  # the checksum of the header is wrong then
    (tmp_path / "y.tar").write_bytes(damaged)
    archive_files.write(tmp_path / "z.zip", {})
    received = expand(*(Upload(name, str(tmp_path / name)) for name in ("x.zip", "y.tar", "z.zip")))
    assert {upload.name: read(upload) for upload in received} == {"x/a.wav": b"new", "y/b.wav": b"1"}
    assert ignored.counts == {
        members.SPECIAL: 2,
        members.DUPLICATE: 1,
        ignored_files.DAMAGED_ARCHIVE: 1,
        ignored_files.EMPTY_ARCHIVE: 1,
    }
    assert "(the first: y.tar: the header at byte 1536 is damaged" in ignored.summary()


def test_an_archive_is_closed_after_its_files_are_extracted(archive, expand):
    opened = archive({"a.wav": b"1", "b.wav": b"2"}, lambda content: patched(content, b"b.wav", 16, "<I", 1))
    before = set(os.listdir("/proc/self/fd"))
    received = expand(opened)
    gc.collect()
    assert len(received) == 2 and set(os.listdir("/proc/self/fd")) <= before


def test_long_names_are_shortened_and_keep_their_extension():
    name = uploads.relative_name("é" * 300 + "/" + "b" * 300 + ".flac")
    assert name.endswith(".flac") and all(len(part.encode()) <= 255 for part in name.split("/"))


def test_the_stated_size_of_an_archive_is_limited(archive, expand, tmp_path):
    bomb = archive({f"{n}.wav": bytes(10_000_000) for n in range(3)})
    assert os.path.getsize(bomb.path) < 100_000
    with pytest.raises(ValueError, match=r"set.zip: its files have 30.0 MB; at most 20 MB are accepted"):
        expand(bomb, max_megabytes=20)
    assert not os.listdir(tmp_path / "folder")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_the_size_of_a_tar_archive_is_limited_while_it_is_decompressed(expand, tmp_path, suffix):
    path = archive_files.write_tar(tmp_path / f"in{suffix}", {f"{n}.wav": bytes(10_000_000) for n in range(3)})
    what = "its files have 30.0" if suffix == ".tar" else r"its unpacked contents have 2\d.\d"
    with pytest.raises(ValueError, match=f"set{suffix}: {what} MB; at most 20 MB are accepted"):
        expand(Upload(f"set{suffix}", path), max_megabytes=20)
    assert not os.listdir(tmp_path / "folder")


def test_the_size_of_all_archives_together_is_limited(archive, expand):
    half = archive({"a.wav": bytes(600_000)})
    with pytest.raises(ValueError, match=r"the files of the batch have 1.2 MB; at most 1 MB are accepted"):
        expand(half, half, max_megabytes=1)


def test_a_file_larger_than_stated_is_an_error_of_that_file(archive, expand):
    size = (1000).to_bytes(4, "little")
    lying = archive({"a.wav": bytes(1000), "b.wav": b"1"}, lambda content: content.replace(size, b"\x0a\0\0\0"))
    damaged, good = expand(lying)
    assert damaged.error is not None and read(good) == b"1" and not os.path.exists(damaged.path)


def test_the_number_of_files_is_limited(archive, expand, tmp_path):
    many = archive({f"{n}.wav": b"" for n in range(50)})
    with pytest.raises(ValueError, match="set.zip: more than 40 files"):
        expand(many, max_files=40)
    with pytest.raises(ValueError, match="the batch: more than 1 files"):
        expand(Upload("a.wav", many.path), Upload("b.wav", many.path), max_files=1)


def zip_of_links(size):
    """A zip archive of about this size whose table of contents has links only, which are no files."""
    fields = 0, 3, *[0] * 9, 1, *[0] * 4, stat.S_IFLNK << 16, 0  # written on Unix, a name of one byte
    entry = zip_directory.ENTRY.pack(zip_directory.ENTRY_MARK, *fields) + b"l"
    table = entry * (size // len(entry))
    return table + zip_directory.END.pack(zip_directory.END_MARK, 0, 0, 0, 0, len(table), 0, 0)


def tar_of_links(size):
    info = tarfile.TarInfo("l")
    info.type = tarfile.SYMTYPE
    return info.tobuf() * (size // 512) + bytes(1024)


@pytest.mark.parametrize(("suffix", "create"), [(".zip", zip_of_links), (".tar", tar_of_links)])
def test_a_table_of_contents_of_too_many_entries_is_not_read_on(expand, tmp_path, suffix, create):
    (tmp_path / "x").write_bytes(create(20_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"set{suffix}: more than 100 files"):
            expand(Upload(f"set{suffix}", str(tmp_path / "x")), max_files=100)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_an_archive_that_is_none_is_ignored_with_the_reason(tmp_path, expand, ignored, suffix):
    (tmp_path / "x").write_bytes(b"nothing")
    (other,) = expand(Upload(f"x{suffix}", str(tmp_path / "x")), Upload("a.wav", str(tmp_path / "x")))
    assert other.name == "a.wav"
    assert f"1 archives that cannot be read (the first: x{suffix}: not readable as a " in ignored.summary()


def test_files_of_other_kinds_and_of_tools_are_ignored_and_equal_names_told_apart(ignored):
    names = ["a.wav", "a.wav", "b.txt", "__MACOSX/a.wav", "s/._a.wav", "s/a.FLAC", "c.png"]
    selected = uploads.select_files([Upload(name, name) for name in names], "audio", ignored)
    assert [upload.name for upload in selected] == ["a.wav", "a (2).wav", "s/a.FLAC"]
    assert ignored.summary().startswith("2 files with other extensions (1 .png, 1 .txt); 2 metadata files")
