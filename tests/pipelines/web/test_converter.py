"""Answers to the page, without a browser."""

import io
import os
import re
import zipfile

import PIL.Image
import pytest
import soundfile
from testbed import voice

from pipelines.jobs import translate_folder
from pipelines.web import converter
from pipelines.web.converter import Choice, Converter
from pipelines.web.limits import Limits

HIGH = Choice("high", "low", "auto")


def wav(seconds=0.6):
    soundfile.write(file := io.BytesIO(), voice(110.0, seconds, 8000, 0), 8000, format="WAV")
    return file.getvalue()


@pytest.fixture
def create(temporary_files, translators):
    """Creates a converter of a run."""

    def create(run_dir, keep_dir="", **limits):
        return Converter(translators(run_dir), temporary_files, Limits(**limits), keep_dir)

    return create


@pytest.fixture
def fetch(temporary_files):
    """Reads and deletes the results of an answer."""

    def read(answer):
        contents = []
        for token in dict.fromkeys(re.findall(r'data-fetch="results/([^/]+)/', answer.content)):
            with open(temporary_files.take_result(token), "rb") as file:
                contents.append(file.read())
            os.unlink(file.name)
        return contents

    return read


def test_a_file_is_converted_as_by_translate_and_nothing_is_stored(
    create, speech_run, put_upload, fetch, stored_files, tmp_path
):
    answer = create(speech_run).convert_one(put_upload(wav()), HIGH)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clip.wav").write_bytes(wav())
    folders = {"pattern": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
    translate_folder.translate(run_dir=speech_run, target="high", **folders)
    source, result = fetch(answer)
    assert result == (tmp_path / "out" / "clip.wav").read_bytes()
    assert "clip.wav: converted from low to high" in answer.message and answer.content.count("data:image/png") == 2
    assert soundfile.info(io.BytesIO(source)).frames == soundfile.info(io.BytesIO(result)).frames == 4800
    assert not stored_files()


def test_a_picture_is_shown_beside_its_source(create, picture_run, put_upload, stored_files):
    PIL.Image.new("RGB", (20, 12), "red").save(file := io.BytesIO(), format="BMP")
    answer = create(picture_run).convert_one(put_upload(file.getvalue(), "x.bmp"), Choice("tinted", "plain"))
    assert answer.content.count('src="data:image/png') == 2 and 'download="x.png"' in answer.content
    assert not stored_files()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("<b>.wav", b"nothing", "&lt;b&gt;.wav: not readable as audio"),
        ("clip.wav", wav(2.0), "clip.wav: the recording is 2.0 s long or longer; at most 1 s are accepted"),
        ("clip.wav", bytes(2_000_000), "the uploaded files have 2.0 MB; at most 1 MB are accepted (--max_megabytes)"),
    ],
)
def test_an_error_is_a_line_and_nothing_is_stored(create, speech_run, put_upload, stored_files, name, content, reason):
    answer = create(speech_run, max_seconds=1, max_megabytes=1).convert_one(put_upload(content, name), HIGH)
    assert reason in answer.message and 'role="alert"' in answer.message and answer.content == ""
    assert not stored_files()


def test_wrong_choices_and_missing_files_are_lines(create, speech_run, put_upload):
    answers = create(speech_run)
    assert "choose a recording first" in answers.convert_one(None, HIGH).message
    assert (
        "wanted one of auto, griffin_lim" in answers.convert_one(put_upload(wav()), Choice("high", "low", "x")).message
    )
    message = answers.convert_batch([], HIGH, print).message
    assert "choose recordings, or an archive of them, first" in message


def test_a_bug_is_a_line_with_the_traceback_in_the_terminal(capsys):
    answer = converter._answer_errors(lambda: {}["missing"])
    assert "an internal error" in answer.message and "KeyError" in capsys.readouterr().err


def test_a_batch_of_files_and_archives(create, speech_run, put_upload, fetch, stored_files):
    with zipfile.ZipFile(archive := io.BytesIO(), "w") as file:
        for name, content in {"s/a.wav": wav(), "s/bad.wav": b"x", "notes.txt": b"x"}.items():
            file.writestr(name, content)
    received = [
        put_upload(archive.getvalue(), "set.zip"),
        put_upload(wav(), "folder/b.wav"),
        put_upload(wav(), "b.wav", "c"),
    ]
    done = []
    answer = create(speech_run).convert_batch(received, HIGH, lambda *counts: done.append(counts))
    assert "3 of 4 files converted to high; ignored: 1 files with other extensions (1 .txt)" in answer.message
    assert "<td>set/s/bad.wav</td><td>not readable as audio: Format not recognised.</td>" in answer.content
    (content,) = fetch(answer)
    with zipfile.ZipFile(io.BytesIO(content)) as result:
        lists = {"failures.jsonl", "translations.jsonl"}
        assert set(result.namelist()) == {"set/s/a.wav", "folder/b.wav", "b.wav"} | lists
        assert soundfile.info(io.BytesIO(result.read("b.wav"))).frames == 4800
    assert done[0] == (0, 4) and done[-1] == (4, 4)
    assert not stored_files()


def test_an_archive_with_a_damaged_entry_is_converted_except_for_it(create, speech_run, put_upload, fetch):
    with zipfile.ZipFile(archive := io.BytesIO(), "w") as file:
        for name, content in {"a.wav": wav(), "../b.wav": wav(), "n\u00e9.wav": wav(), "d.wav": wav(0.7)}.items():
            file.writestr(name, content)
    content = archive.getvalue().replace("n\u00e9.wav".encode(), b"n\xff\xfe.wav")
    content = content.replace(wav(0.7), wav(0.7)[:-1] + b"x")
    received = [put_upload(content, "set.zip"), put_upload(b"nothing", "bad.tgz")]
    answer = create(speech_run).convert_batch(received, HIGH, max)
    assert "2 of 3 files converted to high; ignored: 1 archives that cannot be read (the first: bad.tgz: not" in (
        answer.message
    )
    assert "1 members of archives with unsafe names" in answer.message and "set.zip/../b.wav" in answer.message
    assert "<td>set/d.wav</td><td>damaged in the archive: Bad CRC-32" in answer.content
    (content,) = fetch(answer)
    with zipfile.ZipFile(io.BytesIO(content)) as result:
        assert {"set/a.wav", "set/n\\xff\\xfe.wav"} < set(result.namelist())


def test_files_are_kept_where_that_is_set(create, speech_run, put_upload, fetch, tmp_path):
    answers = create(speech_run, str(tmp_path))
    for answer in (answers.convert_one(put_upload(wav()), HIGH), answers.convert_batch([put_upload(wav())], HIGH, max)):
        assert f"; kept in {tmp_path}" in answer.message
        fetch(answer)
    for folder in tmp_path.iterdir():
        assert (folder / "sources" / "clip.wav").read_bytes() == wav() and (folder / "results" / "clip.wav").exists()
    assert len(list(tmp_path.iterdir())) == 2
