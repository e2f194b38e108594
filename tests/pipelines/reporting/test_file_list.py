"""File lists: scores for the scripts of a page."""

import json

from pipelines.reporting.file_list import File, FileList, Version


def test_scores_that_are_not_finite_are_left_out():
    file = File("a", (), {"mcd_db": 1.23456789, "content_error": float("nan")})
    assert json.loads(file.scores_json()) == {"mcd_db": 1.23457}


def test_a_list_with_players_has_sound():
    silent, sounding = (File("a", [Version("source", "data:,", sound)], {}) for sound in ("", "data:,x"))
    assert not FileList([silent], (), "").has_sound
    assert FileList([silent, sounding], (), "").has_sound
    assert sounding.versions[0].size == 6 + 7 and FileList([silent, sounding], (), "").size == 6 + 13
