"""The report of an evaluation in a browser: players, keys, sorting, filters, slider, charts, accessibility."""

import numpy as np
import pytest
from browser_fixtures import decoded_durations, serious_violations

from models.features.audio import AudioSpec
from pipelines.evaluation import verdict
from pipelines.reporting import file_list, html_report, media

SPEC = AudioSpec.at(8000, n_fft=256, n_mels=32)
LABELS = ("source (low)", "converted to high", "closed form: transport", "target (high)")
SCORES = (
    file_list.Score("relative_similarity", "relative similarity", higher_is_better=True),
    file_list.Score("content_error", "content error", higher_is_better=False),
)
VALUES = ({"relative_similarity": 0.9, "content_error": 0.5}, {"relative_similarity": 0.2}, {"content_error": 0.7})
RESULT = verdict.TranslationVerdict(verdict.Verdict.CONVERTS, ("reason",), 1.0, 0.0, 3)
METRICS = [{"split": split, "step": n, "cycle": 1 / n} for n in range(1, 50) for split in ("train", "val")]


def _sound(seconds):
    t = np.arange(int(8000 * seconds)) / 8000
    mels = np.random.default_rng(0).uniform(-9, 0, (60, 32))
    sound = media.encode_audio(0.1 * np.sin(400 * t), 8000)
    return {"picture": media.encode_spectrogram(mels, SPEC), "sound": sound}


def _picture(seed):
    return {"picture": media.encode_image(np.random.default_rng(seed).uniform(-1, 1, (16, 16, 3)))}


def _files(versions):
    return [file_list.File(f"low/{n}.wav", versions, values) for n, values in enumerate(VALUES)]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """URL of a report with sounds and with images."""
    sounds = [file_list.Version(x, **_sound(30 if x is LABELS[3] else 20)) for x in LABELS]
    images = [file_list.Version(x, **_picture(n)) for n, x in enumerate(LABELS[:2])]
    table = [["no_op", "0.5"], ["model", "0.7"]]
    speech = file_list.FileList(_files(sounds), SCORES, "All 3.", media.frequency_ticks(SPEC))
    matrix = html_report.Matrix(["low", "high"], ["low", "high"], [[9, 1], [0, 10]])
    sections = [
        html_report.Section("low to high", RESULT, ["row", "SSIM"], table, files=speech),
        html_report.Section("pictures", files=file_list.FileList(_files(images), SCORES, "All 3.")),
        html_report.Section("Classifier", matrix=matrix),
        html_report.Section("Card", document=html_report.render_markdown("# Card\n\n## Use\n\n| a |\n|---|\n| b |\n")),
    ]
    page = html_report.render_page(
        title="cyclegan", summary="Held-out.", sections=sections, metrics=METRICS, configuration={}
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page)
    return path.as_uri()


def _names(page, place=0):
    files = page.locator(".files").nth(place).locator(".file:visible")
    return files.evaluate_all("files => files.map((file) => file.dataset.name)")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_is_accessible(open_page, report, width, colours):
    page = open_page(report, width=width, colours=colours)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".chart canvas").count() == 1
    assert serious_violations(page) == []


def test_every_player_decodes(open_page, report):
    page = open_page(report)
    durations = decoded_durations(page)
    assert durations == pytest.approx([20, 20, 20, 30] * 3, abs=0.01)


def test_keys_switch_between_versions_at_the_same_moment(open_page, report):
    page = open_page(report)
    file = page.locator(".file").first
    file.focus()
    page.keyboard.press(" ")
    page.wait_for_function("[...document.querySelectorAll('audio')].some((a) => !a.paused && a.currentTime > 0.2)")
    assert float(file.locator(".cursor").first.evaluate("x => parseFloat(x.style.left)")) > 0.5
    page.keyboard.press("4")
    page.wait_for_function("document.querySelectorAll('audio')[3].currentTime > 0.3")  # it is longer: 30 of 20 seconds
    states = page.evaluate("[...document.querySelectorAll('audio')].map((a) => [a.paused, a.currentTime])")
    assert [paused for paused, _ in states[:4]] == [True, True, True, False]
    assert states[3][1] > 1.4 * states[0][1]
    page.keyboard.press("s")
    page.wait_for_function("!document.querySelectorAll('audio')[0].paused")
    page.keyboard.press(" ")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.name") == _names(page)[1]


def test_files_are_sorted_worst_first_and_filtered(open_page, report):
    page = open_page(report)
    form = page.locator(".toolbar").first
    assert _names(page) == ["low/1.wav", "low/0.wav", "low/2.wav"]  # files without the score are last
    form.locator("[name=order]").select_option("best")
    assert _names(page) == ["low/0.wav", "low/1.wav", "low/2.wav"]
    form.locator("[name=order]").select_option("worst")
    form.locator("[name=sort]").select_option("content_error")
    assert _names(page) == ["low/2.wav", "low/0.wav", "low/1.wav"]
    form.locator("[name=low]").fill("0.3")
    assert _names(page) == ["low/0.wav"]
    assert form.locator("output").inner_text() == "1 of 3 files"
    form.locator("[name=low]").fill("")
    form.locator("[name=name]").fill("2.WAV")
    assert _names(page) == ["low/2.wav"] and len(_names(page, 1)) == 3


def test_the_slider_moves_the_boundary_between_source_and_conversion(open_page, report):
    page = open_page(report)
    page.locator(".reveal input").fill("20")
    clip = page.locator(".wipe .above").first.evaluate("x => getComputedStyle(x).clipPath")
    assert clip == "inset(0px 0px 0px 20%)"
