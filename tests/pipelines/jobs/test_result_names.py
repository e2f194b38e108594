"""Names of results: one for each input, none shared, none too long, none a folder's."""

import os
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from pipelines.jobs import result_names

PART = st.text(st.sampled_from("ab.é "), min_size=1, max_size=4).filter(lambda part: part.strip("."))
ENDING = st.sampled_from(["", ".wav", ".flac", ".WAV", ".wav.flac", ".mp3"])
PATHS = st.lists(st.tuples(st.lists(PART, min_size=1, max_size=3), ENDING), min_size=1, max_size=12)


def settled(*relative, suffix=".wav", output_dir="/nowhere"):
    paths = sorted(f"in/{name}" for name in relative)
    rows = list(result_names.plan_results(paths, "in/", suffix, output_dir))
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


def test_a_name_that_is_no_utf_8_is_listed_with_the_reason():
    (row,) = result_names.plan_results(["in/caf\udce9.wav"], "in/", ".wav", "/nowhere")
    assert row == {"path": "in/caf\\xe9.wav", "reason": "its name is not UTF-8; rename the file"}
