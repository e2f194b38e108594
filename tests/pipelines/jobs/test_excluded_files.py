"""Recordings and parts are left out by length, level and clipping, counted, and listed with their reason."""

import numpy as np
import pytest
import soundfile
from preprocessing import RATE_HZ, contents, prepare, rows
from testbed import SMALL, voice

from models.errors import UserError
from models.features.conditioning import Conditioning
from pipelines.data import dataset, source_features


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Twelve recordings, four of them to be left out, and a long one with pauses."""
    folder = tmp_path_factory.mktemp("recordings")
    y = {f"{n:02d}.wav": voice(110.0, 1.5, RATE_HZ, seed=n) for n in range(12)}
    y["quiet.wav"], y["short.wav"] = 1e-3 * y["00.wav"], y["01.wav"][: RATE_HZ // 2]
    y["clipped.wav"] = np.clip(20 * y["02.wav"], -1, 1)
    y["silent.wav"] = np.zeros(RATE_HZ, np.float32)
    pause = np.zeros(RATE_HZ, np.float32)
    y["long.wav"] = np.concatenate([part for n in range(3) for part in (voice(110.0, 4.0, RATE_HZ, seed=n), pause)])
    for name, samples in y.items():
        soundfile.write(folder / name, samples, RATE_HZ, subtype="FLOAT")
    return folder


STRICT = Conditioning(trim=True, cut_s=5.0, min_s=1.0, min_level_db=-55.0, max_clipped=0.001)


def test_each_reason_is_counted_and_listed(recordings, tmp_path, capsys):
    done = prepare(tmp_path, changes={"conditioning": STRICT, "split_by": "parent"}, low=recordings)
    assert prepare.excluded == {
        "shorter than 1 s": 1,
        "quieter than -55 dB re full scale": 2,
        "more than 0.001 of the samples clipped": 1,
    }
    listed = {row["id"]: row for row in rows(tmp_path, "excluded.jsonl")}
    assert set(listed) == {f"low/{name}.wav" for name in ("quiet", "short", "clipped", "silent")}
    assert listed["low/short.wav"]["length"] < 1 and listed["low/clipped.wav"]["clipped"] > 0.001
    manifest = rows(tmp_path, "manifest.jsonl")
    pieces = [row for row in manifest if row["path"].endswith("long.wav")]
    assert [row["id"] for row in pieces] == [f"low/long.wav#{n:04d}" for n in range(3)]
    assert all(1 <= row["length"] <= 5 for row in pieces) and len({row["split"] for row in pieces}) == 1
    assert done["sources"] == 12 + len(pieces) == len(manifest)
    progress = [line for line in capsys.readouterr().err.splitlines() if line.startswith("preprocess")]
    assert progress[-1].startswith("preprocess audio: 34/34 file passes")
    data = dataset.open_records(str(tmp_path))
    for source, log_mels in source_features.read_sources(data, pieces[0]["split"], "low"):
        assert len(log_mels) == source.frames == SMALL.frames(round(source.length * RATE_HZ))
        if source.part:
            assert source.part[1] - source.part[0] == pytest.approx(source.length)


def test_limits_alone_use_the_features_of_a_cache_and_nothing_left_out_writes_no_list(recordings, tmp_path):
    low = {"low": recordings, "cache_dir": tmp_path / "cache"}
    prepare(tmp_path / "all", **low)
    assert "excluded.jsonl" not in contents(tmp_path / "all") and not prepare.excluded
    prepare(tmp_path / "some", changes={"conditioning": Conditioning(min_s=1.0)}, **low)
    assert prepare.reused == 17 and prepare.excluded == {"shorter than 1 s": 1}
    prepare(tmp_path / "trimmed", changes={"conditioning": Conditioning(trim=True)}, **low)
    assert prepare.reused == 0
    prepare(tmp_path / "some", **low)
    assert contents(tmp_path / "some") == contents(tmp_path / "all")


def test_a_domain_of_which_nothing_is_left_is_an_error(recordings, tmp_path):
    with pytest.raises(UserError, match="low: all its files are left out; of all domains: 19 shorter than 99 s"):
        prepare(tmp_path, changes={"conditioning": Conditioning(min_s=99.0)}, low=recordings)
