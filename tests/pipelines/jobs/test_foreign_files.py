"""Files that `translate` would replace: results of its own, or a user's."""

import json
import os

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
import soundfile
import store

from models.errors import UserError
from pipelines.beam import filesystem, rows
from pipelines.data import long_lists, part_names
from pipelines.data.file_table import FileEntry
from pipelines.data.ignored_files import TRANSLATIONS
from pipelines.inference import result_formats
from pipelines.jobs import foreign_files
from pipelines.jobs.translation_plan import TranslationPlan

ORIGIN = {"crossfade": "1", "hash": "0f", "model": "1e", "options": {}}


def write_result(path, kind="audio", origin=ORIGIN):
    with filesystem.new_file(str(path)) as file:
        if kind == "audio":
            result_formats.write_sound(file, "wav", [np.zeros((9, 1))], (9, 1), 8000, origin)
        else:
            result_formats.write_image(file, "png", np.zeros((2, 2, 3), np.uint8), origin)


def write_list(folder, *names):
    fields = {"path": "in/x", "source": "a", "target": "b"}
    long_lists.write_list(str(folder), TRANSLATIONS, [{"output": name, **fields} for name in names])


def check(folder, *names, kind="audio"):
    suffix = ".wav" if kind == "audio" else ".png"
    files = [FileEntry(f"in/{name}.x", 1) for name in names]
    plan = TranslationPlan(files, "in/", suffix, str(folder))
    foreign_files.refuse_foreign_files(plan, str(folder), kind)


def test_a_users_file_is_protected_also_beside_results(tmp_path):
    write_list(tmp_path, "a.wav")
    write_result(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", np.ones(9), 8000)
    check(tmp_path, "a", "c")
    for names in (["b"], ["a", "b", "c"]):
        with pytest.raises(UserError, match="b.wav exists and was not written by translate"):
            check(tmp_path, *names)
    rows.write_ownership(str(tmp_path), [])  # as a job leaves it that was killed
    with pytest.raises(UserError, match="b.wav exists"):
        check(tmp_path, "b")


@pytest.mark.parametrize("kind", ["audio", "image"])
def test_a_result_is_known_by_the_list_or_by_its_provenance(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(part_names, "MAX_LINES", 2)
    suffix = ".wav" if kind == "audio" else ".png"
    write_list(tmp_path, *(f"listed {n}{suffix}" for n in range(5)))
    assert not (tmp_path / TRANSLATIONS).exists(), "the list is in several files"
    for n in range(5):
        (tmp_path / f"listed {n}{suffix}").write_text("of a version without provenance")
    write_result(tmp_path / "deep" / f"unlisted{suffix}", kind)
    check(tmp_path, *(f"listed {n}" for n in range(5)), "deep/unlisted", kind=kind)
    (tmp_path / f"listed 5{suffix}").write_text("a user's")
    with pytest.raises(UserError, match="listed 5"):
        check(tmp_path, "listed 4", "listed 5", kind=kind)


@pytest.mark.parametrize("comment", ["5", '"text"', "[]", '{"prompt": "a cat"}', json.dumps({"hash": "0f"})])
def test_a_comment_of_another_program_is_no_provenance(tmp_path, comment):
    text = PIL.PngImagePlugin.PngInfo()
    text.add_text("Comment", comment)
    PIL.Image.new("RGB", (2, 2)).save(tmp_path / "a.png", pnginfo=text)
    with pytest.raises(UserError, match="a.png exists"):
        check(tmp_path, "a", kind="image")


def test_a_broken_link_is_a_users(tmp_path):
    write_list(tmp_path)
    os.symlink("nowhere", tmp_path / "a.wav")
    with pytest.raises(UserError, match="a.wav exists"):
        check(tmp_path, "a")


def test_a_list_of_another_program_is_protected_and_names_no_results(tmp_path):
    (tmp_path / TRANSLATIONS).write_text('{"output": "a.wav"}\n')
    with pytest.raises(UserError, match=f"{TRANSLATIONS} exists"):
        check(tmp_path, "b")
    row = {"path": "in/x", "output": "\ud800.wav", "source": "a", "target": "b"}
    (tmp_path / TRANSLATIONS).write_text(f"{json.dumps(row)}\n")
    check(tmp_path, "b")  # a name that no file can have


def test_on_a_store_only_files_that_no_list_names_are_read(monkeypatch):
    folder, opened = "store://b/out", []
    monkeypatch.setattr(store, "OBJECTS", {})
    write_list(folder, *(f"{n}.wav" for n in range(50)))
    for n in range(51):
        write_result(f"{folder}/{n}.wav")
    read = store.Store.open
    monkeypatch.setattr(store.Store, "open", lambda self, path, *a, **k: opened.append(path) or read(self, path))
    check(folder, *(str(n) for n in range(60)))
    assert {path for path in opened if path.endswith(".wav")} == {f"{folder}/50.wav"}
    store.OBJECTS[f"{folder}/55.wav"] = b"a user's"
    with pytest.raises(UserError, match="55.wav exists"):
        check(folder, *(str(n) for n in range(60)))
