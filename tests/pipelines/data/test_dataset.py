"""Directories of records: broken and missing files are named."""

import shutil

import pytest

from models.errors import UserError
from pipelines.data import dataset, part_names


def test_a_broken_file_of_the_records_is_named(speech_records, tmp_path):
    for name, said in (("statistics.json", "is broken"), ("features.json", "is broken"), ("manifest.jsonl", "line 3")):
        shutil.copytree(speech_records, tmp_path / name)
        path = tmp_path / name / name
        text = path.read_text()
        lines = text.splitlines(keepends=True)
        path.write_text("".join([*lines[:2], lines[2][:50]]) if name == "manifest.jsonl" else text[: len(text) // 2])
        with pytest.raises(ValueError, match=f"{name}.*{said}.*wanted what preprocess writes"):
            dataset.open_records(str(tmp_path / name))


@pytest.mark.parametrize("left", [None, 0, 100])
def test_a_shard_that_is_gone_or_cut_off_is_named_before_anything_waits_for_it(speech_records, tmp_path, left):
    shutil.copytree(speech_records, tmp_path / "records")
    path = next((tmp_path / "records").glob("low-train.tfrecord-*"))
    content = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(content[:left])
    with pytest.raises(ValueError, match="low-train.*(is missing|bytes instead of).*wanted what preprocess writes"):
        dataset.open_records(str(tmp_path / "records"))


def test_a_manifest_in_several_files_is_read_as_in_one(speech_records, tmp_path):
    shutil.copytree(speech_records, tmp_path / "records")
    expected = dataset.read_manifest(str(speech_records))
    lines = (tmp_path / "records" / "manifest.jsonl").read_text().splitlines(keepends=True)
    for number, name in enumerate(part_names.names_of("manifest.jsonl", 3)):
        size = -(-len(lines) // 3)
        (tmp_path / "records" / name).write_text("".join(lines[number * size : (number + 1) * size]))
    with pytest.raises(UserError, match="of two lists; wanted what preprocess writes"):
        dataset.open_records(str(tmp_path / "records"))
    (tmp_path / "records" / "manifest.jsonl").unlink()
    assert dataset.open_records(str(tmp_path / "records")).sources == expected
    (tmp_path / "records" / "manifest-00001-of-00003.jsonl").unlink()
    with pytest.raises(UserError, match="manifest-00001-of-00003.jsonl is missing"):
        dataset.open_records(str(tmp_path / "records"))
