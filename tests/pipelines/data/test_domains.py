"""Domains: the files that a --domain flag names."""

import pytest

from pipelines.data import domains

PATHS = ["1.wav", "b/2.WAV", "b/c/3.flac", "b/notes.txt", "[x] (1)/4.wav", "é ü/5 6.wav", ".hidden/7.wav", "8.Wav"]


SOUNDS = [path for path in PATHS if not path.endswith("txt")]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", SOUNDS),
        ("/", SOUNDS),
        ("/**.wav", [path for path in SOUNDS if path.endswith(".wav")]),
        ("/**/*.wav", [path for path in SOUNDS if path.endswith(".wav")]),
        ("/*.wav", ["1.wav"]),
        ("/b/*", ["b/2.WAV", "b/notes.txt"]),
        ("/?.wav", ["1.wav"]),
        ("/b/[0-9].WAV", ["b/2.WAV"]),
        ("/[x] (1)", ["[x] (1)/4.wav"]),
        ("/[x] (1)/4.wav", ["[x] (1)/4.wav"]),
        ("/[[]x] (1)/*", ["[x] (1)/4.wav"]),
        ("/é ü/5 6.wav", ["é ü/5 6.wav"]),
    ],
)
def test_a_glob_or_folder_names_these_files(tree, pattern, found):
    folder = tree(*PATHS)
    (domain,) = domains.read_domains([f"a={folder}{pattern}"])
    paths = {entry.path for entry in domain.files}
    assert paths == {f"{folder}/{path}" for path in found}
    assert all(path.startswith(domain.root) for path in paths)


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("a", "wanted NAME=GLOB"),
        ("=x.wav", "wanted NAME=GLOB"),
        ("a=", "wanted NAME=GLOB"),
        ("a b=x.wav", "letters, digits and _"),
        ("a-b=x.wav", "letters, digits and _"),
        ("../a=x.wav", "letters, digits and _"),
        ("é=x.wav", "letters, digits and _"),
        ("a=nothing/*.wav", "domain a: no file matches nothing"),
    ],
)
def test_an_invalid_domain_flag_is_refused(flag, complaint):
    with pytest.raises(ValueError, match=complaint):
        domains.read_domains([flag])
