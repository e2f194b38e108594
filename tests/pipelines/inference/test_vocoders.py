"""Vocoders by the name of an inverter: the universal one of a front end, or that of a run."""

import dataclasses

import numpy as np
import pytest
from testbed import SMALL

from models import spectral
from models.features.audio import AudioSpec
from models.vocoders import universal
from pipelines.inference import exported_model, vocoders


def test_a_vocoder_gives_a_recording_of_the_same_length(vocoder_run, voice_pair):
    vocoder = vocoders.load_vocoder(f"vocoder:{vocoder_run}", SMALL)
    made = vocoder.vocode_clips(list(spectral.log_mel(voice_pair, SMALL).numpy()))
    assert np.shape(made) == voice_pair.shape and np.isfinite(made).all()


def test_auto_is_the_universal_vocoder_where_the_front_end_fits():
    for rate_hz in universal.RATES_HZ:
        vocoder = vocoders.load_vocoder("auto", AudioSpec.at(rate_hz))
        assert vocoder.spec == AudioSpec.at(rate_hz) and vocoder.context == universal.load(rate_hz).context
        assert vocoders.describe("auto", vocoder) == f"auto: {universal.load(rate_hz).name_and_hash}"
    for spec in (SMALL, AudioSpec.at(11025), dataclasses.replace(AudioSpec.at(16000), floor=1e-5)):
        assert vocoders.load_vocoder("auto", spec) is None


def test_an_unknown_inverter_and_a_run_that_is_no_vocoder_are_refused(speech_run):
    for name in ("griffin", "vocoder:", "universal"):
        with pytest.raises(ValueError, match=f"--inverter={name}; wanted one of auto, griffin_lim"):
            vocoders.load_vocoder(name, SMALL)
    with pytest.raises(ValueError, match="--inverter=vocoder:.*: plugin cyclegan has no signature vocode"):
        vocoders.load_vocoder(f"vocoder:{speech_run}", SMALL)


def test_frames_are_vocoded_as_if_nothing_lay_beyond_their_context(rng):
    vocoder = vocoders.load_vocoder("auto", AudioSpec.at(8000))
    log_mels = rng.uniform(-6, 0, (50 + 2 * vocoder.context, 80)).astype(np.float32)
    whole, part = vocoder.vocode(log_mels, vocoder.context, 50), vocoder.vocode(log_mels[20:], vocoder.context, 30)
    assert (len(whole), len(part)) == (49 * 128, 29 * 128)
    np.testing.assert_allclose(whole[20 * 128 :], part, atol=2e-3 * np.abs(whole).max())


def test_clips_do_not_depend_on_each_other(rng):
    vocoder = vocoders.load_vocoder("auto", AudioSpec.at(8000))
    clips = [rng.uniform(-6, 0, (n, 80)).astype(np.float32) for n in (30, 50)]
    together = vocoder.vocode_clips(clips)
    assert [len(y) for y in together] == [29 * 128, 49 * 128]
    for clip, y in zip(clips, together, strict=True):
        np.testing.assert_array_equal(vocoder.vocode_clips([clip])[0], y)


def test_an_export_holds_the_universal_vocoder_of_its_front_end(default_run, rng):
    model = exported_model.Model(default_run)
    vocoder = vocoders.load_vocoder("auto", model.spec.features)
    assert model.facts["inverter"] == vocoder.name
    mels = [rng.uniform(-6, 0, (n, 80)).astype(np.float32) for n in (50, 30)]
    vocoded, inverted, plain = (
        vocoder.vocode_clips(mels),
        model.invert_clips(mels),
        model.invert_clips(mels, model.griffin_lim),
    )
    for a, b, c in zip(vocoded, inverted, plain, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-4 * np.abs(a).max())
        assert np.abs(c - a).max() > 0.1 * np.abs(a).max()
