"""The page in a browser: recordings and pictures, one and several, large files, keyboard, accessibility."""

import io
import zipfile

import numpy as np
import PIL.Image
import pytest
import soundfile
from testbed import voice

READ_AUDIO = """async (caption) => {
  const audio = document.querySelector(`audio[aria-label^="${caption}"]`);
  return [...new Uint8Array(await (await fetch(audio.src)).arrayBuffer())];
}"""
COUNT_ANSWERS = """() => {
  const fetchResults = crossfade.fetchResults;
  window.answers = 0;
  crossfade.fetchResults = () => fetchResults().finally(() => (window.answers += 1));
}"""
FOCUSED = "() => document.activeElement.innerText || document.activeElement.ariaLabel || document.activeElement.value"
GRADIO_FAULTS = {"nested-interactive"}  # its button that adds files to a list contains the input


@pytest.fixture(scope="module")
def speech_address(serve, speech_run, vocoder_run):
    return serve(speech_run, inverter=f"vocoder:{vocoder_run}")


@pytest.fixture(scope="module")
def picture_address(serve, picture_run):
    return serve(picture_run)


@pytest.fixture
def open_page(open_page):
    """Opens a page and waits until it is built."""

    def open_built(address, **options):
        page = open_page(address, **options)
        page.get_by_role("button", name="Convert").wait_for()
        return page

    return open_built


def choose(page, *files, number=0):
    """Choose files by name and content, or a folder, for one of the inputs that are visible."""
    buffers = [{"name": name, "mimeType": "", "buffer": content} for name, content in files]
    with page.expect_response(lambda response: "/upload?" in response.url):
        page.locator("[role=tabpanel]:visible input[type=file]").nth(number).set_input_files(buffers)
    page.get_by_text(files[0][0].rpartition(".")[0]).first.wait_for()


def convert(page):
    """Convert, wait until the page has fetched the results, and return the line of the answer."""
    page.evaluate(COUNT_ANSWERS)
    page.get_by_role("button", name="Convert").click()
    page.wait_for_function("window.answers > 0")
    return page.locator(".message:not(.refusal):visible").inner_text()


def read_audio(page, caption):
    """Samples and rate of a player."""
    return soundfile.read(io.BytesIO(bytes(page.evaluate(READ_AUDIO, caption))))


def wav(seconds, rate_hz=8000):
    soundfile.write(file := io.BytesIO(), voice(110.0, seconds, rate_hz, 0), rate_hz, format="WAV")
    return file.getvalue()


def test_a_clip_becomes_a_clip_of_the_same_length_with_each_inverter(speech_address, open_page, stored_files):
    page = open_page(speech_address)
    choose(page, ("clip.wav", wav(0.7)))
    results = []
    for inverter in ("vocoder:", "auto", "griffin_lim", "source_phase"):
        page.get_by_label(inverter).check()
        assert convert(page) == "clip.wav: converted from low to high"
        (source, rate_hz), (result, result_rate_hz) = (read_audio(page, name) for name in ("Source", "Result"))
        assert len(source) == len(result) == 5600 and rate_hz == result_rate_hz == 8000
        results.append(result)
        assert not stored_files()
    of_vocoder, of_auto, of_griffin_lim, of_source_phase = results
    np.testing.assert_array_equal(of_auto, of_griffin_lim)  # the package has no vocoder for this front end
    assert not np.array_equal(of_vocoder, of_auto) and not np.array_equal(of_griffin_lim, of_source_phase)
    assert page.locator("figure img").count() == 2


def test_the_target_is_chosen_and_the_result_saved(speech_address, open_page):
    page = open_page(speech_address)
    choose(page, ("clip.flac", wav(0.5)))
    page.get_by_label("low", exact=True).check()
    assert convert(page) == "clip.flac: converted from high to low"
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save clip.wav").click()
    assert saved.value.suggested_filename == "clip.wav" and soundfile.info(saved.value.path()).frames == 4000


def test_a_recording_by_the_microphone_is_converted(speech_address, open_page, stored_files):
    page = open_page(speech_address)
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(700)
    page.get_by_role("button", name="Stop", exact=True).first.click()
    page.get_by_role("button", name="Play", exact=True).first.wait_for()
    assert convert(page).endswith(": converted from low to high")
    result, rate_hz = read_audio(page, "Result")
    assert len(result) > 0.3 * rate_hz
    assert not stored_files()


def test_a_picture_becomes_a_picture_of_the_models_size(picture_address, open_page, stored_files):
    page = open_page(picture_address, width=390)
    PIL.Image.new("RGB", (40, 24), "red").save(file := io.BytesIO(), format="PNG")
    choose(page, ("x.png", file.getvalue()))
    assert convert(page) == "x.png: converted from plain to tinted"
    shown = page.evaluate("[...document.querySelectorAll('figure img')].map((i) => [i.naturalWidth, i.naturalHeight])")
    assert shown == [[16, 16], [16, 16]] and not stored_files()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_file_that_claims_2_gb_is_refused(speech_address, open_page, stored_files, wav_claiming):
    page = open_page(speech_address)
    choose(page, ("claim.wav", wav_claiming(2_000_000_000)))
    limit = "at most 200 MB are accepted (--max_megabytes)"
    assert convert(page) == f"claim.wav: its samples, by the header, have 2000.0 MB; {limit}"
    assert page.get_by_role("alert").filter(has_text="claim.wav").is_visible() and not stored_files()


def test_a_file_that_has_2_gb_is_not_uploaded(speech_address, open_page, stored_files, tmp_path):
    with open(tmp_path / "large.wav", "wb") as file:
        file.truncate(2_000_000_000)
    page = open_page(speech_address)
    page.locator("input[type=file]").first.set_input_files(tmp_path / "large.wav")
    line = page.locator(".refusal:visible")
    assert line.inner_text() == "the chosen files have 2000.0 MB; at most 200 MB are accepted (--max_megabytes)"
    choose(page, ("clip.wav", wav(0.2)))
    line.wait_for(state="hidden")
    assert convert(page) == "clip.wav: converted from low to high" and not stored_files()


def test_several_files_become_an_archive_with_the_failures(speech_address, open_page, stored_files, tmp_path):
    with zipfile.ZipFile(archive := io.BytesIO(), "w") as file:
        file.writestr("a.wav", wav(0.3))
        file.writestr("bad.wav", b"nothing")
    for name in ("one", "two"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        (tmp_path / "folder" / name / "same.wav").write_bytes(wav(0.3))
    page = open_page(speech_address)
    page.get_by_role("tab", name="Several files").click()
    choose(page, ("set.zip", archive.getvalue()), ("b.wav", wav(0.3)))
    page.locator("input[webkitdirectory]").set_input_files(tmp_path / "folder")
    page.get_by_text("folder/two/same").first.wait_for()
    for _ in range(2):  # files are sent again
        assert convert(page) == "4 of 5 files converted to high"
        assert page.get_by_role("cell", name="set/bad.wav").is_visible()
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save converted.zip").click()
        with zipfile.ZipFile(saved.value.path()) as result:
            names = {"set/a.wav", "b.wav", "folder/one/same.wav", "folder/two/same.wav"}
            assert set(result.namelist()) == names | {"failures.jsonl", "translations.jsonl"}
        assert not stored_files()


def test_everything_is_reached_by_the_keyboard(speech_address, open_page):
    page = open_page(speech_address)
    focused = []
    while "Convert" not in focused and len(focused) < 30:
        page.keyboard.press("Tab")
        focused.append(page.evaluate(FOCUSED))
    assert focused[0] == "high" and {"One recording", "Record", "Convert"} <= set(focused)
    assert any("Click to Upload" in (name or "") for name in focused)
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="choose a recording first").wait_for()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_no_rule_of_accessibility_is_violated(speech_address, open_page, colours):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page, violations = open_page(speech_address, colours=colours), []
    for tab, file in (("One recording", ("clip.wav", wav(0.2))), ("Several files", ("bad.wav", b"nothing"))):
        page.get_by_role("tab", name=tab).click()
        choose(page, file)
        convert(page)
        page.wait_for_timeout(300)  # what was half transparent during the conversion is opaque again
        violations += axe.Axe().run(page).response["violations"]
    faults = {rule["id"]: [node["html"] for node in rule["nodes"]] for rule in violations}
    assert not {rule: elements for rule, elements in faults.items() if rule not in GRADIO_FAULTS}
