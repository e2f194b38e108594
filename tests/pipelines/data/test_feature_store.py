"""Files of features between the passes of `preprocess`."""

import dataclasses
import io

import numpy as np
import pytest
import soundfile
import store as objects_store
from testbed import SMALL, voice

from models.errors import UserError
from models.features.image import ImageSpec
from pipelines.data import feature_extraction, tfrecord
from pipelines.data.feature_store import FeatureStore, Part

IMAGES = ImageSpec(height=8, width=12)


def segments(rng, store, lengths):
    made = []
    for frames in lengths:
        if isinstance(store.spec, ImageSpec):
            made.append((rng.integers(0, 256, (8, 12, 3)).astype(np.uint8), None))
        else:
            samples = rng.normal(size=frames * store.spec.hop_length).astype(np.float16) if store.waveforms else None
            made.append((rng.normal(size=(frames, store.spec.n_mels)).astype(np.float16), samples))
    return made


@pytest.mark.parametrize(("spec", "waveforms"), [(SMALL, False), (SMALL, True), (IMAGES, False)], ids=str)
def test_what_is_written_is_read(tmp_path, rng, spec, waveforms):
    store = FeatureStore(str(tmp_path), spec, waveforms)
    written = [
        Part({"gain": 2.5, "notes": ["naïve"]}, segments(rng, store, (7, 3))),
        Part({}, segments(rng, store, (1,))),
    ]
    assert not store.has("ab/x")
    store.write("ab/x", lambda: written)
    assert store.has("ab/x")
    with store.read("ab/x") as parts:
        assert [part.facts for part in parts] == [part.facts for part in written]
        for part, expected in zip(reversed(parts), reversed(written), strict=True):  # in any order of the parts
            for (array, samples), (array_0, samples_0) in zip(part.segments, expected.segments, strict=True):
                np.testing.assert_array_equal(array, array_0)
                assert (samples is None) == (samples_0 is None)
                np.testing.assert_array_equal(samples, samples_0)
    store.delete_all()
    assert not store.has("ab/x")


def test_the_name_follows_from_all_that_features_depend_on(monkeypatch):
    store = FeatureStore("", SMALL, fractions=(0.1, 0.1))
    names = {
        store.name("00ff", may_cut=False),
        store.name("00ff", may_cut=True),
        store.name("01ff", may_cut=False),
        dataclasses.replace(store, waveforms=True).name("00ff", may_cut=False),
        dataclasses.replace(store, spec=dataclasses.replace(SMALL, level_db=-20.0)).name("00ff", may_cut=False),
        dataclasses.replace(store, spec=IMAGES).name("00ff", may_cut=False),
        dataclasses.replace(store, fractions=(0.2, 0.1)).name("00ff", may_cut=True),
    }
    assert len(names) == 7 and all(name[2] == "/" for name in names)
    others = [dataclasses.replace(store, folder="other"), dataclasses.replace(store, fractions=(0.2, 0.1))]
    assert {other.name("00ff", may_cut=False) for other in others} == {store.name("00ff", may_cut=False)}
    monkeypatch.setattr(tfrecord, "SEGMENT_FRAMES", 50)
    assert store.name("00ff", may_cut=False) not in names


@pytest.mark.parametrize(("left", "reason"), [(3, "is broken; delete it"), (-5, "is cut short; delete it")])
def test_a_damaged_file_is_refused(tmp_path, rng, left, reason):
    store = FeatureStore(str(tmp_path), SMALL)
    store.write("x", lambda: [Part({}, segments(rng, store, (7,)))])
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:left])
    with pytest.raises(UserError, match=reason), store.read("x") as parts:
        list(parts[0].segments)


def test_a_source_that_cannot_be_read_leaves_no_file(tmp_path):
    store = FeatureStore(str(tmp_path), SMALL)
    soundfile.write(file := io.BytesIO(), voice(110.0, 0.5, 8000, 0), 8000, format="WAV")
    file = io.BytesIO(file.getvalue()[:3000])
    with pytest.raises(UserError, match="cut short"):
        store.write("x", lambda: feature_extraction.extract(file, store, may_cut=False))
    assert not any(tmp_path.iterdir())


def test_features_on_a_remote_store_are_deleted_together(monkeypatch, rng):
    monkeypatch.setattr(objects_store, "OBJECTS", {"store://b/work": b"another's"})
    store = FeatureStore("store://b/work/features", SMALL)
    for name in ("aa/x", "bb/y"):
        store.write(name, lambda: [Part({}, segments(rng, store, (3,)))])
    with store.read("bb/y") as parts:
        assert len(list(parts[0].segments)) == 1
    store.delete_all()
    assert list(objects_store.OBJECTS) == ["store://b/work"]
