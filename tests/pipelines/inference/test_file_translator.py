"""Translation of files: chunks, batches, levels and inversion by a vocoder."""

import contextlib
import io

import numpy as np
import pytest
import soundfile
import threadpoolctl
from testbed import voice

from models.features import audio, inversion
from pipelines.inference import file_translator


@pytest.fixture(scope="module")
def converter(speech_run, vocoder_run):
    return file_translator.FileTranslator(
        file_translator.TranslationOptions(speech_run, "high", inverter=f"vocoder:{vocoder_run}")
    )


def converted(converter, recordings):
    """What becomes of recordings that are given together."""
    results = [io.BytesIO() for _ in recordings]
    items = []
    for y, result in zip(recordings, results, strict=True):
        soundfile.write(file := io.BytesIO(), y, 8000, format="WAV", subtype="FLOAT")
        items.append(file_translator.Item(file, lambda result=result: contextlib.nullcontext(result)))
    assert all(isinstance(outcome, dict) for outcome in converter.translate_files(items))
    return [soundfile.read(io.BytesIO(result.getvalue()))[0] for result in results]


def test_a_long_recording_in_chunks_is_vocoded_as_the_whole(converter, monkeypatch):
    y, found = voice(110.0, 6.0, 8000, 3), []
    for chunk in (4096, 100):
        monkeypatch.setattr(inversion, "CHUNK_FRAMES", chunk)
        found += converted(converter, [y])
    assert len(found[0]) == len(found[1]) == len(y)
    np.testing.assert_allclose(found[1], found[0], atol=2**-14)


def test_a_short_recording_is_not_computed_with_more_silence_than_sound(converter, monkeypatch):
    translator, sizes = converter.translator, []
    translate_fn = translator.translate_fn
    monkeypatch.setattr(translator, "translate_fn", lambda x: sizes.append(x.shape[1]) or translate_fn(x))
    (y,) = converted(converter, [voice(110.0, 0.9, 8000, 1)])
    frames = converter.spec.features.frames(len(y)) + 1
    assert sizes == [frames + 2 * inversion.EDGE_FRAMES] and translator.margin > inversion.EDGE_FRAMES


def test_recordings_keep_length_and_level_and_silence_whatever_is_beside_them(converter):
    recordings = [voice(110.0, seconds, 8000, 1) for seconds in (0.1, 0.45, 0.9)] + [np.zeros(3000, np.float32)]
    together = converted(converter, recordings)
    (alone,) = converted(converter, recordings[1:2])
    np.testing.assert_allclose(together[1], alone, atol=2**-14)
    assert [len(y) for y in together] == [len(y) for y in recordings]
    assert not together[3].any() and max(np.abs(y).max() for y in together) <= 1
    levels = [audio.active_power(audio.block_powers(y, 8000)) for pair in (recordings, together) for y in pair[1:3]]
    np.testing.assert_allclose(levels[2:], levels[:2], rtol=0.05)


def test_a_recording_is_converted_alike_whatever_its_offset_scale_and_channels_and_what_was_odd_is_said(converter):
    y = voice(110.0, 0.9, 8000, 1)
    plain, offset, scaled, inverted = y, y + 0.3, y * 20000, np.stack([y, -y], 1)
    wanted, *others = converted(converter, [plain, offset, scaled, inverted])
    level = audio.active_power(audio.block_powers(wanted, 8000))
    assert level == pytest.approx(audio.active_power(audio.block_powers(y, 8000)), rel=0.05)
    for n, made in enumerate(others):
        scale = 20000 / 32768 if n == 1 else 1
        np.testing.assert_allclose(made, wanted * scale, atol=5e-3)


def test_warnings_about_a_recording_are_part_of_its_result(converter):
    y, items = voice(110.0, 0.5, 8000, 1), []
    for samples in (y, np.stack([y, -y], 1), y * 30000):
        soundfile.write(file := io.BytesIO(), samples, 8000, format="WAV", subtype="FLOAT")
        items.append(file_translator.Item(file, lambda: contextlib.nullcontext(io.BytesIO())))
    plain, inverted, scaled = converter.translate_files(items)
    assert "notes" not in plain
    assert inverted["notes"] == ["channels cancel out when averaged: channel 1 is used"]
    assert len(scaled["notes"]) == 1 and scaled["notes"][0].endswith("read as 16-bit integers")


def test_a_translator_computes_in_one_thread_so_that_results_do_not_depend_on_the_number_of_cores(speech_run):
    with threadpoolctl.threadpool_limits(2, user_api="blas"):  # restored afterwards
        file_translator.FileTranslator(file_translator.TranslationOptions(speech_run, "high"))
        pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    assert pools and {pool["num_threads"] for pool in pools} == {1}
