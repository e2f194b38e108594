"""The kind of data and its front end: inferred, overridden and refused."""

import shutil

import pytest

from models.features.image import ImageSpec
from pipelines.data import domains, front_end


@pytest.mark.parametrize(
    ("paths", "asked", "kind"),
    [
        (["a/1.wav", "b/2.FLAC"], None, "audio"),
        (["a/1.png", "b/2.PNG"], None, "image"),
        (["a/1.wav", "b/2.txt"], None, "audio"),
        (["a/1.data", "b/2.data"], "image", "image"),
        (["a/1.wav", "b/2.png"], "audio", "audio"),
    ],
)
def test_the_kind_is_inferred_from_suffixes_unless_requested(tree, paths, asked, kind):
    folder = tree(*paths)
    assert front_end.infer_kind(domains.read_domains([f"a={folder}/a/*", f"b={folder}/b/*"]), asked) == kind


@pytest.mark.parametrize(
    ("paths", "complaint"),
    [
        (["a/1.wav", "a/2.png"], r"mixed kinds: .*1.wav is audio, .*2.png is an image"),
        (["a/1.wav", "b/2.png"], r"mixed kinds"),
        (["a/1.data", "b/2"], r"unknown file extension; set --kind=audio or --kind=image"),
    ],
)
def test_files_of_both_kinds_or_of_neither_are_refused(tree, paths, complaint):
    folder = tree(*paths)
    made = domains.read_domains(f"{name}={folder}/{name}/*" for name in sorted({path[0] for path in paths}))
    with pytest.raises(ValueError, match=complaint):
        front_end.infer_kind(made, None)


def domains_at(tree, **rates_hz):
    for name, rates in rates_hz.items():
        for n, rate_hz in enumerate(rates):
            folder = tree(f"{name}/{n}.wav", rate_hz=rate_hz)
    return domains.read_domains(f"{name}={folder}/{name}" for name in rates_hz)


@pytest.mark.parametrize(
    ("rates_hz", "pairs", "found"),
    [
        ({"a": [16000], "b": [8000]}, [], (8000, 512)),
        ({"a": [48000, 44100], "b": [44100]}, [], (22050, 1024)),
        ({"a": [16000] * 19 + [8000], "b": [22050]}, [], (16000, 1024)),
        ({"a": [16000], "b": [8000]}, ["sample_rate_hz=16000"], (16000, 1024)),
        ({"a": [16000], "b": [8000]}, ["n_fft=256"], (8000, 256)),
    ],
)
def test_the_sample_rate_is_the_highest_that_all_domains_have(tree, rates_hz, pairs, found):
    spec = front_end.infer_spec("audio", domains_at(tree, **rates_hz), pairs)
    assert (spec.sample_rate_hz, spec.n_fft) == found
    assert spec.hop_length == spec.n_fft // 4 and spec.fmax_hz <= spec.sample_rate_hz / 2


def test_the_image_size_is_the_most_common_one(tree):
    made = domains.read_domains([f"a={tree('1.png', '2.png')}"])
    assert front_end.infer_spec("image", made, []) == ImageSpec(height=12, width=20, channels=3)
    assert front_end.infer_spec("image", made, ["height=32", "channels=1"]).width == 20


@pytest.mark.parametrize(
    ("kind", "pair", "complaint"),
    [
        ("audio", "n_mesl=20", "did you mean n_mels"),
        ("audio", "height=20", "no key is called 'height'"),
        ("audio", "n_mels=many", "wanted a whole number"),
        ("audio", "n_mels=2000", "wanted fewer mels or a longer n_fft"),
        ("audio", "hop_length=600", "wanted at most half"),
        ("audio", "sample_rate_hz=0", "sample_rate_hz=0; wanted at least"),
        ("image", "height=30", "wanted a multiple of 4"),
        ("image", "channels=2", "wanted 1"),
    ],
)
def test_an_invalid_front_end_is_refused(tree, kind, pair, complaint):
    made = domains.read_domains([f"a={tree('1.wav' if kind == 'audio' else '1.png')}"])
    with pytest.raises(ValueError, match=complaint):
        front_end.infer_spec(kind, made, [pair])


def test_a_domain_of_which_no_file_opens_is_refused_with_the_reason(tree):
    folder = tree("good/1.wav")
    shutil.copy(__file__, folder / "text.wav")
    with pytest.raises(ValueError, match="domain b: no file could be read; the last failure: .*text.wav: not readable"):
        front_end.infer_spec("audio", domains.read_domains([f"a={folder}/good", f"b={folder}/text.wav"]), [])
