"""The plan of `translate`: one result for each input, none shared, no name too long or that of a folder."""

import os
import posixpath

import pytest
import store
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models.errors import UserError
from pipelines.data.file_table import FileEntry
from pipelines.jobs import translation_plan
from pipelines.jobs.translation_plan import TranslationPlan

PART = st.text(st.sampled_from("ab.é "), min_size=1, max_size=4).filter(lambda part: part.strip("."))
ENDING = st.sampled_from(["", ".wav", ".flac", ".WAV", ".wav.flac", ".mp3"])
PATHS = st.lists(st.tuples(st.lists(PART, min_size=1, max_size=3), ENDING), min_size=1, max_size=12)


def plan_of(paths, suffix=".wav", output_dir="/nowhere"):
    return TranslationPlan((FileEntry(path, len(path)) for path in paths), "in/", suffix, str(output_dir))


def settled(*relative, suffix=".wav", output_dir="/nowhere"):
    paths = sorted(f"in/{name}" for name in relative)
    rows = list(plan_of(paths, suffix, output_dir).rows())
    assert [row["path"] for row in rows] == paths
    return {row["path"].removeprefix("in/"): row for row in rows}


@laws
@given(PATHS)
def test_no_two_inputs_share_a_result_and_none_is_a_folder_of_others(parts):
    relative = {"/".join(folders) + ending for folders, ending in parts}
    folders = {name.rpartition("/")[0] for name in relative}
    rows = settled(*relative)
    outputs = [row["output"] for row in rows.values()]
    assert len(set(outputs)) == len(outputs)
    above = {"/".join(folder.split("/")[:n]) for folder in folders for n in range(1, folder.count("/") + 2) if folder}
    assert above.isdisjoint(outputs)
    for name, row in rows.items():
        assert posixpath.dirname(row["output"]) == posixpath.dirname(name) and row["output"].endswith(".wav")


def test_the_file_whose_own_name_it_is_keeps_it():
    rows = settled("same.flac", "same.wav", "same.mp3", "same.flac.wav", "lone.ogg")
    assert {name: row["output"] for name, row in rows.items()} == {
        "same.wav": "same.wav",
        "lone.ogg": "lone.wav",
        "same.mp3": "same.mp3.wav",
        "same.flac.wav": "same.flac.wav",
        "same.flac": rows["same.flac"]["output"],
    }
    assert rows["same.flac"]["output"].startswith("same.flac~") and rows["same.flac"]["renamed"]


@pytest.mark.parametrize("letter", ["x", "é", "長", "😀"])
def test_a_name_that_would_be_too_long_is_cut_and_gets_a_hash(letter, tmp_path):
    longest = (letter * 255).encode()[:250].decode(errors="ignore")
    other = longest[:-1] + "y"
    rows = settled(f"{longest}.a", f"{other}.a", f"d/{longest}.a", suffix=".png", output_dir=str(tmp_path))
    for row in rows.values():
        name = posixpath.basename(row["output"])
        assert len(name.encode()) <= 255 and name.endswith(".png")
        (tmp_path / name).touch()
    assert len({row["output"] for row in rows.values()}) == 3
    cut = settled(f"{longest}xyz.a", suffix=".png")
    assert "renamed" in next(iter(cut.values())) or len(f"{longest}xyz.png".encode()) <= 255


def test_a_folder_that_is_there_keeps_its_name(tmp_path):
    (tmp_path / "a.wav").mkdir()
    rows = settled("a.flac", output_dir=str(tmp_path))
    assert rows["a.flac"]["output"].startswith("a~") and not os.path.exists(tmp_path / rows["a.flac"]["output"])


def test_an_archive_where_results_need_a_folder_is_named(tmp_path, monkeypatch):
    paths = ["in/a/x.zip/1.wav", "in/b.tar.gz/s/1.wav", "in/c/1.wav"]
    assert plan_of(paths, output_dir=tmp_path).archive_in_place_of_folder() is None
    (tmp_path / "a" / "x.zip").mkdir(parents=True)
    (tmp_path / "c").touch()  # no archive: only the results below it are failures
    assert plan_of(paths, output_dir=tmp_path).archive_in_place_of_folder() is None
    (tmp_path / "b.tar.gz").touch()
    assert plan_of(paths, output_dir=tmp_path).archive_in_place_of_folder() == "b.tar.gz"
    monkeypatch.setattr(store, "OBJECTS", {"store://b/out/a/x.zip": b""})
    assert plan_of(paths, output_dir="store://b/out").archive_in_place_of_folder() == "a/x.zip"


def test_a_name_that_is_no_utf_8_is_listed_with_the_reason():
    (row,) = plan_of(["in/caf\udce9.wav"]).rows()
    assert row == {"path": "in/caf\\xe9.wav", "reason": "its name is not UTF-8; rename the file"}


def test_rows_are_also_ordered_by_size():
    plan = plan_of(["in/long name.wav", "in/b.wav", "in/a.wav"])
    assert len(plan) == 3
    assert [row["path"] for row in plan.rows()] == ["in/long name.wav", "in/b.wav", "in/a.wav"]
    assert [(row["path"], size) for row, size in plan.rows_by_size()] == [
        ("in/a.wav", 8),
        ("in/b.wav", 8),
        ("in/long name.wav", 16),
    ]


@pytest.mark.parametrize("through", ["", "link to a folder/", "link to a file/"])
def test_an_input_that_an_output_would_replace_is_named(tmp_path, through, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("in/deep")
    os.makedirs("out/deep")
    (tmp_path / "in/deep/a.wav").write_text("")
    assert plan_of(["in/deep/a.wav"], output_dir="out").overwritten_input() is None
    if not through:
        output = "in"
    elif through == "link to a folder/":
        (tmp_path / "link").symlink_to("in")
        output = "link"
    else:
        (tmp_path / "out/deep/a.wav").symlink_to(tmp_path / "in/deep/a.wav")
        output = "out"
    assert plan_of(["in/deep/a.wav"], output_dir=output).overwritten_input() == "in/deep/a.wav"


def test_an_object_that_an_output_would_replace_is_named():
    plan = TranslationPlan([FileEntry("gs://b/in/a.wav", 1)], "gs://b/in/", ".wav", "gs://b/in")
    assert plan.overwritten_input() == "gs://b/in/a.wav"
    plan = TranslationPlan([FileEntry("gs://b/in/a.wav", 1)], "gs://b/in/", ".wav", "gs://b/out")
    assert plan.overwritten_input() is None


def test_a_store_is_listed_once(monkeypatch):
    listed = []
    monkeypatch.setattr(
        translation_plan.filesystem, "list_prefix", lambda prefix: listed.append(prefix) or [(f"{prefix}a.wav", 1)] * 2
    )
    plan = TranslationPlan([FileEntry("gs://b/in/a.wav", 1)], "gs://b/in/", ".wav", "gs://b/out")
    assert plan.exists("a.wav") and not plan.exists("b.wav") and not plan.exists("out/a.wav")
    assert listed == ["gs://b/out/"]


def test_a_full_disk_is_one_line(monkeypatch):
    monkeypatch.setattr(translation_plan, "_TABLES", translation_plan._TABLES + "PRAGMA max_page_count = 20;")
    with pytest.raises(UserError, match="cannot be written to .*full"):
        plan_of(f"in/{n}.wav" for n in range(100_000))
