"""Fixtures of files and records that the tests of several modules read."""

import json

import numpy as np
import PIL.Image
import pytest
import soundfile
from testbed import preprocess, write_voices

from models.features import audio, stats
from models.features.spec import Spec
from pipelines import config
from pipelines.data import dataset, tfrecord


@pytest.fixture
def tree(tmp_path):
    """Makes files of these paths below a folder; recordings of 0.1 s at 8 kHz, pictures, or their names as text."""

    def make(*paths, rate_hz=8000):
        for path in (tmp_path / path for path in paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() in (".wav", ".flac"):
                container = path.suffix[1:].upper()
                soundfile.write(path, 0.1 * np.sin(np.arange(rate_hz // 10)), rate_hz, format=container)
            elif path.suffix.lower() == ".png":
                PIL.Image.new("RGB", (20, 12)).save(path, format="PNG")
            else:
                path.write_text(path.name)
        return tmp_path

    return make


@pytest.fixture(scope="session")
def long_records(tmp_path_factory):
    """Records of two recordings of 37 segments each in either domain, as `preprocess` leaves them."""
    folder, rows, sizes = tmp_path_factory.mktemp("long"), [], {}
    rng = np.random.default_rng(0)
    for domain in "ab":
        encoded = []
        for name in "xy":
            active = tuple(1024 - 50 * (n % 4) for n in range(37))
            row = {"id": f"{domain}/{name}.wav", "path": "", "domain": domain, "split": "train", "hash": name}
            rows.append(row | {"length": 600.0, "gain": 1.0, "frames": 37 * 1024, "active": active})
            texts = {"id": row["id"], "domain": domain, "label": ""}
            for n, sounds in enumerate(active):
                log_mels = rng.normal(-4, 1, (1024, 2)).astype(np.float16)
                encoded.append(tfrecord.frame_record(tfrecord.encode_example("audio", log_mels, texts, n, sounds)))
        (folder / tfrecord.shard_name(domain, "train", 0, 1)).write_bytes(b"".join(encoded))
        sizes[domain, "train"] = [(len(encoded), sum(map(len, encoded)))]
    front_end = audio.AudioSpec.at(8000, n_fft=256, n_mels=2)
    moments = {name: stats.Moments.of(rng.normal(-4, 1, (64, 2)), lags=stats.LAGS) for name in "ab"}
    written = {
        "statistics.json": json.dumps(config.spec_to_json(Spec(front_end, ("a", "b"), moments))),
        "manifest.jsonl": "".join(tfrecord.json_lines(rows)),
        "features.json": json.dumps(tfrecord.features_json("audio", (None, 2))),
        "dataset_info.json": json.dumps(tfrecord.dataset_info_json(sizes)),
    }
    for name, text in written.items():
        (folder / name).write_text(text)
    return dataset.open_records(str(folder))


@pytest.fixture(scope="session")
def records_by_kind(speech_records, picture_records):
    return {"speech": dataset.open_records(speech_records), "picture": dataset.open_records(picture_records)}


@pytest.fixture(scope="session")
def segmented_records(speech_folder, tmp_path_factory):
    """Records with samples, of recordings that are cut into several."""
    folder = tmp_path_factory.mktemp("spoken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "SEGMENT_FRAMES", 40)
        preprocess(speech_folder, folder, ("low", "high"), pairs=["n_fft=256", "n_mels=32"], waveforms=True)
    return dataset.open_records(str(folder))


@pytest.fixture(scope="session")
def sparse_records(tmp_path_factory):
    """Long recordings in many records and shards, beside a domain of silence; everything in the training split."""
    folder = tmp_path_factory.mktemp("scarce")
    write_voices(folder, 5)
    (folder / "silent").mkdir()
    soundfile.write(folder / "silent" / "1.wav", np.zeros(8000), 8000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "SEGMENT_FRAMES", 20)
        patch.setattr(tfrecord, "SHARD_BYTES", 8 * 2 * 20 * 32)
        pairs = ["n_fft=256", "n_mels=32"]
        preprocess(folder, folder / "out", ("low", "silent"), pairs=pairs, fractions=(0.0, 0.0))
    return dataset.open_records(str(folder / "out"))
