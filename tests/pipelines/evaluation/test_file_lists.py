"""File lists of reports: which files and versions are shown, and the scores as CSV."""

import csv
import io
import types

import numpy as np
import pytest

from models.features.image import ImageSpec
from models.features.spec import Spec
from pipelines.evaluation import file_lists
from pipelines.evaluation.examples import Example
from pipelines.evaluation.translation_quality import Direction
from pipelines.reporting import glossary

SPEC = Spec(features=ImageSpec(height=8, width=8), domains=("a", "b"), moments={})
N = 12


def _examples(domain):
    pixels = np.random.default_rng(0).uniform(-1, 1, (N, 8, 8, 3))
    return [Example(f"{domain}/{n:02}.png", f"{n:02}", "", x) for n, x in enumerate(pixels)]


@pytest.fixture
def direction():
    odds = np.arange(N, dtype=float)
    rows = {"no_op": _examples("a"), "model": _examples("a"), "copy_synthesis": _examples("b")}
    scores = {
        "no_op": {"target_log_odds": -odds},
        "model": {"target_log_odds": odds, "content_error": np.where(odds > 3, 0.25, np.nan)},
        "copy_synthesis": {"target_log_odds": odds},
    }
    return Direction("a", "b", rows, scores, {}, {}, types.SimpleNamespace())


def _list(direction, max_bytes=10**7, targets=None):
    test = {"a": _examples("a"), "b": targets or _examples("b")}
    return file_lists.make_file_list(direction, test, SPEC, glossary.HIGHER_IS_BETTER, max_bytes)


def test_all_files_are_shown_if_they_fit(direction):
    shown = _list(direction)
    assert [file.name for file in shown.files] == [x.id for x in direction.examples["model"]]
    assert shown.selection == "All 12 evaluated files of a."
    assert [score.key for score in shown.scores] == ["target_log_odds", "content_error"]
    assert shown.files[0].scores == {"target_log_odds": 0} and shown.files[5].scores["content_error"] == 0.25


def test_a_small_page_shows_the_worst_files_and_a_sample_of_the_others(direction):
    size = sum(version.size for version in _list(direction).files[0].versions)
    shown = _list(direction, max_bytes=6.5 * size)
    names = {file.name for file in shown.files}
    assert len(names) == 6 and {"a/00.png", "a/01.png"} < names != {f"a/{n:02}.png" for n in range(6)}
    assert shown.selection.startswith("6 of 12 evaluated files of a: half of them a random sample")


def test_one_file_is_shown_in_any_case(direction):
    assert len(_list(direction, max_bytes=0).files) == 1


def test_versions_are_source_conversion_and_parallel_target(direction):
    labels = [version.label for version in _list(direction).files[0].versions]
    assert labels == ["source (a)", "converted to b", "target (b)"]
    unrelated = [Example(f"b/x{n}.png", f"x{n}", "", x.features) for n, x in enumerate(_examples("b"))]
    assert len(_list(direction, targets=unrelated).files[0].versions) == 2


def test_scores_of_all_rows_are_a_table(direction):
    rows = list(csv.DictReader(io.StringIO(file_lists.write_scores([direction]))))
    assert len(rows) == 3 * N
    model = [row for row in rows if row["row"] == "model"]
    assert model[0] == {
        "source": "a", "target": "b", "row": "model", "file": "a/00.png", "target_log_odds": "0", "content_error": "",
    }  # fmt: skip
    assert model[4]["content_error"] == "0.25"
