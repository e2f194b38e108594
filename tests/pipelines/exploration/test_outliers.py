"""The outliers job: detection measures, thresholds and files of other domains."""

import numpy as np
import PIL.Image
import pytest
from testbed import preprocess

from pipelines.inference import exported_model, outlier_detector

FRONT_END = ["n_fft=256", "n_mels=32"]


def test_outliers_are_scored_and_the_threshold_is_stored_in_the_run(outlier_run):
    run_dir, numbers, rows, _ = outlier_run
    assert set(numbers["detection"]) == {"noise", "inverted", "blurred"}
    for table in numbers["detection"].values():
        names = {"reconstruction", "mahalanobis", "knn", "negative_elbo", "sharpness", "combined"}
        assert set(table) == names
        for measures in table.values():
            assert all(0 <= low <= high <= 1 for _, low, high in measures.values())
    assert numbers["detection"]["noise"][numbers["best"]["noise"]]["auroc"][0] > 0.9
    above = [row["flagged"] == "True" for row in rows if row["kind"] == "usual"]
    assert np.mean(above) == numbers["flagged"]["usual"]
    detector = outlier_detector.Detector.load(run_dir, exported_model.Model(run_dir))
    assert detector.threshold == numbers["threshold"]


def test_unreadable_ood_files_are_left_out(run_job, low_thresholds, tmp_path, capsys):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "broken.png").write_bytes(b"no picture")
    options = {"false_positive_rate": 0.3, "count": 1, "against": (f"odd={tmp_path}/odd",)}
    with pytest.raises(ValueError, match="--against=odd=.*: no file could be read"):
        run_job("outliers", "pictures", **options)
    PIL.Image.new("RGB", (16, 16)).save(tmp_path / "odd" / "whole.png")
    (tmp_path / "odd" / "notes.txt").write_text("no picture either")
    numbers, rows, _ = run_job("outliers", "pictures", **options)
    assert [row["id"] for row in rows if row["kind"] == "odd"] == [str(tmp_path / "odd" / "whole.png")]
    stderr = capsys.readouterr().err
    assert "broken.png: not readable as an image" in stderr and "odd" in numbers["detection"]
    assert "1 files with other extensions (1 .txt)" in stderr


def test_speech_is_separated_from_noise_and_from_given_files(run_job, low_thresholds, speech_folder, tmp_path):
    preprocess(speech_folder, tmp_path / "records", ("low", "high"), pairs=FRONT_END, fractions=(0.5, 0.2))
    options = {"false_positive_rate": 0.4, "against": (f"other={speech_folder}/high",)}
    options["data_dir"] = str(tmp_path / "records")
    numbers, rows, page = run_job("outliers", "speech", count=1, **options)
    assert set(numbers["detection"]) == {"noise", "tones", "other"}
    assert "negative_elbo" not in rows[0] and page.count("<audio") == 2
    assert {"content_change", "phoneme_entropy"} <= set(rows[0])


def test_too_few_held_out_files_set_no_threshold(run_job):
    with pytest.raises(ValueError, match=r"val split; wanted 20 or more to set a threshold, see --val_fraction"):
        run_job("outliers", "speech")
