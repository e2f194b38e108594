"""Rows of work: identifiers of files, and splits that do not depend on the place of the corpus."""

import pathlib
import shutil
import unicodedata

import preprocessing
import pytest

from models.features.audio import AudioSpec
from pipelines.data import domains, work_rows


def ids(*flags):
    """What the manifest would call the files of domains."""
    return sorted(
        row["id"]
        for row in work_rows.work_rows(domains.read_domains(flags), "audio", (0.0, 0.0), split_by="file", seed=0)
    )


def test_ids_are_paths_below_the_folder_where_the_glob_begins(tree):
    folder = tree("a/x.wav", "a/deep/x.wav", "b/x.wav")
    assert ids(f"a={folder}/a", f"b={folder}/b/*.wav") == ["a/deep/x.wav", "a/x.wav", "b/x.wav"]


def test_files_of_several_globs_have_distinct_ids(tree):
    folder = tree("one/x.wav", "two/x.wav")
    assert ids(f"a={folder}/one", f"a={folder}/two/*.wav") == ["a/one/x.wav", "a/two/x.wav"]


def test_relative_globs_give_the_same_ids(tree, monkeypatch):
    monkeypatch.chdir(tree("a/x.wav", "[y].wav"))
    found = ids("a=a", "b=*.wav", "c=**.wav", "d=[y].wav", "e=?/*")
    assert found == ["a/x.wav", "b/[y].wav", "c/[y].wav", "c/a/x.wav", "d/[y].wav", "e/a/x.wav"]


def test_two_unicode_forms_of_a_name_are_two_ids_and_one_form_is_composed(tree):
    composed, decomposed = (unicodedata.normalize(form, "é.wav") for form in ("NFC", "NFD"))
    folder = tree(f"both/{composed}", f"both/{decomposed}", f"one/{decomposed}")
    assert ids(f"a={folder}/both") == sorted([f"a/{composed}", f"a/{decomposed}"])
    assert ids(f"a={folder}/one") == [f"a/{composed}"]


def survey(folder, split_by, seed=0):
    found, spec, made = domains.read_domains([f"a={folder}/**.wav"]), AudioSpec.at(8000), []
    for row in work_rows.work_rows(found, "audio", (0.3, 0.3), split_by=split_by, seed=seed):
        with open(row["path"], "rb") as file:
            ((source, *_),) = preprocessing.survey_file(file, row, spec, (0.3, 0.3))
        made.append(source)
    return made


@pytest.mark.parametrize("split_by", ["file", "parent"])
def test_splits_do_not_depend_on_the_location_of_the_corpus(tree, tmp_path, split_by):
    tree(*(f"here/s{speaker}/{n}.wav" for speaker in range(8) for n in range(2)), "here/loose.wav")
    shutil.copytree(tmp_path / "here", tmp_path / "far" / "away" / "here")
    here = {row.id: row.split for row in survey(tmp_path / "here", split_by)}
    assert here == {row.id: row.split for row in survey(tmp_path / "far" / "away" / "here", split_by)}
    assert set(here.values()) == {"train", "val", "test"}
    assert here != {row.id: row.split for row in survey(tmp_path / "here", split_by, seed=1)}


def test_files_of_one_folder_share_a_split_with_split_by_parent(tree, tmp_path):
    folder = tree(*(f"s{speaker}/{n}.wav" for speaker in range(8) for n in range(4)))
    for together, split_by in ((True, "parent"), (False, "file")):
        splits = {}
        for row in survey(folder, split_by):
            splits.setdefault(pathlib.Path(row.path).parent, set()).add(row.split)
        assert (max(map(len, splits.values())) == 1) is together


def test_files_of_one_prefix_share_a_split_with_split_by_prefix(tree):
    places = (("a", "-1"), ("b", "_2"), ("a", "_3"), ("b", ""))
    splits = {}
    for row in survey(tree(*(f"{folder}/{n}{rest}.wav" for n in range(10, 40) for folder, rest in places)), "prefix"):
        splits.setdefault(pathlib.Path(row.path).name[:2], set()).add(row.split)
    assert len(splits) == 30 and max(map(len, splits.values())) == 1
    assert set().union(*splits.values()) == {"train", "val", "test"}
