"""Directions and inverters of a run."""

import pytest

from pipelines.web.run_translators import RunTranslators


def test_directions_and_inverters_of_a_run_share_loaded_models(speech_run, vocoder_run):
    inverter = f"vocoder:{vocoder_run}"
    run = RunTranslators(speech_run, inverter)
    assert run.targets() == ["high", "low"] and run.sources("high") == ["low"]
    assert run.inverters == [inverter, "auto", "griffin_lim", "source_phase"]
    translators = [run.translator(target, None, name) for target in run.targets() for name in run.inverters]
    assert len({id(translator.model) for translator in translators}) == 1
    assert run.translator("high", None, inverter) is translators[0] and run.load_model.cache_info().currsize == 2


def test_pictures_have_no_inverters(picture_run):
    run = RunTranslators(picture_run)
    assert run.inverters == [] and run.translator("tinted", None, "").suffix == ".png"


def test_a_path_from_the_page_is_not_loaded(speech_run, vocoder_run):
    with pytest.raises(ValueError, match="inverter vocoder:.*; wanted one of auto, griffin_lim, source_phase"):
        RunTranslators(speech_run).translator("high", None, f"vocoder:{vocoder_run}")


def test_a_run_or_vocoder_that_does_not_match_is_refused(speech_run, autoencoder_run, tmp_path):
    with pytest.raises(ValueError, match="plugin ae does not translate"):
        RunTranslators(autoencoder_run)
    with pytest.raises(ValueError, match="has no signature vocode"):
        RunTranslators(speech_run, f"vocoder:{speech_run}")
    with pytest.raises(ValueError, match="is not a run"):
        RunTranslators(str(tmp_path))
