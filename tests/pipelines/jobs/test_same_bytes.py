"""Files with the same bytes are left out of their domain but for one, on request."""

import errno
import shutil

import pytest
from preprocessing import contents, prepare, rows
from testbed import write_voices

from models.errors import UserError
from pipelines.beam import filesystem
from pipelines.beam.heartbeat import NO_HEARTBEAT
from pipelines.jobs import same_bytes


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Six recordings of each of two domains, two of them twice, one in both domains, and a broken one twice."""
    folder = tmp_path_factory.mktemp("copies")
    write_voices(folder, 6)
    shutil.copy(folder / "low" / "clip_03.wav", folder / "low" / "a copy.wav")
    shutil.copy(folder / "low" / "clip_03.wav", folder / "low" / "z copy.wav")
    shutil.copy(folder / "low" / "clip_01.wav", folder / "high" / "clip_99.wav")
    for name in ("x.wav", "y.wav"):
        (folder / "high" / name).write_text("broken")
    return folder


def test_the_first_of_each_content_is_kept_in_its_domain(copies, tmp_path):
    done = prepare(tmp_path / "out", changes={"drop_duplicates": True}, low=copies / "low", high=copies / "high")
    assert (done["sources"], done["failures"]) == (13, 1)
    assert prepare.excluded == {"the same bytes as another file of low": 2, "the same bytes as another file of high": 1}
    ids = {row["id"] for row in rows(tmp_path / "out", "manifest.jsonl")}
    assert "low/a copy.wav" in ids and not {"low/clip_03.wav", "low/z copy.wav"} & ids
    others = {row["id"]: row["same_as"] for row in rows(tmp_path / "out", "excluded.jsonl")}
    assert others["low/clip_03.wav"] == others["low/z copy.wav"] == "low/a copy.wav"
    assert any("in two domains" in line and "clip_99" in line for line in prepare.warnings)


def test_copies_change_no_byte_of_the_records(copies, tmp_path):
    shutil.copytree(copies, tmp_path / "alone")
    for name in ("low/clip_03.wav", "low/z copy.wav", "high/y.wav"):
        (tmp_path / "alone" / name).unlink()
    for out, folder in (("with", copies), ("without", tmp_path / "alone")):
        prepare(tmp_path / out, changes={"drop_duplicates": True}, low=folder / "low", high=folder / "high")
    found, expected = contents(tmp_path / "with"), contents(tmp_path / "without")
    for name in expected:
        if "jsonl" not in name:
            assert found[name] == expected[name]


def test_a_full_disk_does_not_leave_copies_in(monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filesystem, "open_file", full)
    batch = {"files": [{"path": "a.wav", "domain": "a", "id": "a/a.wav"}]}
    with pytest.raises(UserError, match="No space left on device"):
        list(same_bytes._keyed_rows(batch, NO_HEARTBEAT))
