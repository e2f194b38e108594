"""Sections of reports: confusion matrix and copy synthesis. Others are tested with whole evaluations."""

from pipelines.evaluation import report_sections
from pipelines.evaluation.translation_quality import Evaluator


def test_a_confusion_matrix_has_a_column_for_every_predicted_class():
    confusion = {"horse": {"horse": 8, "neither": 2}, "zebra": {"zebra": 9, "horse": 1}}
    (section,) = report_sections.classifier_sections({"confusion": confusion})
    assert section.matrix.columns == ["horse", "neither", "zebra"]
    assert section.matrix.counts == [[8, 2, 0], [1, 0, 9]]
    assert section.matrix.share(0, 0) == 0.8


def test_a_classifier_without_counts_has_no_section():
    assert report_sections.classifier_sections({"accuracy": {}}) == []


def test_copy_synthesis_compares_the_vocoder_with_the_other_inverters(vocoder_run, waveform_records):
    found = {}
    (section,) = report_sections.copy_synthesis_sections(Evaluator(vocoder_run, waveform_records), found)
    rows = [f"{domain}, {way}" for domain in ("low", "high") for way in ("griffin_lim", "source_phase", "vocoder")]
    table = found["copy_synthesis"]
    assert [row[0] for row in section.table] == list(table) == rows
    lsd = [table[row]["lsd_db"] for row in rows]
    assert lsd[2] > max(lsd[:2]) and lsd[5] > max(lsd[3:5])  # this one has learnt nothing yet
    low, high = found["intervals"]["copy_synthesis"][rows[0]]["mcd_db"]
    assert low < table[rows[0]]["mcd_db"] < high
