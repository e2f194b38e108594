"""Features of whole sources: recordings joined from their records, and excerpts."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.features import audio
from pipelines.data import cropping, source_features, source_files


def test_an_excerpt_is_a_stretch_that_sounds_and_parallel_files_give_the_same(long_records):
    found = {}
    for domain in "ab":
        made = source_features.read_excerpts(
            long_records, "train", domain, long_records.sources_of("train", domain), 1500
        )
        wholes = {source.id: x for source, x in source_features.read_sources(long_records, "train", domain)}
        for source, start, x in made:
            np.testing.assert_array_equal(x, wholes[source.id][start : start + 1500])
            found[source.id] = start
    assert len(found) == 4 and 0 not in found.values() and found["a/x.wav"] == found["b/x.wav"] != found["a/y.wav"]
    source = dataclasses.replace(long_records.sources[0], active=(0,) * 30 + (1024,) * 2 + (0,) * 5)
    assert 30 * 1024 <= source_features.excerpt_start(source, 1024, 1024) <= 31 * 1024


def test_the_kept_samples_of_a_recording_give_its_kept_frames(segmented_records):
    front_end = segmented_records.spec.features
    for source, log_mels in source_features.read_sources(segmented_records, "train", "low"):
        shards = tf.data.TFRecordDataset(segmented_records.shards("train", "low"))
        parsed = [cropping.parse_example(r, segmented_records.spec, waveform=True) for r in shards]
        parts = [p["waveform"] for p in parsed if p["id"].numpy().decode() == source.id]
        assert len(parts) == len(source.active) > 1
        y = np.concatenate(parts)
        found = audio.log_mel(y, front_end)[: len(log_mels)]
        np.testing.assert_allclose(found, log_mels, atol=0.04)  # both are half floats


def test_whole_recordings_come_once_each_from_several_shards(sparse_records):
    assert len(sparse_records.shards("train", "low")) > 2
    found = {source.id: x for source, x in source_features.read_sources(sparse_records, "train", "low")}
    assert sorted(found) == [source.id for source in sparse_records.sources_of("train", "low")]
    for source in sparse_records.sources_of("train", "low"):
        assert len(source.active) > 2 and len(found[source.id]) == source.frames


@pytest.mark.parametrize(
    ("identifier", "part", "stem"),
    [
        ("a/f/x.wav", (), "f/x"),
        ("a/f/x.wav", (0.5, 3.0), "f/x"),
        ("a/f/x.wav#val", (20.0, 30.0), "f/x"),
        ("a/f/x.wav#0002", (2.5, 4.0), "f/x#2.5"),
        ("a/f/x.wav#val-0002", (2.5, 4.0), "f/x#2.5"),
    ],
)
def test_pieces_of_parallel_recordings_have_the_same_stem_if_they_begin_together(identifier, part, stem):
    facts = {"path": "", "domain": "a", "split": "val", "hash": "", "length": 1.0, "gain": 1.0, "frames": 9}
    source = source_files.Source(id=identifier, part=part, active=(9,), **facts)
    assert source_features.pair_stem(source) == stem
