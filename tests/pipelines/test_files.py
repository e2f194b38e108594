"""Files and folders that are whole or not there, whatever the store can do."""

import json
import math

import pytest
import tensorflow as tf
from testbed import train

from pipelines import files
from pipelines.export import saved_model
from pipelines.inference import exported_model
from pipelines.training import metrics_log


def fill(folder, text):
    """What looks like an export, all of it of one kind."""
    for name in ("variables/index", "variables/data", "saved_model.pb", "deep/saved_model.pb"):
        files.write(f"{folder}/{name}", text.encode())


def content(folder):
    """What the files of a folder hold, all together; nothing where its `saved_model.pb` is missing."""
    if not tf.io.gfile.exists(f"{folder}/saved_model.pb"):
        return set()
    return {files.read(f"{folder}/{name}") for name in files._deepest_first(folder)}


@pytest.fixture(params=["exchange", "no exchange", "store"])
def place(request, tmp_path, monkeypatch):
    """A folder on a disk that exchanges folders, on one that does not, and on a store that renames none."""
    if request.param != "exchange":
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    rename = tf.io.gfile.rename

    def of_files(old, new, overwrite=False):
        if tf.io.gfile.isdir(old):
            raise tf.errors.UnimplementedError(None, None, "no folders here")
        rename(old, new, overwrite=overwrite)

    monkeypatch.setattr(tf.io.gfile, "rename", of_files)
    return f"{tmp_path}/export" if request.param != "store" else f"ram://{tmp_path}/export"


def test_a_folder_takes_the_place_of_another(place):
    for text in ("old", "new"):
        with files.replace_folder(place) as fresh:
            fill(fresh, text)
    assert content(place) == content(files.current_folder(place)) == {b"new"}
    left = set(tf.io.gfile.listdir(place.rpartition("/")[0]))
    assert {name.strip("/") for name in left} == {"export"}


class Killed(BaseException):
    """As good as a kill: nothing after it is done."""


def deadly(patch, calls):
    """Lets so many calls to the file system through, and none after them."""
    left = iter(range(calls))

    def counted(call):
        def counting(*given, **options):
            if next(left, None) is None:
                raise Killed
            return call(*given, **options)

        return counting

    for name in ("rename", "remove", "rmtree", "copy", "makedirs", "GFile"):
        patch.setattr(tf.io.gfile, name, counted(getattr(tf.io.gfile, name)))


def replaced(place, text):
    with files.replace_folder(place) as fresh:
        fill(fresh, text)


def test_a_replacement_that_is_killed_leaves_the_old_or_the_new(place):
    for calls in range(60):
        replaced(place, "old")
        with pytest.MonkeyPatch.context() as patch:
            deadly(patch, calls)
            try:
                replaced(place, "new")
                break
            except Killed:
                pass
        assert content(files.current_folder(place)) in ({b"old"}, {b"new"}), calls
        assert content(place) in ({b"old"}, {b"new"}, set()), calls
        replaced(place, "newest")
        assert content(place) == {b"newest"} and files.current_folder(place) == place
    assert 5 < calls < 59 and content(place) == {b"new"}


def test_an_export_that_fails_leaves_the_one_before(speech_records, tmp_path, features_only, monkeypatch):
    made = train(str(tmp_path), speech_records, "ae", steps=1)
    made.fit()
    before = (tmp_path / "export" / "saved_model.pb").read_bytes()

    def full(module, folder, signatures):
        files.write(f"{folder}/saved_model.pb", b"half")
        raise tf.errors.ResourceExhaustedError(None, None, "no space\nleft")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.saved_model, "save", full)
        with pytest.raises(OSError, match="export: no space$"):
            saved_model.write(made.plugin, made.run, str(tmp_path))
    assert (tmp_path / "export" / "saved_model.pb").read_bytes() == before
    saved_model.write(made.plugin, made.run, str(tmp_path))
    assert exported_model.Model(str(tmp_path)).facts["run"]["plugin"] == "ae"
    assert [path.name for path in tmp_path.glob("export*")] == ["export"]


def test_a_file_into_which_nothing_is_written_is_there_and_empty(tmp_path):
    with files.atomic_file(str(tmp_path / "deep" / "empty.txt")):
        pass
    assert (tmp_path / "deep" / "empty.txt").read_bytes() == b""


def test_broken_lines_of_a_log_are_named_and_empty_ones_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"split": "train", "step": 1}\n\n{"split": "train", "step": 2}\n')
    assert [row["step"] for row in metrics_log.read_metrics(str(tmp_path))] == [1, 2]
    path.write_text('{"split": "train", "step": 1}\n{"split"')
    with pytest.raises(ValueError, match="metrics.jsonl, line 2 is broken"):
        metrics_log.read_metrics(str(tmp_path))


def test_what_cannot_be_read_is_said_in_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(OSError, match=str(path)) as caught:
            files.read(str(path))
        assert "\n" not in str(caught.value) and not isinstance(caught.value, tf.errors.OpError)


@pytest.mark.parametrize("folder", ["{}", "ram://{}"])
def test_of_a_file_that_could_not_be_written_nothing_is_left(tmp_path, folder):
    path = f"{folder.format(tmp_path)}/x"
    files.write(path, b"old")
    with pytest.raises(KeyError):
        with files.atomic_file(path) as file:
            file.write(b"half of the n")
            raise KeyError
    assert files.read(path) == b"old" and tf.io.gfile.listdir(folder.format(tmp_path)) == ["x"]


def test_numbers_that_json_does_not_have_become_null():
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    content = {"a": [math.nan, {"b": math.inf, "c": 1.5}], "d": (-math.inf, 2, None, "NaN", True)}
    written = json.loads(files.json_bytes(content), parse_constant=refuse)
    assert written == {"a": [None, {"b": None, "c": 1.5}], "d": [None, 2, None, "NaN", True]}
