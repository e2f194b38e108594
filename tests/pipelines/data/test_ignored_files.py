"""Results of `translate` that listings ignore: those of the last job, and of one that did not finish."""

import json

import pytest
import store

from pipelines.beam import filesystem, rows
from pipelines.data import file_listing, ignored_files


@pytest.fixture(params=["disk", "store"])
def folder(request, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "OBJECTS", {})
    return str(tmp_path) if request.param == "disk" else "store://bucket/in"


def write_plan(folder, *outputs):
    planned = [{"path": f"x/{name}", "output": name} for name in outputs]
    rows.write_work(folder, ignored_files.PLAN, [{"files": [{"path": "bad", "reason": "no name"}, *planned]}])


def listed(folder, **options):
    listing = file_listing.list_files([folder], [".wav"], **options)
    return [path.removeprefix(f"{folder}/") for path in listing.paths]


def test_results_of_a_job_that_did_not_finish_are_no_inputs(folder):
    for name in ("a.wav", "b.wav", "out/c.wav", "out/own.wav"):
        filesystem.write_text(f"{folder}/{name}", "")
    write_plan(folder, "b.wav", "not there yet.wav")
    write_plan(f"{folder}/out", "c.wav")
    assert listed(folder, output_dir=folder) == ["a.wav", "out/own.wav"]
    assert listed(folder) == ["a.wav", "b.wav", "out/own.wav"], "what the user names is meant"
    assert listed(f"{folder}/out") == ["c.wav", "own.wav"]


def test_a_list_of_another_program_does_not_hide_the_plan(folder):
    filesystem.write_text(f"{folder}/{ignored_files.TRANSLATIONS}", "{}\n")
    write_plan(folder, "b.wav")
    assert list(ignored_files.read_output_names(folder)) == ["b.wav"]


@pytest.mark.parametrize("line", ["5", "{}", '{"files": 5}', '{"files": [5]}', "cut sh", '{"files": [{"output": 1}]}'])
def test_whatever_stands_in_the_plan_the_listing_goes_on(folder, line):
    filesystem.write_text(f"{folder}/a.wav", "")
    filesystem.write_text(f"{rows.work_folder(folder)}/{ignored_files.PLAN}-00000", line)
    assert listed(folder, output_dir=folder) == ["a.wav"]


def test_a_work_folder_that_cannot_be_read_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "a.wav").touch()
    write_plan(str(tmp_path), "b.wav")

    def refused(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(rows.filesystem, "list_folder", refused)
    assert listed(str(tmp_path), output_dir=str(tmp_path)) == ["a.wav"]


@pytest.mark.parametrize("name", ["\\ud800.wav", "\\u0000"])
def test_a_name_that_no_file_can_have_ends_the_list(folder, name):
    filesystem.write_text(f"{folder}/a.wav", "")
    lines = [json.dumps({"output": "b.wav"}), f'{{"output": "{name}"}}']
    filesystem.write_text(f"{folder}/{ignored_files.TRANSLATIONS}", "\n".join(lines))
    assert list(ignored_files.read_output_names(folder)) == ["b.wav"]
    assert listed(folder, output_dir=folder) == ["a.wav"]
