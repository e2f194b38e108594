"""The format of files of features."""

import errno
import io
import tempfile

import numpy as np
import pytest
import soundfile
from testbed import SMALL, voice

from models.errors import UserError
from models.features.image import ImageSpec
from pipelines.data import feature_extraction
from pipelines.data.feature_file import Features, Layout, Part, Reader
from pipelines.data.feature_store import FeatureStore
from pipelines.data.full_disk import WriteError

IMAGES = ImageSpec(height=8, width=12)


def segments(rng, layout, lengths):
    made = []
    for frames in lengths:
        if isinstance(layout.spec, ImageSpec):
            made.append((rng.integers(0, 256, (8, 12, 3)).astype(np.uint8), None))
        else:
            size = frames * layout.spec.hop_length
            samples = rng.normal(size=size).astype(np.float16) if layout.waveforms else None
            made.append((rng.normal(size=(frames, layout.spec.n_mels)).astype(np.float16), samples))
    return made


def assert_equal(parts, expected):
    assert [part.facts for part in parts] == [part.facts for part in expected]
    for part, written in zip(reversed(parts), reversed(expected), strict=True):  # in any order of the parts
        for (array, samples), (array_0, samples_0) in zip(part.segments, written.segments, strict=True):
            np.testing.assert_array_equal(array, array_0)
            assert (samples is None) == (samples_0 is None)
            np.testing.assert_array_equal(samples, samples_0)


@pytest.mark.parametrize("layout", [Layout(SMALL, False), Layout(SMALL, True), Layout(IMAGES, False)], ids=str)
def test_what_is_written_is_read(tmp_path, rng, layout):
    sources = [
        [Part({"gain": 2.5, "notes": ["naïve"]}, segments(rng, layout, (7, 3))), Part({}, segments(rng, layout, (1,)))],
        [Part({"split": "val"}, segments(rng, layout, (2,)))],
    ]
    places, size = [], 0
    with open(tmp_path / "x", "wb") as file:
        for source in sources:
            with Features(source, layout) as features:
                assert_equal(features.parts(), source)
                places.append(f"x@{size}")
                size += features.copy_to(file)
    with Reader(str(tmp_path), layout) as reader:
        for place, source in reversed([*zip(places, sources, strict=True), ("x", sources[0])]):
            assert_equal(reader.parts(place), source)


@pytest.mark.parametrize(("left", "reason"), [(3, "is broken; delete it"), (-5, "is cut short; delete it")])
def test_a_damaged_file_is_refused(tmp_path, rng, left, reason):
    layout = Layout(SMALL, False)
    with Features([Part({}, segments(rng, layout, (7,)))], layout) as features, open(tmp_path / "x", "wb") as file:
        features.copy_to(file)
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:left])
    with pytest.raises(UserError, match=reason), Reader(str(tmp_path), layout) as reader:
        list(reader.parts("x")[0].segments)


def test_a_source_that_cannot_be_read_fails_with_its_reason():
    soundfile.write(file := io.BytesIO(), voice(110.0, 0.5, 8000, 0), 8000, format="WAV")
    file, store = io.BytesIO(file.getvalue()[:3000]), FeatureStore("", SMALL)
    with pytest.raises(UserError, match="cut short"):
        Features(feature_extraction.extract(file, store, may_cut=False), store.layout)


def test_a_full_disk_is_no_fault_of_the_source():
    def parts():
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    with pytest.raises(WriteError, match=f"{tempfile.gettempdir()}: No space left"):
        Features(parts(), Layout(SMALL, False))
