"""Members of zip archives are read whole, or refused with the reason."""

import contextlib
import io
import stat
import struct
import zipfile

import archive_files
import pytest

from models.errors import UserError
from pipelines.archives import members
from pipelines.archives.content import Content
from pipelines.archives.members import Checks, LimitError
from pipelines.archives.zip_archive import ZipArchive


def archive(content):
    return ZipArchive(Content.of_blocks([content]))


def zipped(entries, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    archive_files.write_zip(file, entries, method)
    return file.getvalue()


def read(opened, name):
    with opened.open(opened.contents.members[name]) as file:
        return file.read()


def patched(content, name, at, form, value):
    """The archive with a field of the table of contents changed, at an offset in the entry of a member."""
    made = bytearray(content)
    entry = next(i for i in range(len(made)) if made[i : i + 4] == b"PK\1\2" and made[i + 46 :].startswith(name))
    struct.pack_into(form, made, entry + at, value)
    return bytes(made)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_whole_and_have_positions(method):
    entries = {"a/x.wav": archive_files.wav(1), "b.wav": archive_files.wav(2), "c/": b"", "empty": b""}
    opened = archive(zipped(entries, method))
    assert list(opened.contents.members) == ["a/x.wav", "b.wav", "empty"] and not opened.contents.excluded
    assert all(read(opened, name) == entries[name] for name in opened.contents.members)
    assert opened.contents.members["b.wav"].size == len(entries["b.wav"])
    with opened.open(opened.contents.members["b.wav"]) as file:
        assert file.seek(-2, io.SEEK_END) and len(file.read()) == 2


def test_links_devices_and_unsafe_names_are_no_members():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
            written.writestr(archive_files.zip_info(f"{kind}.wav", kind=kind), "/etc/passwd")
        written.writestr(archive_files.zip_info("../x.wav"), "x")
        written.writestr(archive_files.zip_info("a\0b.wav"), "x")
        written.writestr(archive_files.zip_info(""), "x")
        written.writestr(archive_files.zip_info("good.wav", kind=0), "x")
    contents = archive(file.getvalue()).contents
    assert list(contents.members) == ["good.wav"]
    assert [reason for reason, _ in contents.excluded] == 3 * [members.SPECIAL] + 3 * [members.UNSAFE_NAME]


@pytest.mark.parametrize(
    ("at", "form", "value", "reason"),
    [
        (8, "<H", 1, "encrypted in the archive; unpack it first"),
        (10, "<H", 9, "compressed by deflate64 in the archive"),
        (10, "<H", 12, "compressed by bzip2 in the archive"),  # decompresses without a limit of memory
        (16, "<I", 1, "damaged in the archive: Bad CRC"),
        (24, "<I", 1 << 31, "states 2147483648 bytes.*a bomb"),
        (24, "<I", 9000, "8044 of 9000 bytes are there"),
        (24, "<I", 100, "damaged in the archive: Bad CRC"),
        (20, "<I", 100, "damaged in the archive|cut short"),
        (42, "<I", 1, "damaged in the archive"),
    ],
)
def test_a_member_that_is_not_what_the_archive_states_is_refused_and_the_others_are_read(at, form, value, reason):
    entries = {"bad.wav": archive_files.wav(1), "good.wav": archive_files.wav(2)}
    opened = archive(patched(zipped(entries), b"bad.wav", at, form, value))
    with pytest.raises(UserError, match=reason):
        read(opened, "bad.wav")
    assert read(opened, "good.wav") == entries["good.wav"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_name_with_the_flag_of_utf_8_that_is_not_costs_no_other_member(method):
    entries = {"bad\u00e9.wav": archive_files.wav(1), "good.wav": archive_files.wav(2)}
    opened = archive(zipped(entries, method).replace("bad\u00e9.wav".encode(), b"bad\xff\xfe.wav"))
    assert list(opened.contents.members) == ["bad\udcff\udcfe.wav", "good.wav"] and not opened.contents.problem
    assert [read(opened, name) for name in opened.contents.members] == list(entries.values())


@pytest.mark.parametrize(
    ("at", "form", "value", "reason"),
    [
        (6, "<B", 99, None),  # the version that reads it, which `zipfile` refuses for the whole archive
        (10, "<H", 93, "compressed by method 93 in the archive; only deflate is supported"),
        (8, "<H", 1 | 0x40, "encrypted in the archive; unpack it first"),
    ],
)
def test_an_entry_of_another_kind_costs_no_other_member(at, form, value, reason):
    entries = {"bad.wav": archive_files.wav(1), "good.wav": archive_files.wav(2)}
    opened = archive(patched(zipped(entries), b"bad.wav", at, form, value))
    assert read(opened, "good.wav") == entries["good.wav"]
    with contextlib.nullcontext() if reason is None else pytest.raises(UserError, match=reason):
        assert read(opened, "bad.wav") == entries["bad.wav"]


def test_members_before_a_damaged_entry_are_read_and_the_problem_is_stated():
    entries = {name: archive_files.wav(n) for n, name in enumerate(("a.wav", "b.wav", "c.wav"))}
    opened = archive(patched(zipped(entries), b"b.wav", 0, "<I", 0))
    assert opened.contents.problem == "its table of contents is damaged after 1 entries"
    assert list(opened.contents.members) == ["a.wav"] and read(opened, "a.wav") == entries["a.wav"]


def test_a_bomb_is_refused_by_its_stated_size_and_silence_of_a_minute_is_none():
    opened = archive(zipped({"silence.wav": bytes(8 << 20), "bomb.wav": bytes(members.UNCHECKED_BYTES + 1)}))
    assert len(read(opened, "silence.wav")) == 8 << 20
    with pytest.raises(UserError, match="a bomb"):
        read(opened, "bomb.wav")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\3\4 no archive", archive_files.wav(), zipped({"x": b"x"})[:-30]])
def test_what_is_no_archive_is_refused(content):
    with pytest.raises(UserError, match="not readable as a zip archive"):
        archive(content)


def test_an_archive_without_members_is_empty():
    assert not archive(zipped({})).contents.members


def test_a_check_refuses_an_archive_by_its_number_of_entries():
    def check(count):
        if count > 2:
            raise LimitError(f"{count} entries")

    two = Content.of_blocks([zipped({"a.wav": b"", "folder/": b""})])
    assert list(ZipArchive(two, Checks(entries=check)).contents.members) == ["a.wav"]
    three = Content.of_blocks([zipped({"a.wav": b"", "folder/": b"", "b.wav": b""})])
    with pytest.raises(LimitError, match="^3 entries$"):
        ZipArchive(three, Checks(entries=check))
