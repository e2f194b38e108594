"""Files on every file system of Beam: whole or not there, few requests to a store, one command a folder."""

import io
import os

import preprocessing
import pytest
import soundfile
import store
from testbed import voice

from models.features.audio import AudioSpec
from pipelines.beam import filesystem

RATE_HZ = 8000


@pytest.fixture
def objects(monkeypatch):
    monkeypatch.setattr(store, "OBJECTS", {})
    return store.OBJECTS


@pytest.fixture
def requests(objects, monkeypatch):
    """Names of the requests that a store gets, one after the other."""
    names = []
    for name in ("_list", "exists", "metadata", "open", "create", "rename"):
        request = getattr(store.Store, name)

        def counted(*arguments, name=name, request=request, **options):
            names.append(name)
            return request(*arguments, **options)

        monkeypatch.setattr(store.Store, name, counted)
    return names


@pytest.mark.parametrize("folder", ["{}", "store://bucket"])
def test_two_that_write_the_same_file_at_once_do_not_write_into_each_others(objects, tmp_path, folder):
    path = f"{folder.format(tmp_path)}/x"
    with filesystem.new_file(path) as first:
        first.write(b"first")
        with filesystem.new_file(path) as second:
            second.write(b"second")
        first.write(b" and to its end")
    assert filesystem.read_text(path) == "first and to its end"
    assert os.listdir(tmp_path) == (["x"] if folder == "{}" else [])


@pytest.mark.parametrize("folder", ["{}", "store://bucket"])
def test_a_file_may_be_in_another_folder_while_it_is_written(objects, tmp_path, folder):
    folder = folder.format(tmp_path)
    with filesystem.new_file(f"{folder}/ab/x", f"{folder}/partial") as file:
        file.write(b"text")
        assert not filesystem.exists(f"{folder}/ab/x")
        assert "store" in folder or len(filesystem.list_folder(f"{folder}/partial")) == 1
    assert filesystem.read_text(f"{folder}/ab/x") == "text" and not filesystem.list_folder(f"{folder}/partial")


def test_on_a_store_with_folders_the_destination_is_created_before_a_file_is_renamed_into_it(objects, monkeypatch):
    created = []
    monkeypatch.setattr(store.Store, "has_dirs", lambda _: True)
    monkeypatch.setattr(store.Store, "mkdirs", lambda _, path: created.append(path))
    with filesystem.new_file("store://bucket/ab/x", "store://bucket/partial") as file:
        file.write(b"text")
    assert created == ["store://bucket/ab"] and list(objects) == ["store://bucket/ab/x"]


def test_a_new_file_on_a_store_asks_for_no_folders(requests):
    filesystem.write_text("store://bucket/deep/x", "text")
    assert requests[:2] == ["create", "rename"]


def test_a_recording_on_a_store_is_fetched_once(objects, requests):
    file = io.BytesIO()
    soundfile.write(file, voice(110.0, 1.0, RATE_HZ, seed=0), RATE_HZ, format="FLAC")
    objects["store://bucket/x.flac"] = file.getvalue()
    row = {"id": "a/x", "path": "store://bucket/x.flac", "domain": "a", "split": "train"}
    with filesystem.open_file(row["path"]) as opened:
        ((source, *_),) = preprocessing.survey_file(opened, row, AudioSpec.at(RATE_HZ), (0.0, 0.0))
    assert source.length == pytest.approx(1.0) and requests == ["open"]


def test_what_a_store_streams_can_be_read_from_any_place(objects, monkeypatch):
    class Stream(io.BytesIO):
        def seek(self, *_):
            pytest.fail("a request more")

    monkeypatch.setattr(store.Store, "open", lambda *_, **__: Stream(b"0123456789"))
    with filesystem.open_file("store://bucket/x") as file:
        assert file.seek(-2, os.SEEK_END) == 8 and file.read() == b"89"
        file.seek(0)
        assert file.read(3) == b"012"


def test_leftovers_of_all_folders_of_a_store_cost_one_listing(objects, requests):
    left = [f"store://bucket/out/{folder}{filesystem.PART_PREFIX}1" for folder in ("", "a/", "b/c/")]
    objects |= dict.fromkeys(
        [*left, "store://bucket/out/a/x.wav", f"store://bucket/other/{filesystem.PART_PREFIX}1"], b""
    )
    filesystem.delete_partial_files("store://bucket/out", ["a", "b/c"])
    assert sorted(objects) == [f"store://bucket/other/{filesystem.PART_PREFIX}1", "store://bucket/out/a/x.wav"]
    assert requests[0] == "_list" and requests.count("_list") == 1


def test_leftovers_are_looked_for_in_the_folders_that_are_named_and_no_others(tmp_path):
    for name in ("", "mine", "theirs"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{filesystem.PART_PREFIX}1").write_text("")
    filesystem.delete_partial_files(str(tmp_path), ["mine", "never made"])
    assert [path.parent.name for path in tmp_path.rglob(f"{filesystem.PART_PREFIX}*")] == ["theirs"]


def test_a_second_command_does_not_write_where_one_is_at_work(tmp_path):
    with filesystem.folder_lock("data_dir", str(tmp_path)):
        with pytest.raises(ValueError, match="--data_dir=.*another command is writing there"):
            with filesystem.folder_lock("data_dir", str(tmp_path)):
                pass
    with filesystem.folder_lock("data_dir", str(tmp_path)):
        assert os.listdir(tmp_path) == []
