"""Pairs of files of one name: their order, their crops and files without a partner."""

import dataclasses
import shutil
import unicodedata

import numpy as np
import pytest
from input_batches import KINDS, Paired, assert_same, batches, concatenate
from testbed import preprocess

from pipelines.data import dataset, input_pipeline, pairs


def test_pairs_are_of_one_stem_and_run_alike(records_by_kind):
    pictures = concatenate(batches(records_by_kind["picture"], Paired, count=8))
    bright = pictures["a"].mean(axis=(1, 2, 3))
    assert np.corrcoef(bright, pictures["b"].mean(axis=(1, 2, 3)))[0, 1] < -0.99  # the second are the first, inverted
    assert len(np.unique(bright)) > 5
    speech = concatenate(batches(records_by_kind["speech"], Paired, count=8))
    loud = [np.exp(speech[name]).sum(axis=-1) for name in "ab"]
    agree = [np.corrcoef(a, b)[0, 1] for a, b in zip(*loud, strict=True)]
    shifted = [np.corrcoef(a, np.roll(b, 5))[0, 1] for a, b in zip(*loud, strict=True)]
    assert np.median(agree) > 0.5 > np.median(shifted)


@KINDS
def test_pairs_are_a_function_of_the_step(kind, records_by_kind):
    whole = batches(records_by_kind[kind], Paired, count=9)
    assert_same(batches(records_by_kind[kind], Paired, count=3, start_step=6), whole[6:])


def test_files_without_a_partner_form_no_pair(speech_folder, tmp_path):
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


def test_two_files_of_one_name_are_refused_as_a_pair(long_records):
    data = renamed(long_records, id="a/y.flac")
    with pytest.raises(ValueError, match="a/y.flac and a/y.wav have the same name except for extension"):
        pairs.pair_names(data, "train")


def test_a_pair_is_drawn_up_to_its_shorter_recording(long_records):
    drawn = pairs.pair_draws(renamed(long_records, active=(1024,) * 3), "train", 128)
    assert sorted(segment for name, segment, *_ in drawn if name == "a/x.wav") == [0, 1, 2]
