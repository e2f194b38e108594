"""Data cards: counts, durations, levels and F0."""

import dataclasses

import pytest

from pipelines.data import dataset
from pipelines.evaluation import data_card
from pipelines.evaluation.examples import read_examples


@pytest.fixture(scope="module")
def data(speech_records):
    return dataset.open_records(speech_records)


@pytest.fixture(scope="module")
def test_examples(data):
    return {name: read_examples(data, "test", name) for name in data.spec.domains}


def test_each_domain_and_split_has_a_row(data, test_examples):
    section = data_card.make_section("/nowhere", data, test_examples)
    rows = {row[0]: dict(zip(section.headings, row, strict=True)) for row in section.table}
    for domain in data.spec.domains:
        for split in ("train", "test"):
            sources = data.sources_of(split, domain)
            row = rows[f"{domain}, {split}"]
            assert row["files"] == str(len(sources))
            assert float(row["hours"]) == pytest.approx(sum(s.length for s in sources) / 3600, abs=0.005)
            assert -60 < float(row["level (dB)"]) < 0
    assert float(rows["low, test"]["F0 (Hz)"]) < float(rows["high, test"]["F0 (Hz)"])


def test_the_training_records_are_listed_if_they_are_others(data, test_examples):
    copy = dataclasses.replace(data, data_dir=data.data_dir + "/")
    once = data_card.make_section(data.data_dir, data, test_examples)
    twice = data_card.make_section(data.data_dir, copy, test_examples)
    assert len(twice.table) == 2 * len(once.table)


def test_images_have_counts_only(factor_records):
    data = dataset.open_records(factor_records)
    section = data_card.make_section(factor_records, data, {})
    assert section.headings == ["domain and split", "files"] and section.table
