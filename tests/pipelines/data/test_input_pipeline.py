"""Batches: a function of the step, equal for any number of replicas, and free of silence."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from input_batches import CONFIG, FORMS, KINDS, Mixed, Paired, Unpaired, Waveforms, assert_same, batches, concatenate

from pipelines.data import cropping, input_pipeline, source_features
from plugins import base


def test_segments_of_long_recordings_are_drawn_like_clips(long_records):
    stream = input_pipeline._domain_stream(
        long_records, "train", "a", base.Config(crop_frames=128), first=0, domain_index=0
    )
    drawn = []
    for record in stream.take(100):
        head = tf.io.parse_single_example(record, source_features.KEY_FEATURES)
        drawn.append((head["id"].numpy(), int(head["segment"])))
    assert len(set(drawn)) >= 60
    first = [segment for name, segment in drawn[:20]]
    assert len({name for name, _ in drawn[:20]}) == 2 and np.ptp(first) > 20


@pytest.mark.parametrize("form", [Mixed, Unpaired, Paired])
def test_a_run_on_long_recordings_goes_on_in_any_round(long_records, form):
    made = base.Config(crop_frames=128)
    whole = batches(long_records, form, count=300, batch_size=4, config=made)
    for start in (37, 150, 297):
        assert_same(batches(long_records, form, count=2, config=made, start_step=start), whole[start : start + 2])


def test_the_cache_is_bounded_over_all_domains_together(monkeypatch):
    monkeypatch.setattr(input_pipeline, "CACHE_BYTES", 10)
    assert input_pipeline.domains_to_cache({"a": 6, "b": 6, "c": 3}) == {"c", "a"}


@FORMS
@KINDS
def test_batches_from_a_start_step_equal_the_later_batches(records_by_kind, kind, form):
    whole = batches(records_by_kind[kind], form, count=14, batch_size=3)
    assert [batch["step"].tolist() for batch in whole] == [[step] * 3 for step in range(14)]
    for start in (1, 5, 12):
        assert_same(
            batches(records_by_kind[kind], form, count=2, batch_size=3, start_step=start), whole[start : start + 2]
        )


@FORMS
def test_shards_of_replicas_and_workers_join_to_the_global_batch(records_by_kind, form):
    def shares(replicas, workers=1):
        places = [input_pipeline.WorkerShard(n, workers, replicas) for n in range(workers)]
        each = [
            batches(records_by_kind["speech"], form, count=3 * replicas, batch_size=8, shard=place) for place in places
        ]
        steps = range(0, 3 * replicas, replicas)
        return [concatenate([part for mine in each for part in mine[step : step + replicas]]) for step in steps]

    whole = batches(records_by_kind["speech"], form, count=3, batch_size=8)
    assert all(batch["index"].tolist() == list(range(8)) for batch in whole)
    for replicas, workers in ((2, 1), (1, 2), (2, 2)):
        assert_same(shares(replicas, workers), whole)


def test_a_batch_size_that_replicas_do_not_divide_is_refused(records_by_kind):
    for batch_size in (0, 2, 6):
        with pytest.raises(ValueError, match=f"batch_size={batch_size}; wanted a multiple of 4 replicas"):
            batches(
                records_by_kind["speech"],
                Mixed,
                count=1,
                batch_size=batch_size,
                shard=input_pipeline.WorkerShard(0, 2, 2),
            )


@KINDS
def test_batches_depend_on_the_configurations_seed_and_on_no_other(records_by_kind, kind):
    first = batches(records_by_kind[kind], Unpaired, count=2)
    tf.random.set_seed(7)
    assert_same(batches(records_by_kind[kind], Unpaired, count=2), first)
    (other,) = batches(records_by_kind[kind], Unpaired, count=1, config=dataclasses.replace(CONFIG, seed=4))
    assert not np.array_equal(other["a"], first[0]["a"]) and not np.array_equal(other["b"], first[0]["b"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_epoch_draws_every_picture_once_and_the_next_in_another_order(records_by_kind, split):
    data = records_by_kind["picture"]
    for key, name in zip("ab", data.spec.domains, strict=True):
        pictures = [x for _, x in source_features.read_sources(data, split, name)]
        drawn = concatenate(batches(data, Unpaired, count=3 * len(pictures), batch_size=1, split=split))[key]
        epochs = np.split(drawn, 3)
        for epoch in epochs:
            assert sorted(map(np.ndarray.tobytes, epoch)) == sorted(map(np.ndarray.tobytes, np.stack(pictures)))
        if len(pictures) > 3:
            assert any(not np.array_equal(x, y) for x, y in itertools.pairwise(epochs))


def test_an_epoch_of_speech_draws_a_record_as_often_as_it_has_crops(records_by_kind):
    data = records_by_kind["speech"]
    times = {s.id: cropping.crops_per_epoch(s.active[0], 16) for s in data.sources_of("train", "low")}
    assert len(set(times.values())) > 1
    stream = input_pipeline._domain_stream(data, "train", "low", CONFIG, first=0, domain_index=0)
    for number in range(2):
        epoch = stream.skip(number * sum(times.values())).take(sum(times.values()))
        drawn = collections.Counter(cropping.parse_example(r, data.spec)["id"].numpy().decode() for r in epoch)
        assert drawn == times


def test_a_recording_is_cropped_at_different_positions(records_by_kind):
    recordings = records_by_kind["speech"].sources_of("val", "low")
    drawn = concatenate(
        batches(records_by_kind["speech"], Unpaired, count=10 * len(recordings), batch_size=1, split="val")
    )["a"]
    assert len({crop.tobytes() for crop in drawn}) > 3 * len(recordings)


@KINDS
def test_mixed_batches_alternate_domains_and_label_them(records_by_kind, kind):
    data = records_by_kind[kind]
    batch = concatenate(batches(data, Mixed, count=6, batch_size=5))
    assert batch["domain"].tolist() == [row % 2 for row in range(30)]
    known = [
        np.concatenate([x.reshape(-1, x.shape[-1]) for _, x in source_features.read_sources(data, "train", n)])
        for n in data.spec.domains
    ]
    rows = [set(map(np.ndarray.tobytes, vectors)) for vectors in known]
    for domain, x in zip(batch["domain"], batch["x"], strict=True):
        vectors = [
            v for v in x.reshape(-1, x.shape[-1]) if v.max() > records_by_kind["speech"].spec.features.log_floor + 0.1
        ]
        assert vectors and all(v.tobytes() in rows[domain] for v in vectors)


@KINDS
def test_features_have_the_shape_of_the_spec(records_by_kind, kind):
    spec = records_by_kind[kind].spec
    (batch,) = batches(records_by_kind[kind], Unpaired, count=1)
    for x in (batch["a"], batch["b"]):
        assert x.shape == (4, *spec.feature_shape(16)) and x.dtype == np.float32
        low, high = (-1, 1) if kind == "picture" else (np.float16(spec.features.log_floor), 12)
        assert low <= x.min() < x.max() <= high


def test_batches_with_samples_are_a_function_of_the_step_and_can_be_sharded(segmented_records):
    whole = batches(segmented_records, Waveforms, count=6)
    assert_same(batches(segmented_records, Waveforms, count=2, start_step=4), whole[4:])
    halves = batches(segmented_records, Waveforms, count=12, shard=input_pipeline.WorkerShard(0, 1, 2))
    assert_same([concatenate(halves[n : n + 2]) for n in range(0, 12, 2)], whole)


def test_records_without_samples_are_refused_for_vocoders(records_by_kind):
    complaint = "speech has no waveforms; run preprocess with --keep_waveforms"
    with pytest.raises(ValueError, match=complaint):
        batches(records_by_kind["speech"], Waveforms, count=1)


def test_plugins_without_waveforms_read_records_with_samples(segmented_records):
    assert {"x", "domain", "index", "step"} == set(batches(segmented_records, Mixed, count=1)[0])


class Louder:
    """In place of a translator: the frame before and the frame after, added up, and where it was asked for."""

    margin = 1

    def __call__(self, log_mels, domain, row):
        self.asked = log_mels.shape
        return log_mels[:-2] + log_mels[2:]


def test_frames_can_be_replaced_by_the_output_of_a_model(segmented_records):
    plain = batches(segmented_records, Waveforms, count=3)
    shown = batches(dataclasses.replace(segmented_records, mel_transform=Louder()), Waveforms, count=3)
    for before, after in zip(plain, shown, strict=True):
        np.testing.assert_array_equal(before["waveform"], after["waveform"])
        wanted = before["x"][:, :-2] + before["x"][:, 2:]
        np.testing.assert_array_equal(after["x"][:, 1:-1], wanted)


def test_records_of_all_shards_are_drawn(sparse_records):
    draws = sum(
        cropping.crops_per_epoch(active, 16)
        for source in sparse_records.sources_of("train", "low")
        for active in source.active
    )
    stream = input_pipeline._domain_stream(sparse_records, "train", "low", CONFIG, first=0, domain_index=0).take(draws)
    drawn = {cropping.parse_example(r, sparse_records.spec)["id"].numpy().decode() for r in stream}
    assert drawn == {source.id for source in sparse_records.sources_of("train", "low")}


@pytest.mark.parametrize(
    ("split", "complaint"),
    [
        ("train", "domain silent: no example in the train split; all of its 1 files are silent"),
        ("val", "domain low: no example in the val split; it has no files"),
    ],
)
def test_a_split_with_nothing_to_draw_from_is_refused(sparse_records, split, complaint):
    for form in (Mixed, Unpaired):
        with pytest.raises(ValueError, match=complaint):
            batches(sparse_records, form, count=1, split=split)
