"""HTML reports: tables, verdicts, escaping."""

import pytest

from pipelines.evaluation import verdict
from pipelines.reporting import html_report


def render(*sections, title=""):
    return html_report.render_page(title=title, summary="", sections=sections, metrics=[], configuration={})


@pytest.mark.parametrize("count", [0, 50])
def test_a_negative_verdict_is_marked(count):
    value = verdict.Verdict.CONVERTS if count else verdict.Verdict.DOES_NOT_CONVERT
    result = verdict.TranslationVerdict(value, ("one reason", "another"), count / 50, 0.0, 50)
    page = render(html_report.Section("a to b", result))
    assert f'<p class="verdict{"" if result.is_positive else " no"}">{result.sentence()}</p>' in page


def test_a_section_without_a_verdict_shows_none():
    assert '<p class="verdict' not in render(html_report.Section("Copy synthesis"))


def test_columns_without_values_are_left_out_and_missing_cells_are_dashes():
    headings, cells = html_report.format_table({"no_op": {"n": 2, "neither_rate": 0.25}, "model": {"n": 2, "kid": 0.5}})
    assert headings == ["row", "examples", "classified as neither", "KID"]
    assert cells == [["no_op", "2", "25 %", "-"], ["model", "2", "-", "0.5"]]


def test_names_are_escaped():
    assert "<script>alert" not in render(title="<script>alert(1)</script>")
