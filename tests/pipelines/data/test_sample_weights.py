"""Weighted drawing: a function of the step alone, right in the mean, and nothing new where all weights are alike."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from pipelines import run_directory
from pipelines.data import dataset, input_pipeline, sample_weights, source_features
from pipelines.training import resume
from plugins import base

CONFIG = base.Config(crop_frames=16, seed=3)
KINDS = pytest.mark.parametrize("kind", ["speech", "picture"])


class Mixed:
    BATCHES = "mixed"


class Paired:
    BATCHES = "paired"


@pytest.fixture(scope="module")
def records_by_kind(speech_records, picture_records):
    return {"speech": dataset.open_records(speech_records), "picture": dataset.open_records(picture_records)}


def weighed(data, weight):
    """Records by a function of their place in the manifest."""
    rows = [(s.id, n) for s in data.sources for n in range(len(s.active))]
    return dataclasses.replace(data, weights={key: weight(place) for place, key in enumerate(rows)})


def batches(data, count, batch_size=4, form=Mixed, **options):
    made = input_pipeline.batches(data, form, CONFIG, batch_size=batch_size, **options)
    return [{key: value.numpy() for key, value in batch.items()} for batch in made.take(count)]


def assert_same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@KINDS
def test_equal_weights_give_the_very_batches_of_none(records_by_kind, kind):
    assert_same(batches(weighed(records_by_kind[kind], lambda _: 2.5), 30), batches(records_by_kind[kind], 30))


@KINDS
def test_weighted_batches_from_a_step_on_are_those_after_so_many(records_by_kind, kind):
    data = weighed(records_by_kind[kind], lambda place: place % 3)
    whole = batches(data, 20, batch_size=3)
    for start in (1, 7, 17):
        assert_same(batches(data, 2, batch_size=3, start_step=start), whole[start : start + 2])


def test_what_weighs_more_is_drawn_more_often_and_what_weighs_nothing_never(records_by_kind):
    data = records_by_kind["picture"]
    pictures = {
        x.tobytes(): source.id
        for name in data.spec.domains
        for source, x in source_features.read_sources(data, "train", name)
    }
    places = {source.id: place for place, source in enumerate(data.sources)}
    drawn = weighed(data, lambda place: place % 4)
    found = collections.Counter(pictures[x.tobytes()] for b in batches(drawn, 100) for x in b["x"])
    for name in data.spec.domains:
        mine = [s.id for s in data.sources_of("train", name)]
        total = sum(places[i] % 4 for i in mine)
        for identifier in mine:
            assert found[identifier] == pytest.approx(200 * (places[identifier] % 4) / total, abs=8)
            assert places[identifier] % 4 or not found[identifier]


def test_validation_knows_no_weights(records_by_kind):
    data = weighed(records_by_kind["picture"], lambda place: place % 2)
    assert_same(batches(data, 5, split="val"), batches(records_by_kind["picture"], 5, split="val"))


@given(shares=st.lists(st.floats(0.01, 10), min_size=1, max_size=20), seed=st.integers(0, 99))
@laws
def test_an_epoch_draws_each_record_by_its_share_and_all_as_often_as_wanted(shares, seed):
    wanted = 3 * len(shares) * np.array(shares) / np.sum(shares)
    edges = np.round(np.cumsum(wanted), 6)
    edges[-1] = 3 * len(shares)
    found = sample_weights.systematic_draws(tf.constant(edges), tf.constant([seed, 1], tf.int64)).numpy()
    assert found.sum() == 3 * len(shares)
    assert np.all(np.abs(found - wanted) < 1 + 1e-5)


def test_pairs_and_weights_of_nothing_are_refused(records_by_kind):
    with pytest.raises(ValueError, match="cannot be used with paired batches"):
        batches(weighed(records_by_kind["speech"], lambda _: 1), 1, form=Paired)
    with pytest.raises(ValueError, match="domain low: all weights are zero"):
        batches(weighed(records_by_kind["speech"], lambda _: 0), 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,weight\n", "wanted the columns id, segment, weight"),
        ("id,segment,weight\na,0,much\n", "line 2: .*wanted id, whole number, number"),
        ("id,segment,weight\na,0,-1\n", "line 2: weight -1.0; wanted 0 or more"),
        ("id,segment,weight\na,0,1\n", "no weight for .*/clip_.*wanted the file of these records"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(records_by_kind, tmp_path, text, said):
    path = tmp_path / "weights.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"weights.csv.*{said}"):
        sample_weights.read_weights(str(path), records_by_kind["speech"].sources)


def test_a_run_goes_on_with_the_same_weights_only(tmp_path):
    path = tmp_path / "weights.csv"
    path.write_text(sample_weights.format_weights([("a", 0, 1.0)]))

    def run():
        told = sample_weights.config_entry(str(path))
        return run_directory.Run(plugin="ae", preset="small", config={}, data_dir="x", spec={}, sample_weights=told)

    run_directory.write_run(str(tmp_path), run())
    tf.train.CheckpointManager(tf.train.Checkpoint(), str(tmp_path / "checkpoints"), 1).save()
    assert resume.resolve_resume(str(tmp_path), run()) == run()
    path.write_text(sample_weights.format_weights([("a", 0, 2.0)]))
    with pytest.raises(ValueError, match="sample_weights.hash: "):
        resume.resolve_resume(str(tmp_path), run())
    with pytest.raises(ValueError, match=r"--sample_weights=none.csv: no such file"):
        sample_weights.config_entry("none.csv")


def test_two_files_that_differ_in_how_accents_are_encoded_have_weights_of_their_own(records_by_kind, tmp_path):
    source = next(source for source in records_by_kind["picture"].sources if source.split == "train")
    spelt = ["a/\u00e9.png", "a/e\u0301.png"]
    found = [dataclasses.replace(source, id=name) for name in spelt]
    (tmp_path / "weights.csv").write_text(
        sample_weights.format_weights((name, 0, 1.0 + n) for n, name in enumerate(spelt))
    )
    assert sample_weights.read_weights(str(tmp_path / "weights.csv"), found) == {(spelt[0], 0): 1.0, (spelt[1], 0): 2.0}
    (tmp_path / "weights.csv").write_text(sample_weights.format_weights([(spelt[1], 0, 3.0)]))
    assert sample_weights.read_weights(str(tmp_path / "weights.csv"), found[:1]) == {(spelt[0], 0): 3.0}
