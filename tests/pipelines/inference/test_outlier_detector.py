"""The outlier detector: scores, windows of long files, and detectors of other runs."""

import json
import pathlib

import numpy as np
import pytest
import soundfile
from testbed import preprocess, voice

from models.features import audio, image, procedural
from pipelines.data import dataset, source_features
from pipelines.inference import exported_model, outlier_detector
from pipelines.jobs import translate_folder


def test_a_detector_of_the_other_kind_is_refused(outlier_run):
    run_dir, *_ = outlier_run
    with pytest.raises(ValueError, match="was trained on files of the kind image; these are of the kind audio"):
        outlier_detector.Detector.load(run_dir, exported_model.Model(run_dir), kind="audio")


def test_a_detector_of_other_weights_is_refused(outlier_run):
    run_dir, *_ = outlier_run
    path = pathlib.Path(run_dir, outlier_detector.JSON_FILE)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "weights": "previous"}))
    with pytest.raises(ValueError, match="fitted to other weights than .* has"):
        outlier_detector.Detector.load(run_dir, exported_model.Model(run_dir))


def test_a_stored_detector_gives_the_scores_of_the_job(outlier_run, runs):
    run_dir, _, rows, _ = outlier_run
    detector = outlier_detector.Detector.load(run_dir, exported_model.Model(run_dir))
    scores = {row["id"]: float(row["combined"]) for row in rows}
    for source, x in source_features.read_sources(dataset.open_records(runs["pictures"][1]), "test", "drawn"):
        assert detector.score(x) == pytest.approx(scores[source.id], rel=1e-3)


def test_windows_of_a_long_file_are_the_same_from_file_and_records(latent, monkeypatch, tmp_path):
    encoder = latent("speech").encoder
    spec, long = encoder.spec.features, tmp_path / "long.wav"
    y = np.concatenate([voice(110.0, 4.0, 8000, seed=n) for n in range(20)])
    soundfile.write(long, y, 8000)
    gain = audio.measure_level(str(long), spec).gain()
    features = np.concatenate(list(audio.segments(str(long), spec, gain, 999)))
    with open(long, "rb") as file:
        file_units, starts = encoder.read_units(file)
    record_units, record_starts = encoder.extract_units(features)
    np.testing.assert_array_equal(starts, record_starts)
    np.testing.assert_allclose(file_units, record_units, atol=1e-5)
    assert (
        len(starts)
        == outlier_detector.MAX_FRAMES // encoder.window_frames
        < len(encoder.extract_units(features, all_windows=True)[0])
    )
    assert np.all(np.diff(starts) > 0) and starts[-1] > 0.9 * len(features) and np.median(starts) > 0.3 * len(features)


def test_preprocess_leaves_out_outliers(outlier_run, tmp_path):
    run_dir, _, _, _ = outlier_run
    rng = np.random.default_rng(0)
    (tmp_path / "mixed").mkdir()
    for n in range(6):
        pixels = procedural.render_image(procedural.sample_factors(procedural.PICTURES, n, 0))
        noisy = rng.integers(0, 256, pixels.shape).astype(np.uint8)
        image.write(str(tmp_path / "mixed" / f"{n}.png"), noisy if n % 2 else pixels)
    preprocess(tmp_path, tmp_path / "records", ["mixed"], reject=run_dir)
    rows = [json.loads(line) for line in (tmp_path / "records" / "failures.jsonl").read_text().splitlines()]
    assert {f"{n}.png" for n in (1, 3, 5)} <= {row["path"].rpartition("/")[2] for row in rows}
    assert all(row["reason"].startswith("unlike the training data: outlier score") for row in rows)


def test_translate_reports_outliers(outlier_run, picture_run, tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "noise").mkdir()
    image.write(str(tmp_path / "noise" / "x.png"), rng.integers(0, 256, (16, 16, 1)).astype(np.uint8))
    options = {"run_dir": picture_run, "target": "tinted", "screen": outlier_run[0]}
    translate_folder.translate(pattern=str(tmp_path / "noise"), output_dir=str(tmp_path / "out"), **options)
    (row,) = map(json.loads, (tmp_path / "out" / "translations.jsonl").read_text().splitlines())
    assert row["unlike"].startswith("unlike the training data")
    assert f"warning: {tmp_path}/noise/x.png: unlike" in capsys.readouterr().err


def test_a_run_without_a_detector_is_refused(autoencoder_run):
    with pytest.raises(ValueError, match=r"has no outliers.json; run .*--do=outliers to fit a detector"):
        outlier_detector.Detector.load(autoencoder_run, None)
