"""Members of tar archives are read in place, up to where an archive is damaged."""

import gzip
import io
import tarfile

import archive_files
import pytest

from models.errors import UserError
from pipelines.archives import members, tar_archive
from pipelines.archives.content import Content
from pipelines.archives.members import Checks, LimitError
from pipelines.archives.tar_archive import TarArchive

MEMBERS = {f"./s/{n}.wav": archive_files.wav(n) for n in range(4)}


def archive(content):
    return TarArchive(Content.of_blocks([content]))


@pytest.fixture
def tarred(tmp_path):
    def make(entries, suffix=".tar"):
        path = tmp_path / f"x{suffix}"
        archive_files.write_tar(path, entries)
        return path.read_bytes()

    return make


def read(opened, name):
    with opened.open(opened.contents.members[name]) as file:
        return file.read()


@pytest.mark.parametrize("suffix", archive_files.TAR_MODES)
def test_members_are_read_in_any_order(tarred, suffix):
    opened = archive(tarred(MEMBERS, suffix))
    assert list(opened.contents.members) == [f"s/{n}.wav" for n in range(4)] and not opened.contents.problem
    for n in (3, 0, 2, 1):
        assert read(opened, f"s/{n}.wav") == MEMBERS[f"./s/{n}.wav"]


def test_a_compressed_archive_is_decompressed_once(tarred, monkeypatch):
    calls, decompress = [], gzip.open
    monkeypatch.setitem(tar_archive.COMPRESSIONS, b"\x1f\x8b", lambda file: calls.append(1) or decompress(file))
    opened = archive(tarred(MEMBERS, ".tgz"))
    for _ in range(3):
        assert [len(read(opened, name)) for name in opened.contents.members] == 4 * [8044]
    assert calls == [1]


def test_links_devices_and_folders_are_no_members(tarred):
    kinds = [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.GNUTYPE_SPARSE,
    ]
    entries = {f"{n}.wav": {"type": kind, "linkname": "/etc/passwd"} for n, kind in enumerate(kinds)}
    entries |= {"folder": {"type": tarfile.DIRTYPE}, "/abs.wav": b"x", "../x.wav": b"x", "good.wav": b"x"}
    contents = archive(tarred(entries)).contents
    assert list(contents.members) == ["good.wav"]
    assert [reason for reason, _ in contents.excluded] == 6 * [members.SPECIAL] + 2 * [members.UNSAFE_NAME]


@pytest.mark.parametrize("suffix", archive_files.TAR_MODES)
def test_of_an_archive_that_was_cut_short_the_whole_members_are_read(tarred, suffix):
    samples = 500_000 if suffix == ".tar.bz2" else 20_000  # bzip2 has blocks of 900,000 bytes
    noise = {name: archive_files.wav(n, samples) for n, name in enumerate(MEMBERS)}
    whole = tarred(noise, suffix)
    opened = archive(whole[: len(whole) * 6 // 10])
    assert opened.contents.problem
    outcomes = []
    for name in opened.contents.members:
        try:
            outcomes.append(read(opened, name) == noise[f"./{name}"])
        except UserError as error:
            outcomes.append(str(error))
    assert outcomes[0] is True and len(outcomes) < 4
    assert all(outcome is True or "cut short in the archive" in outcome for outcome in outcomes)


def test_a_compressed_bomb_is_read_up_to_its_limit(monkeypatch, tarred):
    monkeypatch.setattr(tar_archive, "UNCHECKED_BYTES", 1 << 20)
    bomb = tarred({"good.wav": archive_files.wav(), "zeros.wav": bytes(2 << 20)}, ".tgz")
    assert len(bomb) < 20_000
    monkeypatch.setattr(members, "MAX_EXPANSION", 2)
    opened = archive(bomb)
    assert "a bomb" in opened.contents.problem and read(opened, "good.wav") == archive_files.wav()


def headers(*infos):
    return b"".join(info.tobuf(tarfile.GNU_FORMAT) for info in infos)


def info(size, kind=tarfile.REGTYPE):
    made = tarfile.TarInfo("x.wav")
    made.size, made.type = size, kind
    return made


@pytest.mark.parametrize(
    "bad",
    [
        headers(info(-1024)),
        headers(info(1 << 40, tarfile.XHDTYPE)),
        headers(info(14, tarfile.XHDTYPE)) + b"14 size=-5120\n".ljust(512, b"\0") + headers(info(0)),
        headers(*(info(0, tarfile.XHDTYPE) for _ in range(3000))),
        b"garbage".ljust(512, b"x"),
    ],
    ids=["negative", "memory", "negative extended", "recursion", "garbage"],
)
def test_a_header_that_makes_no_sense_ends_the_archive_with_a_reason(tarred, bad):
    good = tarred({"good.wav": b"abc"})[:1024]
    opened = archive(good + bad + bytes(1024))
    assert opened.contents.problem and read(opened, "good.wav") == b"abc"
    with pytest.raises(UserError, match="not readable as a tar archive"):
        archive(bad + bytes(1024))


def test_a_damaged_header_in_the_middle_loses_the_members_from_there_on_and_says_so(tarred):
    whole = bytearray(tarred(MEMBERS))
    second = TarArchive(Content.of_blocks([bytes(whole)])).contents.members["s/2.wav"].position - tarfile.BLOCKSIZE
    whole[second + 10] ^= 1
    opened = archive(bytes(whole))
    assert list(opened.contents.members) == ["s/0.wav", "s/1.wav"]
    assert opened.contents.problem == f"the header at byte {second} is damaged, and members from there on are lost"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_that_is_not_utf_8_is_escaped_and_its_member_and_the_others_are_read(form):
    file, names = io.BytesIO(), ["a.wav", "\udcff\udcfe.wav", "b.wav"]
    with tarfile.open(fileobj=file, mode="w", format=form) as written:
        for name in names:
            archive_files.add_to_tar(written, name, name.encode(errors="surrogateescape"))
    opened = archive(file.getvalue())
    assert list(opened.contents.members) == names and not opened.contents.problem
    assert [read(opened, name) for name in names] == [b"a.wav", b"\xff\xfe.wav", b"b.wav"]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("repeats", [1, 30], ids=["short", "long"])
def test_names_are_utf_8_in_every_format(form, repeats):
    file, name = io.BytesIO(), "/".join(["J\u00fcrgen"] * repeats + ["\u65e5\u672c.wav"])
    with tarfile.open(fileobj=file, mode="w", format=form, encoding="utf-8") as written:
        archive_files.add_to_tar(written, name, b"abc")
    opened = archive(file.getvalue())
    assert list(opened.contents.members) == [name] and read(opened, name) == b"abc"


@pytest.mark.parametrize(
    "content", [b"", b"no archive", archive_files.wav(), gzip.compress(b"", mtime=0), b"\x1f\x8b\x08"]
)
def test_what_is_no_archive_is_refused(content):
    with pytest.raises(UserError, match="not readable as a tar archive"):
        archive(content)


def at_most(limit):
    """A check of a number."""

    def check(count):
        if count > limit:
            raise LimitError(f"{count} are more than {limit}")

    return check


@pytest.mark.parametrize("suffix", archive_files.TAR_MODES)
def test_a_check_refuses_an_archive_by_its_number_of_entries(tarred, suffix):
    content = Content.of_blocks([tarred(MEMBERS, suffix)])
    assert len(TarArchive(content, Checks(entries=at_most(4))).contents.members) == 4
    with pytest.raises(LimitError, match="^4 are more than 3"):
        TarArchive(content, Checks(entries=at_most(3)))


@pytest.mark.parametrize("suffix", [".tgz", ".tar.bz2", ".tar.xz"])
def test_a_check_refuses_a_compressed_archive_by_the_bytes_it_expands_to(tarred, suffix):
    content, expanded = Content.of_blocks([tarred(MEMBERS, suffix)]), len(tarred(MEMBERS))
    assert len(TarArchive(content, Checks(expanded_bytes=at_most(expanded))).contents.members) == 4
    with pytest.raises(LimitError, match="are more than"):
        TarArchive(content, Checks(expanded_bytes=at_most(expanded - 1)))


def test_an_archive_without_members_is_empty():
    file = io.BytesIO()
    tarfile.open(fileobj=file, mode="w").close()
    contents = archive(file.getvalue()).contents
    assert not contents.members and not contents.problem
