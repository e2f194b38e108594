"""The launcher of `translate`: what it lists, refuses and goes on with in a folder that holds files."""

import errno
import tempfile

import numpy as np
import PIL.Image
import pytest
import store

from models.errors import UserError
from pipelines import isolation, stable_hash
from pipelines.beam import filesystem, rows
from pipelines.inference import file_translator, result_formats
from pipelines.jobs import foreign_files, translate_folder


def translate(run_dir, pattern, out, **options):
    return translate_folder.translate(
        run_dir=run_dir, pattern=str(pattern), output_dir=str(out), target="tinted", **options
    )


def test_a_second_command_does_not_replace_a_users_file_beside_results(picture_run, tmp_path):
    mix = tmp_path / "mix"
    mix.mkdir()
    pixels = np.zeros((16, 16, 3), np.uint8)
    for name in ("a.jpg", "b.bmp", "b.png"):
        PIL.Image.fromarray(pixels).save(mix / name)
    before = (mix / "b.png").read_bytes()
    assert translate(picture_run, mix / "*.jpg", mix)["translations"] == 1
    with pytest.raises(UserError, match="b.png exists and was not written by translate"):
        translate(picture_run, mix / "*.bmp", mix)
    assert (mix / "b.png").read_bytes() == before
    (mix / "b.png").unlink()
    assert translate(picture_run, mix / "*.bmp", mix)["reused"] == 0
    assert translate(picture_run, mix / "*.jpg", mix)["reused"] == 1, "by its provenance, as the last list lacks it"


@pytest.mark.parametrize("where", ["here", "store"])
@pytest.mark.parametrize("glob", ["", "/*"])
def test_an_interrupted_job_in_the_folder_of_its_inputs_goes_on(picture_run, tmp_path, monkeypatch, where, glob):
    monkeypatch.setattr(isolation, "start", lambda factory, *arguments, **_: factory(*arguments))
    monkeypatch.setattr(store, "OBJECTS", {})
    folder = f"{tmp_path}/rec" if where == "here" else "store://b/rec"
    for n in range(3):
        with filesystem.new_file(f"{folder}/{n}.jpg") as file:
            PIL.Image.new("RGB", (16, 16), (n, 0, 0)).save(file, format="JPEG")

    def interrupt(*_):
        raise KeyboardInterrupt

    for module, name in ((translate_folder, "_write_results"), (rows, "write_work"), (rows, "begin_job")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                translate(picture_run, f"{folder}{glob}", folder)
    filesystem.delete([f"{folder}/1.png"])
    done = translate(picture_run, f"{folder}{glob}", folder)
    assert done == {"translations": 3, "failures": 0, "reused": 2}
    assert translate(picture_run, f"{folder}{glob}", folder)["reused"] == 3
    work = filesystem.list_folder(rows.work_folder(folder))
    assert not work, "nothing is left of the interrupted jobs"


def test_results_of_an_interrupted_job_are_not_opened_on_a_store_before_the_job(picture_run, monkeypatch):
    monkeypatch.setattr(isolation, "start", lambda factory, *arguments, **_: factory(*arguments))
    monkeypatch.setattr(store, "OBJECTS", {})
    with filesystem.new_file("store://b/in/0.jpg") as file:
        PIL.Image.new("RGB", (16, 16)).save(file, format="JPEG")
    monkeypatch.setattr(translate_folder, "_write_results", lambda _: {})
    translate(picture_run, "store://b/in", "store://b/out")
    assert "store://b/out/0.png" in store.OBJECTS and "store://b/out/translations.jsonl" not in store.OBJECTS

    def unexpected(*_):
        raise AssertionError

    monkeypatch.setattr(foreign_files, "_is_result", unexpected)
    translate(picture_run, "store://b/in", "store://b/out")


@pytest.mark.parametrize("where", ["source", "temporary", "result"])
def test_a_full_disk_ends_the_job_and_is_no_fault_of_a_file(picture_run, tmp_path, monkeypatch, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "in").mkdir()
    for n in range(3):
        PIL.Image.new("RGB", (16, 16), (n, 0, 0)).save(tmp_path / "in" / f"{n}.jpg")
    module, name, place = {
        "source": (stable_hash, "file_digest", tempfile.gettempdir()),
        "temporary": (result_formats, "write_image", tempfile.gettempdir()),
        "result": (file_translator.shutil, "copyfileobj", f"{tmp_path}/out/"),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(module, name, full)
        with pytest.raises(UserError, match=f"{place}.*: No space left on device"):
            translate(picture_run, tmp_path / "in", tmp_path / "out")
    assert translate(picture_run, tmp_path / "in", tmp_path / "out")["failures"] == 0
