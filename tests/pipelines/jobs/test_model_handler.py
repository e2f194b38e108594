"""`RunInference` in a pipeline of the user gives what `translate` gives, and a bad file is a result with a reason."""

import json
import os
import shutil

import apache_beam as beam
import pytest
from apache_beam.io import fileio
from apache_beam.io.filesystem import FileMetadata
from apache_beam.ml.inference.base import RunInference

from pipelines.inference.file_translator import FileTranslator
from pipelines.inference.translation_options import TranslationOptions
from pipelines.jobs import translate_folder
from pipelines.jobs.model_handler import TranslationHandler


def metadata(folder):
    return [FileMetadata(entry.path, entry.stat().st_size) for entry in os.scandir(folder)]


def write_result(result, folder):
    name = os.path.splitext(os.path.basename(result.example.path))[0]
    assert bool(result.inference.content) != bool(result.inference.reason)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(result.inference.content or result.inference.reason.encode())


def test_a_pipeline_of_the_user_gives_the_bytes_of_translate(picture_run, picture_folder, tmp_path):
    shutil.copytree(picture_folder / "plain", tmp_path / "in")
    (tmp_path / "in" / "bad.png").write_text("no picture")
    (tmp_path / "pipeline").mkdir()
    options = TranslationOptions(run_dir=str(picture_run), target="tinted")
    with beam.Pipeline(runner="DirectRunner") as pipeline:
        _ = (
            pipeline
            | fileio.MatchFiles(f"{tmp_path}/in/*.png")
            | RunInference(TranslationHandler(options, max_batch_bytes=2000))
            | beam.Map(write_result, str(tmp_path / "pipeline"))
        )
    counts = translate_folder.translate(
        run_dir=str(picture_run), pattern=str(tmp_path / "in"), output_dir=str(tmp_path / "out"), target="tinted"
    )
    assert counts == {"translations": 16, "failures": 1, "reused": 0}
    made = {path.name: path.read_bytes() for path in (tmp_path / "pipeline").iterdir()}
    (failure,) = map(json.loads, (tmp_path / "out" / "failures.jsonl").read_text().splitlines())
    assert made.pop("bad").decode() == failure["reason"] and len(made) == 16
    assert made == {path.stem: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}


@pytest.fixture(scope="module")
def handler(speech_run):
    options = TranslationOptions(run_dir=str(speech_run), target="high", inverter="griffin_lim")
    return TranslationHandler(options, max_batch_bytes=100_000, max_result_bytes=50_000)


def test_recordings_have_the_bytes_of_translate_and_what_is_too_long_has_a_reason(handler, speech_folder, tmp_path):
    translator = handler.load_model()
    assert isinstance(translator, FileTranslator)
    batch = sorted(metadata(speech_folder / "low"), key=lambda file: file.path)[:3]
    results = list(handler.run_inference([*batch, FileMetadata(f"{tmp_path}/none.wav", 0)], translator))
    assert [result.example for result in results[:3]] == batch and "none.wav" in results[3].inference.reason
    translate_folder.translate(
        run_dir=handler.options.run_dir,
        pattern=str(speech_folder / "low" / "clip_0[0-2].wav"),
        output_dir=str(tmp_path / "out"),
        target="high",
        inverter="griffin_lim",
    )
    for result in results[:3]:
        path = tmp_path / "out" / os.path.basename(result.example.path)
        assert result.inference.content == path.read_bytes() and result.inference.entries["seconds"] > 0
    small = TranslationHandler(handler.options, max_result_bytes=1000)
    (result,) = small.run_inference(batch[:1], translator)
    assert "more than max_result_bytes=1000" in result.inference.reason and not result.inference.content


def test_a_batch_is_bounded_by_the_size_of_its_files(handler):
    kwargs = handler.batch_elements_kwargs()
    files = [FileMetadata(f"{n}.wav", size) for n, size in enumerate([30_000] * 20 + [500_000] + [1000] * 50)]
    with beam.Pipeline(runner="DirectRunner") as pipeline:
        batches = pipeline | beam.Create(files) | beam.BatchElements(**kwargs)
        _ = batches | beam.Map(lambda batch: _assert_bounded(batch, handler))


def _assert_bounded(batch, handler):
    assert handler.get_num_bytes(batch) <= handler.max_batch_bytes or len(batch) == 1
