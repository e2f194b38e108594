"""Names of results from the names of inputs."""

import posixpath

import pytest

from pipelines.jobs import result_names


@pytest.mark.parametrize("name", ["a.flac", "deep/er/a.b.flac", "长" * 80 + ".flac", "x" * 251 + ".flac"])
def test_a_name_with_a_hash_is_short_enough_and_stays_in_its_folder(name):
    preferred = result_names.preferred_name(name, ".wav")
    hashed = result_names.hashed_name(preferred, name, ".wav")
    assert posixpath.dirname(hashed) == posixpath.dirname(name) and hashed.endswith(".wav")
    assert not result_names.is_too_long(hashed) and hashed != preferred
    assert hashed != result_names.hashed_name(preferred, f"other {name}", ".wav")


def test_the_length_of_a_name_is_counted_in_bytes():
    assert not result_names.is_too_long("folder/" * 50 + "é" * 127)
    assert result_names.is_too_long("é" * 128)
