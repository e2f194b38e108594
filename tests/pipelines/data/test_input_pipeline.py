"""The order of draws: long recordings are shuffled like clips, pairs are found by name, and memory is bounded."""

import dataclasses
import json
import shutil
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws, preprocess

from models.features import audio, stats
from models.features.spec import Spec
from pipelines import config
from pipelines.data import dataset, input_pipeline, pairs, source_features, systematic_sampling, tfrecord
from plugins import base
from tests.pipelines.data.test_dataset import KINDS, Mixed, Paired, Unpaired, assert_same, batches, joined


@pytest.fixture(scope="module")
def data_of(speech_records, picture_records):
    return {"speech": dataset.open_records(speech_records), "picture": dataset.open_records(picture_records)}


@pytest.fixture(scope="module")
def long_records(tmp_path_factory):
    """Records of two recordings of 37 segments each in either domain, as `preprocess` leaves them."""
    folder, rows, sizes = tmp_path_factory.mktemp("long"), [], {}
    rng = np.random.default_rng(0)
    for domain in "ab":
        encoded = []
        for name in "xy":
            active = tuple(1024 - 50 * (n % 4) for n in range(37))
            row = {"id": f"{domain}/{name}.wav", "path": "", "domain": domain, "split": "train", "hash": name}
            rows.append(row | {"length": 600.0, "gain": 1.0, "frames": 37 * 1024, "active": active})
            texts = {"id": row["id"], "domain": domain, "label": ""}
            for n, sounds in enumerate(active):
                log_mels = rng.normal(-4, 1, (1024, 2)).astype(np.float16)
                encoded.append(tfrecord.frame_record(tfrecord.encode_example("audio", log_mels, texts, n, sounds)))
        (folder / tfrecord.shard_name(domain, "train", 0, 1)).write_bytes(b"".join(encoded))
        sizes[domain, "train"] = [(len(encoded), sum(map(len, encoded)))]
    front_end = audio.AudioSpec.at(8000, n_fft=256, n_mels=2)
    moments = {name: stats.Moments.of(rng.normal(-4, 1, (64, 2)), lags=stats.LAGS) for name in "ab"}
    written = {
        "statistics.json": json.dumps(config.spec_to_json(Spec(front_end, ("a", "b"), moments))),
        "manifest.jsonl": "".join(tfrecord.json_lines(rows)),
        "features.json": json.dumps(tfrecord.features_json("audio", (None, 2))),
        "dataset_info.json": json.dumps(tfrecord.dataset_info_json(sizes)),
    }
    for name, text in written.items():
        (folder / name).write_text(text)
    return dataset.open_records(str(folder))


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


# ------------------------------------------------------------------ pairs


def test_pairs_are_of_one_stem_and_run_alike(data_of):
    pictures = joined(batches(data_of["picture"], Paired, count=8))
    bright = pictures["a"].mean(axis=(1, 2, 3))
    assert np.corrcoef(bright, pictures["b"].mean(axis=(1, 2, 3)))[0, 1] < -0.99  # the second are the first, inverted
    assert len(np.unique(bright)) > 5
    speech = joined(batches(data_of["speech"], Paired, count=8))
    loud = [np.exp(speech[name]).sum(axis=-1) for name in "ab"]
    agree = [np.corrcoef(a, b)[0, 1] for a, b in zip(*loud, strict=True)]
    shifted = [np.corrcoef(a, np.roll(b, 5))[0, 1] for a, b in zip(*loud, strict=True)]
    assert np.median(agree) > 0.5 > np.median(shifted)


@KINDS
def test_pairs_are_a_function_of_the_step(kind, data_of):
    whole = batches(data_of[kind], Paired, count=9)
    assert_same(batches(data_of[kind], Paired, count=3, start_step=6), whole[6:])


def test_what_has_no_partner_is_no_pair(speech_folder, tmp_path):
    for name in ("low", "high"):
        (tmp_path / name).mkdir()
        for n, path in enumerate(sorted((speech_folder / name).iterdir())[:6]):
            shutil.copy(path, tmp_path / name / (path.name if n < 4 else f"{name}_{n}.wav"))
    preprocess(tmp_path, tmp_path / "records", ("low", "high"), fractions=(0.0, 0.0), pairs=["n_fft=256", "n_mels=8"])
    data = dataset.open_records(str(tmp_path / "records"))
    assert input_pipeline.has_examples(data, Paired, "train") and not input_pipeline.has_examples(data, Paired, "val")
    assert len(batches(data, Paired, count=3)) == 3
    with pytest.raises(ValueError, match="no pair in the val split: no file has the same name in low and high"):
        batches(data, Paired, count=1, split="val")


def test_pairs_hold_a_record_once(long_records):
    drawn = pairs.pair_draws(long_records, "train", 128)
    assert set(drawn.values()) == {7, 8} and len(drawn) == 74
    assert pairs._read_records(long_records, "train", "a", 0, list(drawn)).shape == (74,)


def renamed(data, **changes):
    """Records in whose manifest the first file has another line."""
    first, *rest = data.sources
    return dataclasses.replace(data, sources=(dataclasses.replace(first, **changes), *rest))


def test_accents_of_either_form_make_one_name(long_records):
    forms = {name: unicodedata.normalize(form, "é") for name, form in (("a", "NFC"), ("b", "NFD"))}
    found = [dataclasses.replace(s, id=s.id.replace("x", forms[s.domain])) for s in long_records.sources]
    data = dataclasses.replace(long_records, sources=tuple(found))
    assert data.sources[0].id != data.sources[2].id.replace("b/", "a/")
    assert len(pairs.pair_names(data, "train")) == 2
    assert pairs.describe_pairs(data).startswith(
        "2 pairs of files of one name (2 train, 0 val, 0 test); files without a"
    )


def test_pairs_are_counted_and_so_is_what_has_no_partner(long_records):
    data = renamed(long_records, id="a/z.wav")
    assert pairs.describe_pairs(data).startswith("1 pairs") and pairs.describe_pairs(data).endswith(
        "partner: 1 of a, 1 of b"
    )


def test_two_files_of_one_name_are_no_pair_of_a_third(long_records):
    data = renamed(long_records, id="a/y.flac")
    with pytest.raises(ValueError, match="a/y.flac and a/y.wav have the same name except for extension"):
        pairs.pair_names(data, "train")


def test_a_pair_of_recordings_of_different_lengths_is_drawn_as_far_as_both_go(long_records):
    drawn = pairs.pair_draws(renamed(long_records, active=(1024,) * 3), "train", 128)
    assert sorted(segment for name, segment, *_ in drawn if name == "a/x.wav") == [0, 1, 2]


@laws
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any), st.integers(0, 9))
def test_rounds_spread_the_draws_of_an_epoch_evenly(draws, seed):
    plan = systematic_sampling.SamplingRounds(draws, seed=seed)
    times = np.stack([plan.draw_counts(tf.constant(n, tf.int64)) for n in range(2 * plan.rounds_per_epoch)])
    for epoch in np.split(times, 2):
        np.testing.assert_array_equal(epoch.sum(axis=0), draws)
        up_to = (
            np.cumsum(epoch, axis=0) - np.outer(np.arange(1, plan.rounds_per_epoch + 1), draws) / plan.rounds_per_epoch
        )
        assert np.abs(up_to).max() < 1
    for draw in (0, plan.draws_per_epoch - 1, 2 * plan.draws_per_epoch - 1):
        number, before = plan.locate(draw)
        assert times[:number].sum() + before == draw and before < times[number].sum()


def test_a_round_passes_over_few_records_for_each_that_it_draws():
    assert (
        systematic_sampling.SamplingRounds([1000] + [1] * 99, seed=0).rounds_per_epoch
        <= systematic_sampling.MAX_RECORDS_PER_DRAW * 11
    )


def test_the_cache_is_bounded_over_all_domains_together(monkeypatch):
    monkeypatch.setattr(input_pipeline, "CACHE_BYTES", 10)
    assert input_pipeline.domains_to_cache({"a": 6, "b": 6, "c": 3}) == {"c", "a"}


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
