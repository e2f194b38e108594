"""Recordings of a manifest: files that are missing, changed, or elsewhere relative to the working directory."""

import dataclasses

import pytest

from pipelines import files, stable_hash
from pipelines.evaluation import recordings
from pipelines.evaluation.recordings import State


@dataclasses.dataclass(frozen=True)
class Line:
    path: str
    hash: str = stable_hash.digest(b"a")
    data_dir: str = ""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with recordings, whose records are two folders deep; the working directory is another."""
    for folder in ("project/sounds", "project/out/records", "elsewhere/sounds"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "project/sounds/x.wav").write_bytes(b"a")
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "project"


def test_a_file_is_intact_changed_or_missing(project):
    path = str(project / "sounds" / "x.wav")
    assert recordings.find_file(Line(path)) == (path, State.INTACT)
    assert recordings.find_file(Line(path, hash="")) == (path, State.INTACT)
    (project / "sounds" / "x.wav").write_bytes(b"bc")
    assert recordings.find_file(Line(path)) == (path, State.CHANGED)
    (project / "sounds" / "x.wav").unlink()
    assert recordings.find_file(Line(path)) == (path, State.MISSING)
    assert recordings.find_file(Line(str(project / "sounds"))) == (str(project / "sounds"), State.MISSING)


@pytest.mark.parametrize("data_dir", ["{}/out/records", "../project/out/records/"])
def test_a_relative_path_is_searched_above_the_records(project, data_dir, monkeypatch):
    line = Line("sounds/x.wav", data_dir=data_dir.format(project))
    path = str(project / "sounds" / "x.wav")
    assert recordings.find_file(line) == (path, State.INTACT)
    (project.parent / "elsewhere/sounds/x.wav").write_bytes(b"of another data set")
    assert recordings.find_file(line) == (path, State.INTACT)
    (project / "sounds" / "x.wav").unlink()
    assert recordings.find_file(line) == ("sounds/x.wav", State.CHANGED)
    assert recordings.find_file(Line("sounds/y.wav", data_dir=data_dir.format(project)))[1] is State.MISSING
    assert recordings.find_file(Line("nostore://bucket/x.wav", data_dir="/records"))[1] is State.MISSING


def test_the_parts_of_a_long_recording_need_its_hash_once(project, monkeypatch):
    opened, open_binary = [], files.open_binary
    monkeypatch.setattr(files, "open_binary", lambda path: opened.append(path) or open_binary(path))
    for _ in range(3):
        recordings.find_file(Line(str(project / "sounds" / "x.wav")))
    assert len(opened) == 1


def test_one_warning_counts_the_files(project, capsys):
    good, gone, other = (project / "sounds" / f"{name}.wav" for name in ("x", "gone", "other"))
    other.write_bytes(b"b")
    recordings.warn_of_unusable([Line(str(good))] * 2)
    assert capsys.readouterr().err == ""
    recordings.warn_of_unusable(Line(str(path)) for path in (good, gone, other, other))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: of 3 recordings 1 are missing and 1 have other bytes") and str(gone) in line
