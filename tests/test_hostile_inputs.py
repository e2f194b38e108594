"""Hostile names and archives: each is an example, a failure or counted, and nothing is written outside the output."""

import hostile_inputs
import pytest

from pipelines.beam import runner


def test_hostile_files_and_members_are_accounted_for_and_nothing_is_written_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "PROCESSES_FROM_BYTES", 1 << 70)  # announced sizes are part of the damage
    assert "damaged archives" in hostile_inputs.check(tmp_path, 60, 0)


def test_inputs_are_the_same_in_every_run_of_a_seed(tmp_path):
    listings = []
    for seed in (0, 0, 1):
        folder = tmp_path / str(len(listings))
        folder.mkdir()
        hostile_inputs.write_inputs(folder, 40, seed)
        listings.append(sorted(str(path.relative_to(folder)) for path in folder.rglob("*")))
    assert listings[0] == listings[1] != listings[2]


def test_an_output_elsewhere_breaks_the_law(tmp_path, monkeypatch):
    monkeypatch.setattr(
        hostile_inputs, "check_listing", lambda folder, total: (folder / "canary" / "x").touch() or (0, 0)
    )
    monkeypatch.setattr(hostile_inputs, "run_job", lambda *_: (0, 0))
    with pytest.raises(AssertionError, match="outside the output"):
        hostile_inputs.check(tmp_path, 20, 0)


def test_a_hang_breaks_the_law():
    with pytest.raises(TimeoutError), hostile_inputs.time_limit(1):
        hostile_inputs.time.sleep(10)
