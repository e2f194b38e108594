"""Training data whose mel spectrograms went through a translator there and back."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from testbed import SMALL, train

from pipelines.data import dataset, input_pipeline, source_features
from pipelines.inference import exported_model
from pipelines.training import round_trip_mels
from plugins import vocoder


def test_training_mels_can_be_round_trips_through_a_translator(waveform_records, speech_run, tmp_path):
    data = dataset.open_records(waveform_records)
    shown = round_trip_mels.with_round_trip_mels(data, vocoder.Config(mels_from=speech_run))
    model, small = exported_model.Model(speech_run), vocoder.Config(crop_frames=16, adversarial=0.0)
    assert shown.mel_transform.margin == 2 * model.context
    pair = [next(iter(input_pipeline.batches(each, vocoder.Vocoder, small, batch_size=2))) for each in (data, shown)]
    np.testing.assert_array_equal(pair[0]["waveform"], pair[1]["waveform"])
    source, log_mels = next(source_features.read_sources(data, "train", "low"))
    margin = np.pad(log_mels, ((shown.mel_transform.margin,) * 2, (0, 0)), constant_values=SMALL.log_floor)
    there = model.call("translate_ab", features=margin[None])
    back = model.call("translate_ba", features=there)[0, shown.mel_transform.margin :][: len(log_mels)]
    np.testing.assert_allclose(
        shown.mel_transform(tf.constant(margin), tf.constant(0), tf.constant(4)), back, atol=1e-5
    )
    with pytest.raises(ValueError, match="nowhere is not a run"):
        train(str(tmp_path / "run"), waveform_records, "vocoder", mels_from="nowhere")


def test_a_run_without_the_domain_is_refused(waveform_records, speech_run):
    spec = dataclasses.replace(dataset.open_records(waveform_records).spec, domains=("lowest",))
    with pytest.raises(ValueError, match="the model has no domain lowest; did you mean low?"):
        round_trip_mels.RoundTrip(speech_run, spec)
