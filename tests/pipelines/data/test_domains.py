"""What a domain names: globs, folders, odd names, kinds and front ends."""

import pathlib
import shutil

import numpy as np
import PIL.Image
import pytest
import soundfile

from models.features import audio, image
from pipelines.data import domains, front_end, source_files, work_rows
from pipelines.data.split_fractions import MAX_FRACTION, adjust_fractions


@pytest.fixture
def tree(tmp_path):
    """Makes files of these paths below a folder; recordings of 0.1 s at 8 kHz, pictures, or their names as text."""

    def make(*paths, rate_hz=8000):
        for path in (tmp_path / path for path in paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() in (".wav", ".flac"):
                container = path.suffix[1:].upper()
                soundfile.write(path, 0.1 * np.sin(np.arange(rate_hz // 10)), rate_hz, format=container)
            elif path.suffix.lower() == ".png":
                PIL.Image.new("RGB", (20, 12)).save(path, format="PNG")
            else:
                path.write_text(path.name)
        return tmp_path

    return make


def ids(*flags):
    """What the manifest would call the files of domains."""
    return sorted(
        row["id"]
        for row in work_rows.work_rows(domains.read_domains(flags), "audio", (0.0, 0.0), split_by="file", seed=0)
    )


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


def test_ids_are_paths_below_the_folder_where_the_glob_begins(tree):
    folder = tree("a/x.wav", "a/deep/x.wav", "b/x.wav")
    assert ids(f"a={folder}/a", f"b={folder}/b/*.wav") == ["a/deep/x.wav", "a/x.wav", "b/x.wav"]


def test_several_globs_of_a_domain_keep_their_files_apart(tree):
    folder = tree("one/x.wav", "two/x.wav")
    assert ids(f"a={folder}/one", f"a={folder}/two/*.wav") == ["a/one/x.wav", "a/two/x.wav"]


def test_a_file_that_two_globs_name_is_one_file(tree):
    folder = tree("x.wav")
    assert ids(f"a={folder}/*.wav", f"a={folder}/x.wav", f"a={folder}") == ["a/x.wav"]


def test_a_relative_glob_is_as_good(tree, monkeypatch):
    monkeypatch.chdir(tree("a/x.wav", "[y].wav"))
    found = ids("a=a", "b=*.wav", "c=**.wav", "d=[y].wav", "e=?/*")
    assert found == ["a/x.wav", "b/[y].wav", "c/[y].wav", "c/a/x.wav", "d/[y].wav", "e/a/x.wav"]


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
def test_a_domain_that_is_none_is_refused(flag, complaint):
    with pytest.raises(ValueError, match=complaint):
        domains.read_domains([flag])


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
def test_the_kind_follows_from_the_endings_unless_it_is_said(tree, paths, asked, kind):
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
def test_speech_is_worked_on_at_the_rate_that_all_domains_hold(tree, rates_hz, pairs, found):
    spec = front_end.infer_spec("audio", domains_at(tree, **rates_hz), pairs)
    assert (spec.sample_rate_hz, spec.n_fft) == found
    assert spec.hop_length == spec.n_fft // 4 and spec.fmax_hz <= spec.sample_rate_hz / 2


def test_pictures_keep_their_commonest_size(tree):
    made = domains.read_domains([f"a={tree('1.png', '2.png')}"])
    assert front_end.infer_spec("image", made, []) == image.ImageSpec(height=12, width=20, channels=3)
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
def test_a_front_end_that_cannot_be_is_refused(tree, kind, pair, complaint):
    made = domains.read_domains([f"a={tree('1.wav' if kind == 'audio' else '1.png')}"])
    with pytest.raises(ValueError, match=complaint):
        front_end.infer_spec(kind, made, [pair])


def test_a_domain_of_which_no_file_opens_is_refused_with_the_reason(tree):
    folder = tree("good/1.wav")
    shutil.copy(__file__, folder / "text.wav")
    with pytest.raises(ValueError, match="domain b: no file could be read; the last failure: .*text.wav: not readable"):
        front_end.infer_spec("audio", domains.read_domains([f"a={folder}/good", f"b={folder}/text.wav"]), [])


def survey(folder, split_by, seed=0):
    found, spec, made = domains.read_domains([f"a={folder}/**.wav"]), audio.AudioSpec.at(8000), []
    for row in work_rows.work_rows(found, "audio", (0.3, 0.3), split_by=split_by, seed=seed):
        with open(row["path"], "rb") as file:
            ((source, _),) = source_files.survey(file, row, spec, (0.3, 0.3))
        made.append(source)
    return made


@pytest.mark.parametrize("split_by", ["file", "parent"])
def test_a_corpus_is_split_the_same_wherever_it_lies(tree, tmp_path, split_by):
    tree(*(f"here/s{speaker}/{n}.wav" for speaker in range(8) for n in range(2)), "here/loose.wav")
    shutil.copytree(tmp_path / "here", tmp_path / "far" / "away" / "here")
    here = {row.id: row.split for row in survey(tmp_path / "here", split_by)}
    assert here == {row.id: row.split for row in survey(tmp_path / "far" / "away" / "here", split_by)}
    assert set(here.values()) == {"train", "val", "test"}
    assert here != {row.id: row.split for row in survey(tmp_path / "here", split_by, seed=1)}


def test_small_domains_have_something_for_every_split_that_is_asked_for(tree):
    for seed in range(20):
        folder = tree(*(f"{name}/{seed}_{n}.wav" for name in "ab" for n in range(12)))
        made = domains.read_domains(f"{name}={folder}/{name}/{seed}_*.wav" for name in "ab")
        val, test = adjust_fractions(made, (0.05, 0.05), split_by="file", seed=seed)
        assert 0.05 <= val <= MAX_FRACTION + 0.05 and 0.05 <= test <= MAX_FRACTION
        spared = {}
        for row in work_rows.work_rows(made, "audio", (val, test), split_by="file", seed=seed):
            spared.setdefault(row["domain"], set()).add(row["split"])
        assert spared["a"] == spared["b"] == {"train", "val", "test"}


def test_shares_that_suffice_or_were_not_asked_for_stay(tree):
    folder = tree(*(f"a/{n}.wav" for n in range(60)), *(f"few/{n}.wav" for n in range(9)))
    every = [domains.read_domains([f"a={folder}/a"]), domains.read_domains([f"few={folder}/few"])]
    for made, asked in zip(every, [(0.2, 0.2), (0.05, 0.05)], strict=True):
        assert adjust_fractions(made, asked, split_by="file", seed=0) == asked
    assert adjust_fractions(every[0], (0.0, 0.0), split_by="file", seed=0) == (0.0, 0.0)


def test_files_of_one_folder_stay_together_if_asked(tree, tmp_path):
    folder = tree(*(f"s{speaker}/{n}.wav" for speaker in range(8) for n in range(4)))
    for together, split_by in ((True, "parent"), (False, "file")):
        splits = {}
        for row in survey(folder, split_by):
            splits.setdefault(pathlib.Path(row.path).parent, set()).add(row.split)
        assert (max(map(len, splits.values())) == 1) is together
