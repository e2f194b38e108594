"""Folders in, converted folders out, through the scripts, as a user runs them."""

import json
import re

import numpy as np
import pytest
import soundfile
from testbed import script


def made(done):
    assert done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def speech_run(speech_folder, tmp_path_factory):
    """Preprocess, train and translate on speech, all defaults but the sizes."""
    out = tmp_path_factory.mktemp("speech_run")
    domains = [f"--domain={name}={speech_folder / name}/*.wav" for name in ("low", "high")]
    made(
        script("preprocess", *domains, f"--data_dir={out}/records", "--test_fraction=.3", "--set=n_fft=256", "--pitch")
    )
    train = ["--plugin=cyclegan", "--steps=2", "--batch_size=2", "--set=channels=8", "--set=blocks=1"]
    made(script("train", f"--data_dir={out}/records", f"--run_dir={out}/run", *train))
    return out


def test_a_folder_of_speech_becomes_a_folder_of_converted_speech(speech_run, speech_folder):
    out = speech_run / "converted"
    arguments = [f"--run_dir={speech_run}/run", f"--input={speech_folder}/low", f"--output_dir={out}"]
    done = made(script("translate", *arguments, "--target=high", "--pitch=mean_variance"))
    assert "12 translated to high, 0 failures" in done.stdout
    rows = [json.loads(line) for line in (out / "translations.jsonl").read_text().splitlines()]
    assert (out / "failures.jsonl").read_text() == "" and len(rows) == 12
    for path in sorted((speech_folder / "low").iterdir()):
        source, rate_hz = soundfile.read(path)
        converted, same = soundfile.read(out / path.name)
        assert (len(converted), same) == (len(source), rate_hz)
        assert 0.5 < np.std(converted) / np.std(source) < 2
        assert not np.allclose(converted, source, atol=0.01)


def test_the_evaluation_of_a_run_says_whether_it_converts(speech_run):
    out = speech_run / "evaluation"
    arguments = [f"--run_dir={speech_run}/run", f"--data_dir={speech_run}/records", f"--output_dir={out}"]
    done = made(script("evaluate", *arguments, "--external_metrics=none"))
    metrics = json.loads((out / "metrics.json").read_text())
    for way in ("low to high", "high to low"):
        rows = metrics["ways"][way]["rows"]
        assert set(rows) == {"no_op", "mean_variance", "transport", "model", "copy_synthesis"}
        assert rows["copy_synthesis"]["mcd_db"] < rows["no_op"]["mcd_db"]
        assert metrics["ways"][way]["verdict"] in done.stdout
    page = (out / "report.html").read_text()
    assert page.count("<audio") == page.count("data:audio/flac;base64,") > 5
    assert not re.findall(r'(?:src|href)="(?!data:|#)|url\((?!data:|#)|@import', page)
