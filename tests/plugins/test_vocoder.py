"""The vocoder plugin: configuration, training data and inversion of translated spectrograms."""

import pytest
from testbed import train

from models.errors import UserError
from models.networks import vocoder as vocoder_networks
from pipelines.data import dataset, input_pipeline
from plugins import vocoder


def test_without_weight_there_are_no_discriminators(waveform_records, monkeypatch):
    data = dataset.open_records(waveform_records)
    spec = data.spec
    sizes = {"channels": 8, "blocks": 1, "discriminator_channels": 2, "crop_frames": 16}
    alone = vocoder.Vocoder(vocoder.Config(**sizes, adversarial=0.0, mel=0.0, magnitude=1.0), spec)
    judged = vocoder.Vocoder(vocoder.Config(**sizes, adversarial=1.0), spec)
    assert len(alone.networks()) == 1 and len(alone.optimizers()) == 1
    assert len(judged.optimizers()) == 1 + 5 + 3
    monkeypatch.setattr(vocoder_networks, "waveform", None)  # nor is a waveform made that no term asks for
    batch = next(iter(input_pipeline.batches(data, vocoder.Vocoder, alone.config, batch_size=2)))
    assert set(alone.eval_step(batch, 2)) == {"magnitude"}


@pytest.mark.parametrize("changes", [{"kernel": 4}, {"periods": 6}, {"augment": True}, {"spectral_norm": True}])
def test_configurations_that_mean_nothing_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        vocoder.Config(**changes)


def test_records_without_waveforms_are_refused_with_what_to_do(speech_records, tmp_path):
    with pytest.raises(ValueError, match="has no waveforms; run preprocess with --keep_waveforms"):
        train(str(tmp_path / "run"), speech_records, "vocoder")


def test_a_crop_without_inner_frames_is_refused(waveform_records):
    spec = dataset.open_records(waveform_records).spec
    with pytest.raises(UserError, match="crop_frames=5; wanted 6 or more"):
        vocoder.Vocoder(vocoder.Config(channels=8, blocks=1, crop_frames=5, adversarial=0.0), spec)
