"""A damaged entry of a table of contents costs no other one; all else is read as `zipfile` reads it."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import archive_files
import pytest

from models.errors import UserError
from pipelines.archives import members, zip_directory
from pipelines.archives.content import Content
from pipelines.archives.zip_archive import ZipArchive

ENTRIES = {"a/x.wav": b"abc" * 100, "b\u00e9.wav": b"d", "c/": b""}


def zipped(entries=None, comment=b""):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (ENTRIES if entries is None else entries).items():
            archive.writestr(archive_files.zip_info(name), content)
        archive.comment = comment
    return file.getvalue()


def entries_of(content):
    return list(zip_directory.read_directory(Content.of_blocks([content])))


def positions(content):
    """Positions of the entries of the table."""
    return [n for n in range(len(content)) if content.startswith(zip_directory.ENTRY_MARK, n)]


@pytest.mark.parametrize("comment", [b"", b"PK", bytes(0xFFFF)])
@pytest.mark.parametrize("program", [b"", b"#! a program that unpacks itself"])
def test_entries_and_positions_are_those_of_zipfile(comment, program):
    content = program + zipped(comment=comment)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        wanted = [(i.filename, i.file_size, i.compress_size, i.CRC, i.header_offset) for i in archive.infolist()]
    found = entries_of(content)
    assert [(e.name, e.size, e.stored_size, e.checksum, e.offset) for e in found] == wanted
    for entry in found:
        position = zip_directory.data_offset(Content.of_blocks([content]), entry)
        assert position == entry.offset + 30 + len(entry.stored_name)


def test_sizes_and_the_table_of_a_large_archive_are_read(monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    content = zipped({"a": b"", "b": bytes(200), "c": b"x"})
    assert zip_directory.END64_MARK in content
    found = entries_of(b"prefix" + content)
    assert [(e.name, e.size) for e in found] == [("a", 0), ("b", 200), ("c", 1)]
    for entry in found:
        assert content.startswith(zip_directory.LOCAL_MARK, entry.offset - len(b"prefix"))


def test_a_name_that_is_not_utf_8_although_its_flag_says_so_is_escaped():
    content = zipped().replace("b\u00e9.wav".encode(), b"b\xff\xfe.wav")
    assert [e.name for e in entries_of(content)] == ["a/x.wav", "b\udcff\udcfe.wav", "c/"]


def unicode_path(stored, name, version=1):
    data = struct.pack("<BL", version, zlib.crc32(stored)) + name
    return struct.pack("<2H", 0x7075, len(data)) + data


def named(stored, extra=b""):
    """An archive with an entry of this name, without the flag of UTF-8, and its extra fields."""
    info, file = archive_files.zip_info("x" * len(stored), zipfile.ZIP_STORED), io.BytesIO()
    info.extra = extra
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, b"abc")
    return file.getvalue().replace(b"x" * len(stored), stored)


NAME, LATIN = "J\u00fcrgen/\u65e5\u672c.wav", "J\u00fcrgen.wav".encode("latin-1")
TIMES = struct.pack("<2HBL", 0x5455, 5, 1, 0)  # another extra field, which Info-ZIP writes


@pytest.mark.parametrize(
    ("stored", "extra", "name"),
    [
        (NAME.encode(), b"", NAME),
        (b"J#U00fcrgen/##.wav", TIMES + unicode_path(b"J#U00fcrgen/##.wav", NAME.encode()), NAME),
        (LATIN, unicode_path(LATIN, NAME.encode()) + TIMES, NAME),
        (b"renamed.wav", unicode_path(b"before.wav", NAME.encode()), "renamed.wav"),
        (b"later.wav", unicode_path(b"later.wav", NAME.encode(), version=2), "later.wav"),
        (b"damaged.wav", unicode_path(b"damaged.wav", b"\xff\xfe"), "damaged.wav"),
        (b"truncated.wav", unicode_path(b"truncated.wav", NAME.encode())[:6] + b"\0", "truncated.wav"),
        (b"empty.wav", unicode_path(b"empty.wav", b""), "empty.wav"),
        ("J\u00fcrgen.wav".encode("cp437"), b"", "J\u00fcrgen.wav"),
    ],
)
def test_a_name_is_that_of_the_extra_field_or_utf_8_or_code_page_437(stored, extra, name):
    content = named(stored, extra)
    (entry,) = entries_of(content)
    assert entry.name == name and not entry.flags & zip_directory.UTF_8
    start = zip_directory.data_offset(Content.of_blocks([content]), entry)
    assert content[start : start + 3] == b"abc"


@pytest.mark.parametrize("name", ["/abs.wav", "../x.wav"])
def test_an_unsafe_name_in_an_extra_field_is_excluded(name):
    contents = ZipArchive(Content.of_blocks([named(b"a.wav", unicode_path(b"a.wav", name.encode()))])).contents
    assert not contents.members and contents.excluded == [(members.UNSAFE_NAME, name)]


@pytest.mark.parametrize(("at", "form", "value"), [(6, "<B", 255), (12, "<I", 0xFFFFFFFF)], ids=["version", "time"])
def test_fields_that_are_not_needed_may_have_any_value(at, form, value):
    content = bytearray(zipped())
    struct.pack_into(form, content, positions(content)[0] + at, value)
    assert entries_of(bytes(content)) == entries_of(zipped())


@pytest.mark.parametrize("extra", [b"\1\0\xff\xff", b"\1\0\2\0ab", b"\x99\x99\0", b"\1\0\0\0"])
def test_a_damaged_extra_field_costs_no_entry(extra):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = archive_files.zip_info("x")
        info.extra = bytes(len(extra))
        archive.writestr(info, b"abc")
    content = file.getvalue()
    at = content.rindex(b"x" + bytes(len(extra))) + 1
    content = content[:at] + extra + content[at + len(extra) :]
    assert [(e.name, e.size) for e in entries_of(content)] == [("x", 3)]


@pytest.mark.parametrize("damage", [lambda n: (n, b"XX"), lambda n: (n + 28, b"\xff\xff")], ids=["mark", "length"])
def test_entries_before_a_damaged_one_are_read_and_the_error_says_how_many(damage):
    content = bytearray(zipped())
    at, replacement = damage(positions(content)[2])
    content[at : at + 2] = replacement
    reader = zip_directory.read_directory(Content.of_blocks([bytes(content)]))
    assert [next(reader).name for _ in range(2)] == ["a/x.wav", "b\u00e9.wav"]
    with pytest.raises(UserError, match="table of contents is damaged after 2 entries"):
        next(reader)


def test_a_table_of_many_entries_is_not_in_memory_as_a_whole():
    content = zipped({"a": b""})
    at, end = positions(content)[0], len(content) - zip_directory.END.size
    table = content[at:end] * 50_000
    fields = list(zip_directory.END.unpack(content[end:]))
    fields[5] = len(table)
    opened = Content.of_blocks([content[:at], table, zip_directory.END.pack(*fields)])
    tracemalloc.start()
    try:
        assert sum(entry.name == "a" for entry in zip_directory.read_directory(opened)) == 50_000
        assert tracemalloc.get_traced_memory()[1] < len(table) // 4
    finally:
        tracemalloc.stop()


def test_a_table_that_is_not_there_or_too_large_is_refused():
    content = bytearray(zipped())
    with pytest.raises(UserError, match="no table of contents at its end"):
        entries_of(bytes(content[:-1]))
    struct.pack_into("<L", content, len(content) - 10, 1 << 30)
    with pytest.raises(UserError, match="1073741824 bytes, more than there are"):
        entries_of(bytes(content))
    assert entries_of(zipped({})) == []
