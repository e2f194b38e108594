"""Evaluation of a translator: baselines, inverters and held-out files."""

import numpy as np
import pytest
from testbed import preprocess

from pipelines.data import dataset
from pipelines.evaluation import translation_quality
from pipelines.evaluation.examples import read_waveform, sample_examples
from pipelines.inference import vocoders


def test_an_evaluation_inverts_with_the_requested_vocoder(speech_run, vocoder_run, waveform_records):
    plain, vocoded = (
        translation_quality.Evaluator(speech_run, waveform_records, inverter)
        for inverter in ("griffin_lim", f"vocoder:{vocoder_run}")
    )
    example = plain.test["low"][0]
    (heard,), (again,) = plain.resynthesize([example]), vocoded.resynthesize([example])
    (alone,) = vocoded.vocoder.vocode_clips([example.features])
    assert (plain.inverter, vocoded.inverter) == ("griffin_lim", f"vocoder:{vocoder_run}")
    np.testing.assert_allclose(again.waveform / np.abs(again.waveform).max(), alone / np.abs(alone).max(), atol=1e-5)
    assert np.abs(heard.waveform - again.waveform).max() > 0.01
    with pytest.raises(ValueError, match="have no source"):
        translation_quality.Evaluator(speech_run, waveform_records, "source_phase")


def test_the_default_inverter_is_the_universal_vocoder_where_the_front_end_fits(
    default_run, default_records, speech_run, speech_records
):
    assert translation_quality.Evaluator(speech_run, speech_records).inverter == "auto: griffin_lim"
    evaluator = translation_quality.Evaluator(default_run, default_records)
    vocoder = vocoders.load_vocoder("auto", evaluator.spec.features)
    assert evaluator.inverter == f"auto: {vocoder.name}"
    example = evaluator.test["low"][0]
    ((resynthesis,), (wanted,)) = evaluator.resynthesize([example]), vocoder.vocode_clips([example.features])
    scale = np.abs(wanted).max() / np.abs(resynthesis.waveform).max()
    np.testing.assert_allclose(resynthesis.waveform * scale, wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_speaker_is_represented_by_recordings_or_by_their_inversions(speech_run, speech_records):
    evaluator = translation_quality.Evaluator(speech_run, speech_records)
    examples = evaluator.training_examples["low"]
    recordings = evaluator._read_speaker("low")
    assert len(recordings) == len(examples)
    np.testing.assert_array_equal(recordings[0], read_waveform(examples[0], evaluator.spec))
    examples[0].path += ".gone"
    (inverted,) = evaluator.resynthesize(examples[:1])
    np.testing.assert_array_equal(evaluator._read_speaker("low")[0], inverted.waveform)


def test_files_that_the_run_was_trained_on_are_left_out(speech_run, speech_folder, speech_records, tmp_path, capsys):
    (tmp_path / "renamed").symlink_to(speech_folder)  # by other names
    pairs = ["n_fft=256", "n_mels=32"]
    preprocess(tmp_path / "renamed", tmp_path / "out", ("low", "high"), pairs=pairs, fractions=(0.0, 1.0))
    test, stderr = translation_quality.Evaluator(speech_run, str(tmp_path / "out")).test, capsys.readouterr().err
    for name in ("low", "high"):
        trained_on = dataset.open_records(speech_records).sources_of("train", name)
        assert len(test[name]) == 12 - len(trained_on) < 12
        assert f"{len(trained_on)} test files of {name} are left out" in stderr


def test_a_sample_of_the_recordings_is_evaluated(speech_run, speech_folder, tmp_path, monkeypatch):
    pairs = ["n_fft=256", "n_mels=32"]
    (tmp_path / "voices").symlink_to(speech_folder)
    preprocess(tmp_path / "voices", tmp_path / "out", ("low", "high"), pairs=pairs, fractions=(0.0, 1.0))
    whole = translation_quality.Evaluator(speech_run, str(tmp_path / "out"))
    assert whole.describe_sample() == ""
    monkeypatch.setattr(translation_quality, "MAX_RECORDINGS", 2)
    evaluator = translation_quality.Evaluator(speech_run, str(tmp_path / "out"))
    for name, examples in evaluator.test.items():
        assert [x.id for x in examples] == [x.id for x in sample_examples(whole.test[name], 2)]
    assert evaluator.held_out == {name: len(x) for name, x in whole.test.items()}
    assert f"2 of {evaluator.held_out['low']} of low" in evaluator.describe_sample()


def test_an_unknown_feature_extractor_is_refused(speech_run, held_out):
    with pytest.raises(ValueError, match="no feature extractor is called 'pca46'; did you mean pca64"):
        translation_quality.Evaluator(speech_run, held_out, extractor="pca46")


def test_records_of_another_front_end_are_refused(speech_run, picture_records):
    with pytest.raises(ValueError, match="another front end"):
        translation_quality.Evaluator(speech_run, picture_records)


def test_records_without_a_test_split_are_refused(speech_run, speech_folder, tmp_path):
    preprocess(speech_folder, tmp_path, ("low", "high"), pairs=["n_fft=256", "n_mels=32"], fractions=(0.1, 0.0))
    with pytest.raises(ValueError, match="no test files"):
        translation_quality.Evaluator(speech_run, str(tmp_path))
