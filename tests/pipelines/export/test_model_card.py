"""Model cards: front matter, results, consent."""

import pytest
import yaml

from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from models.features.spec import Spec
from models.features.stats import Moments
from pipelines.export import model_card

RUN = {"plugin": "cyclegan", "preset": "small", "config": {"steps": 100, "seed": 3}, "data_dir": "records"}
SPEECH = Spec(AudioSpec(), ("anna", "bert: 2"), {name: Moments.empty(80) for name in ("anna", "bert: 2")})
IMAGES = Spec(ImageSpec(height=64, width=64), ("a", "b"), {name: Moments.empty(3) for name in ("a", "b")})
RESULTS = {
    "ways": {
        "anna to bert: 2": {
            "verdict": "converts in part",
            "reasons": ["relative similarity below 0.7"],
            "rows": {"model": {"n": 9, "target_rate": 0.75, "mcd_db": 4.25}},
        }
    }
}


def _front_matter(card):
    _, front, _ = card.split("---\n", maxsplit=2)
    return yaml.safe_load(front)


def test_a_card_without_results_says_so():
    card = model_card.render_card(RUN, SPEECH, ["translate_ab"])
    front = _front_matter(card)
    assert front == {"library_name": "tensorflow", "pipeline_tag": "audio-to-audio", "tags": ["crossfade", "cyclegan"]}
    assert "Not evaluated yet" in card and "| steps | 100 |" in card


def test_results_are_in_the_front_matter_and_in_the_text():
    card = model_card.render_card(RUN, SPEECH, ["translate_ab"], RESULTS)
    (index,) = _front_matter(card)["model-index"]
    metrics = {m["type"]: m["value"] for m in index["results"][0]["metrics"]}
    assert metrics == {"target_rate": 0.75, "mcd_db": 4.25}
    assert index["name"] == "cyclegan: anna, bert: 2"
    assert "- anna to bert: 2: **converts in part** (relative similarity below 0.7)" in card


@pytest.mark.parametrize(
    ("spec", "signature"), [(SPEECH, "translate_ab"), (SPEECH, "encode"), (IMAGES, "translate_ab")]
)
def test_every_card_speaks_of_consent(spec, signature):
    card = model_card.render_card(RUN, spec, [signature])
    assert "permission of its speaker" in card or "have their consent" in card
    assert ("**Consent.**" in card) == (spec is SPEECH and signature == "translate_ab")


def test_a_card_is_written_into_the_export(tmp_path):
    (tmp_path / "export").mkdir()
    model_card.write_card(str(tmp_path), "text")
    assert (tmp_path / "export" / "README.md").read_text() == "text"


@pytest.mark.parametrize("signatures", [["invert"], ["invert", "invert_griffin_lim"]])
def test_the_vocoder_that_an_export_contains_is_attributed(signatures):
    card = model_card.render_card(RUN, SPEECH, signatures)
    sentence = "universal vocoder of 16000 Hz (sha256 "
    attribution = "trained on LibriSpeech (Panayotov et al. 2015), CC BY 4.0."
    assert (sentence in card) == (attribution in card) == ("invert_griffin_lim" in signatures)
