"""Conversion of several files."""

import os
import zipfile

import pytest
import soundfile
from testbed import voice

from pipelines.web import convert_files
from pipelines.web.limits import Limits
from pipelines.web.uploads import Upload


@pytest.fixture
def received(tmp_path):
    """Uploads, one of them too long, one not a recording, one that could not be unpacked."""
    soundfile.write(tmp_path / "good", voice(110.0, 0.5, 8000, 0), 8000, format="WAV")
    soundfile.write(tmp_path / "long", voice(110.0, 1.5, 8000, 0), 8000, format="WAV")
    (tmp_path / "text").write_text("nothing")
    names = {"s/a.wav": "good", "a.wav": "good", "a.flac": "good", "b.wav": "long", "c.wav": "text"}
    return [
        *(Upload(name, str(tmp_path / file)) for name, file in names.items()),
        Upload("d.wav", "", ValueError("damaged")),
    ]


def test_good_files_are_converted_and_bad_ones_named(speech_run, translators, received, tmp_path):
    translator, done = translators(speech_run).translator("high", None, "auto"), []
    output_dir = str(tmp_path / "results")
    outcome = convert_files.convert_files(translator, received, output_dir, Limits(max_seconds=1), done.append)
    assert [row["output"] for row in outcome.translations] == ["s/a.wav", "a.wav", "a.flac.wav"]
    reasons = {row["path"]: row["reason"] for row in outcome.failures}
    assert list(reasons) == ["b.wav", "c.wav", "d.wav"] and "--max_seconds" in reasons["b.wav"]
    assert done == list(range(7))
    convert_files.write_archive(output_dir, str(tmp_path / "x.zip"))
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        lists = {"failures.jsonl", "translations.jsonl"}
        assert set(archive.namelist()) == lists | {row["output"] for row in outcome.translations}
        assert archive.read("failures.jsonl").count(b"\n") == archive.read("translations.jsonl").count(b"\n") == 3


def test_sources_and_results_are_kept(received, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.wav").write_bytes(b"result")
    convert_files.keep_files(received, str(tmp_path / "results"), str(tmp_path / "kept" / "1"))
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(tmp_path / "kept" / "1") for name in names]
    relative = {os.path.relpath(path, tmp_path / "kept" / "1") for path in paths}
    assert relative == {"results/a.wav", *(f"sources/{upload.name}" for upload in received if not upload.error)}
