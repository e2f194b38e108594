"""The survey of a batch of source files."""

import errno

import numpy as np
import pytest
import soundfile
from testbed import SMALL, voice

from models.errors import UserError
from pipelines.beam import filesystem
from pipelines.jobs.batch_survey import BatchSurveyor
from pipelines.jobs.preprocess_job import PreprocessJob


@pytest.fixture
def job(tmp_path):
    return PreprocessJob("audio", SMALL, (), str(tmp_path / "out"), (0.0, 0.0), "file")


@pytest.fixture
def files(tmp_path):
    """Rows of three recordings, of which the last has the bytes of the first, and of a file that is none."""
    for n, f0_hz in enumerate((110.0, 160.0, 110.0)):
        soundfile.write(tmp_path / f"{n}.wav", voice(f0_hz, 0.5, SMALL.sample_rate_hz, seed=0), SMALL.sample_rate_hz)
    (tmp_path / "3.wav").write_bytes(b"no sound")
    names = [f"{n}.wav" for n in range(4)]
    return [{"id": f"a/{n}", "path": str(tmp_path / n), "domain": "a", "split": "train"} for n in names]


def test_features_are_written_when_the_outcomes_are_returned(job, files):
    *surveyed, failed = BatchSurveyor(job)(files)
    assert [source.id for each in surveyed for source in each.sources] == ["a/0.wav", "a/1.wav", "a/2.wav"]
    (first,), (second,), (third,) = (each.sources for each in surveyed)
    assert first.features == third.features != second.features, "the features of equal bytes are written once"
    with job.store.reader() as reader:
        for each in surveyed:
            ((key, moments),) = each.moments
            (part,) = reader.parts(each.sources[0].features)
            assert key == ("a", "train", "features") and moments.count == sum(each.sources[0].active)
            assert sum(len(array) for array, _ in part.segments) == each.sources[0].frames
    assert not failed.sources and failed.failure["path"].endswith("3.wav") and not failed.moments


def test_the_same_batch_reuses_features_of_the_same_bytes_only(job, files):
    before = BatchSurveyor(job)(files)
    soundfile.write(files[1]["path"], np.zeros(4000, np.float32), SMALL.sample_rate_hz)
    after = BatchSurveyor(job)(files)
    assert [each.reused for each in after] == [True, False, True, False]
    assert after[0].sources == before[0].sources and after[1].sources[0].hash != before[1].sources[0].hash


def test_a_full_disk_on_opening_a_file_ends_the_job(job, files, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filesystem, "open_file", full)
    with pytest.raises(UserError, match="No space left on device"):
        BatchSurveyor(job)(files)
