"""Readers of one file share its bytes, not their positions, and the file closes with the last of them."""

import os

import pytest

from pipelines.archives.content import Content, read_blocks


def test_readers_have_positions_of_their_own_and_end_at_their_part(tmp_path):
    (tmp_path / "x").write_bytes(bytes(range(100)))
    content = Content.of_path(str(tmp_path / "x"))
    first, second = content.open(10, 20), content.open()
    assert first.read(5) == bytes(range(10, 15)) and second.read() == bytes(range(100))
    assert first.read() == bytes(range(15, 30)) and first.seek(-2, os.SEEK_END) == 18
    assert first.read() == bytes([28, 29]) and content.open(95, 20).read() == bytes(range(95, 100))
    with pytest.raises(OSError):
        first.seek(-1)


def test_the_file_closes_with_its_last_reader():
    content = Content.of_blocks([b"ab", b"c"])
    descriptor, file = content.descriptor, content.open(1)
    del content
    assert file.read() == b"bc"
    del file
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_blocks_of_a_stream_come_to_an_end():
    assert list(read_blocks(Content.of_blocks([bytes(5)]).open().read, 2)) == [bytes(2), bytes(2), bytes(1)]
