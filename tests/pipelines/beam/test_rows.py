"""Work items and result rows in the work folder of a job."""

import os

import pytest

from pipelines.beam import filesystem, rows


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "ROWS_PER_FILE", 2)
    return str(tmp_path / "out")


def names(folder):
    return [os.path.basename(path) for path in filesystem.list_folder(rows.work_folder(folder))]


def test_work_items_replace_those_of_an_earlier_job(folder):
    for count in (5, 1, 3):
        rows.write_work(folder, "plan", [{"n": n} for n in range(count)])
        assert names(folder) == [f"plan-{n:05d}" for n in range((count + 1) // 2)]
        assert sorted(row["n"] for row in rows.read_rows(folder, "plan")) == list(range(count))


def test_work_items_stay_until_they_are_replaced(folder):
    rows.write_ownership(folder, [])
    rows.write_work(folder, "plan", [{"n": n} for n in range(3)])
    rows.write_work(folder, "listing", [{"n": 0}])
    token = rows.begin_job(folder)
    rows.clear(folder, keep_ownership=True, keep_work="plan")
    assert names(folder) == [rows.OWNED_FILE, "plan-00000", "plan-00001"]
    with pytest.raises(ValueError, match="another command writes there now"):
        rows.require_current(folder, token)
    rows.clear(folder)
    assert not os.path.exists(rows.work_folder(folder))
