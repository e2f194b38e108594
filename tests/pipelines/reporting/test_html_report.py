"""The HTML report: names are escaped."""

from pipelines.reporting import html_report


def test_names_are_escaped_in_a_page():
    page = html_report.page(title="<script>", summary="", sections=[], metrics=[], configuration={})
    assert "<script>" not in page.replace("<script></script>", "")
