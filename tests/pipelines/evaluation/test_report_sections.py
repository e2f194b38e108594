"""Sections of reports: confusion matrix and copy synthesis. Others are tested with whole evaluations."""

import types

from pipelines.evaluation import file_lists, report_sections
from pipelines.evaluation.translation_quality import Evaluator
from pipelines.reporting.file_list import File, FileList, Version


def test_a_confusion_matrix_has_a_column_for_every_predicted_class():
    confusion = {"horse": {"horse": 8, "neither": 2}, "zebra": {"zebra": 9, "horse": 1}}
    (section,) = report_sections.classifier_sections({"confusion": confusion})
    assert section.matrix.columns == ["horse", "neither", "zebra"]
    assert section.matrix.counts == [[8, 2, 0], [1, 0, 9]]
    assert section.matrix.share(0, 0) == 0.8


def test_a_page_of_many_directions_keeps_its_size(monkeypatch):
    file = File("x", [Version("source", "x" * 100)], {})
    limits = []

    def make_file_list(direction, test, spec, better, max_bytes):
        limits.append(max_bytes)
        return FileList([file] * max(1, max_bytes // 100), (), "")

    monkeypatch.setattr(file_lists, "make_file_list", make_file_list)
    monkeypatch.setattr(file_lists, "MAX_BYTES", 350)
    direction = types.SimpleNamespace(source="a", target="b", table={}, intervals={}, verdict=None)
    evaluator = types.SimpleNamespace(test={}, spec=None)
    for count, expected in ((1, 1), (5, 4)):
        limits.clear()
        sections = report_sections.translation_sections([direction] * count, evaluator, {}, {})
        assert len(sections) == count and sum(section.files is not None for section in sections) == expected
        assert sum(section.files.size for section in sections if section.files) <= 350 + 100
    assert limits == [70, 62, 50, 25]


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
