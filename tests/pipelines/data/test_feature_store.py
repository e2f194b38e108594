"""Files of features between the passes of `preprocess`, and from one `preprocess` to the next."""

import concurrent.futures
import contextlib
import dataclasses
import os
import time

import numpy as np
import pytest
import store as objects_store
from testbed import SMALL

from models.features.image import ImageSpec
from pipelines.beam import filesystem
from pipelines.data import feature_store, tfrecord
from pipelines.data.feature_file import Features, Part
from pipelines.data.feature_store import FeatureStore
from pipelines.data.full_disk import WriteError


def add(batch, name, value, frames=3):
    """Write features of one source whose values are all the same; return their place."""
    array = np.full((frames, SMALL.n_mels), value, np.float16)
    with Features([Part({}, [(array, None)])], FeatureStore("", SMALL).layout) as features:
        return batch.add(name, features)


def value(reader, place):
    (part,) = reader.parts(place)
    ((array, _),) = part.segments
    return int(array[0, 0])


def test_features_that_are_kept_are_there_for_any_later_batch(tmp_path):
    store = FeatureStore(str(tmp_path), SMALL, is_cache=True)
    with store.batch(["a", "b"]) as batch:
        assert not batch.find("ab/x")
        place = add(batch, "ab/x", 5)
        assert batch.find("ab/x") == place
    with store.batch(["b"]) as batch, store.reader() as reader:
        assert value(reader, batch.find("ab/x")) == 5 and not batch.find("ab/y")
    store.delete_all()
    with store.batch(["b"]) as batch:
        assert not batch.find("ab/x")


def test_a_partial_file_of_a_killed_worker_is_deleted_after_a_day(tmp_path, monkeypatch):
    def die(*_):
        raise KeyError

    store = FeatureStore(str(tmp_path), SMALL, is_cache=True)
    with monkeypatch.context() as patch, store.batch(["a"]) as batch:
        patch.setattr(Features, "copy_to", die)
        patch.setattr(filesystem, "delete", lambda paths: None)  # a process that is killed does not clean up
        for name in ("ab/old", "cd/new"):
            with pytest.raises(KeyError):
                add(batch, name, 5)
    old, new = (tmp_path / feature_store.PARTIAL_FOLDER).iterdir()
    assert old.name.startswith(filesystem.PART_PREFIX)
    os.utime(old, 2 * (time.time() - 1.1 * feature_store.MIN_STALE_S,))
    with store.batch(["a"]) as batch:
        add(batch, "ab/x", 5)
    store.delete_stale_files()
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {new, tmp_path / "ab" / "x"}


@pytest.mark.parametrize("folder", ["local", "store://b/work/features"])
def test_sources_that_threads_add_share_one_file(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(objects_store, "OBJECTS", {"store://b/work": b"another's"})
    store = FeatureStore(folder if "://" in folder else str(tmp_path / folder), SMALL)
    with concurrent.futures.ThreadPoolExecutor(4) as executor, store.batch("ab") as batch:
        places = list(executor.map(lambda n: add(batch, str(n), n, frames=1 + n % 3), range(40)))
    with store.reader() as reader:
        assert [value(reader, place) for place in places] == list(range(40))
    files = objects_store.OBJECTS if "://" in folder else filesystem.list_folder(store.folder)
    assert len(files) == (3 if "://" in folder else 2), "of features, and their index"
    store.delete_all()
    assert list(objects_store.OBJECTS) == ["store://b/work"]
    assert "://" in folder or not (tmp_path / folder).exists()


def test_a_batch_of_the_same_paths_has_what_an_earlier_job_added(tmp_path):
    store = FeatureStore(str(tmp_path), SMALL)
    for names, there in (("xy", ""), ("yz", "xy"), ("", "xyz")):
        with store.batch(["a", "b"]) as batch, store.reader() as reader:
            assert [value(reader, batch.find(name)) for name in there] == [ord(name) for name in there]
            for name in names:
                add(batch, name, ord(name))
    with store.batch(["a"]) as batch:
        assert not batch.find("x")


def test_a_shared_file_is_complete_or_not_there(tmp_path):
    store = FeatureStore(str(tmp_path), SMALL)
    with store.batch("ab"):
        pass
    with contextlib.suppress(KeyError), store.batch("ab") as batch:
        add(batch, "x", 1)
        raise KeyError
    assert not any(tmp_path.iterdir())


def test_a_thread_that_goes_on_after_an_error_opens_no_file(tmp_path):
    store = FeatureStore(str(tmp_path), SMALL)
    with contextlib.suppress(KeyError), store.batch("ab") as batch:
        raise KeyError
    with pytest.raises(WriteError, match="closed"):
        add(batch, "x", 1)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("is_cache", [False, True])
def test_a_folder_that_cannot_be_written_ends_the_job(tmp_path, is_cache):
    (tmp_path / "file").touch()
    store = FeatureStore(str(tmp_path / "file" / "in_it"), SMALL, is_cache=is_cache)
    with pytest.raises(WriteError, match="cannot be written"), store.batch("ab") as batch:
        add(batch, "x", 1)


def test_the_name_follows_from_all_that_features_depend_on(monkeypatch):
    store = FeatureStore("", SMALL, fractions=(0.1, 0.1))
    names = {
        store.name("00ff", may_cut=False),
        store.name("00ff", may_cut=True),
        store.name("01ff", may_cut=False),
        dataclasses.replace(store, waveforms=True).name("00ff", may_cut=False),
        dataclasses.replace(store, spec=dataclasses.replace(SMALL, level_db=-20.0)).name("00ff", may_cut=False),
        dataclasses.replace(store, spec=ImageSpec(height=8, width=12)).name("00ff", may_cut=False),
        dataclasses.replace(store, fractions=(0.2, 0.1)).name("00ff", may_cut=True),
    }
    assert len(names) == 7 and all(name[2] == "/" for name in names)
    others = [dataclasses.replace(store, folder="other"), dataclasses.replace(store, fractions=(0.2, 0.1))]
    assert {other.name("00ff", may_cut=False) for other in others} == {store.name("00ff", may_cut=False)}
    monkeypatch.setattr(tfrecord, "SEGMENT_FRAMES", 50)
    assert store.name("00ff", may_cut=False) not in names
