"""Sections of reports: the confusion matrix. Sections of directions are tested with whole evaluations."""

from pipelines.evaluation import report_sections


def test_a_confusion_matrix_has_a_column_for_every_predicted_class():
    confusion = {"horse": {"horse": 8, "neither": 2}, "zebra": {"zebra": 9, "horse": 1}}
    (section,) = report_sections.classifier_sections({"confusion": confusion})
    assert section.matrix.columns == ["horse", "neither", "zebra"]
    assert section.matrix.counts == [[8, 2, 0], [1, 0, 9]]
    assert section.matrix.share(0, 0) == 0.8


def test_a_classifier_without_counts_has_no_section():
    assert report_sections.classifier_sections({"accuracy": {}}) == []
