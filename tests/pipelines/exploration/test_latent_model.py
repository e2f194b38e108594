"""The latent model: units of files, their codes, sampling of files, and runs that do not encode."""

import numpy as np
import pytest

from pipelines.exploration import job, latent_model

KINDS = pytest.mark.parametrize("kind", ["pictures", "speech"])


@KINDS
def test_units_have_sound_and_codes_are_split_by_file(latent, kind):
    model = latent(kind)
    files = model.files("train")
    codes = model.encode(files)
    assert [len(x) for x in codes] == [len(file.units) for file in files]
    for file, file_codes in zip(files[:3], codes, strict=False):
        np.testing.assert_allclose(model.encode([file])[0], file_codes, atol=1e-5)
        for start, unit in zip(file.starts, file.units, strict=True):
            if kind == "speech":
                np.testing.assert_array_equal(
                    unit[: len(file.features) - start], file.features[start : start + model.window_frames]
                )
    assert model.decode(codes[0]).shape == files[0].units.shape


def test_files_are_subsampled_by_a_hash_and_not_by_their_order(latent):
    all_ids = [file.id for file in latent("pictures").files("train")]
    few, more = ([file.id for file in latent("pictures").files("train", max_files=n)] for n in (8, 16))
    assert len(few) == 8 and set(few) < set(more) < set(all_ids)
    assert few == sorted(few) and few[-1] > all_ids[len(all_ids) // 2]


def test_subsamples_are_random_and_in_order(latent):
    model = latent("pictures")
    selected = model.subsample(np.arange(1000), 100)
    assert len(selected) == 100 and np.all(np.diff(selected) > 0) and 350 < selected.mean() < 650
    assert model.subsample([1, 2], 3) == [1, 2]


def test_keys_have_their_current_names_if_the_plugin_is_installed(latent, monkeypatch):
    model = latent("pictures")
    stored = {**model.run_config["config"], "rate": 0.5}
    del stored["learning_rate"]
    monkeypatch.setitem(model.exported.facts["run"], "config", stored)
    assert model.plugin_config["learning_rate"] == 0.5 and "rate" not in model.plugin_config
    monkeypatch.setitem(model.exported.facts["run"], "plugin", "of_a_third_party")
    assert model.plugin_config == stored


def test_a_run_that_does_not_encode_is_refused(picture_run, picture_records):
    job_config = job.JobConfig(do="sample", run_dir=picture_run, data_dir=picture_records, output_dir="")
    with pytest.raises(ValueError, match="plugin cyclegan has no signature encode"):
        latent_model.LatentModel(job_config)


def test_records_of_another_front_end_are_refused(runs):
    job_config = job.JobConfig(do="sample", run_dir=runs["speech"][0], data_dir=runs["pictures"][1], output_dir="")
    with pytest.raises(ValueError, match="another front end"):
        latent_model.LatentModel(job_config)
