"""Long recordings are divided among the splits; what a file yields is what its records hold."""

import io

import numpy as np
import pytest
import soundfile
from testbed import SMALL, voice

from pipelines.data import feature_extraction, feature_store


@pytest.mark.parametrize("waveforms", [False, True])
def test_a_divided_recording_yields_a_part_for_each_split_at_one_gain(tmp_path, waveforms):
    file = io.BytesIO()
    soundfile.write(file, voice(110, 20.0, 8000, 0), 8000, format="WAV")
    store = feature_store.FeatureStore(str(tmp_path), SMALL, waveforms, (0.2, 0.2))
    parts = []
    for part in feature_extraction.extract(file, store, may_cut=True):
        segments = list(part.segments)
        assert all((samples is not None) is waveforms for _, samples in segments)
        assert sum(len(log_mels) for log_mels, _ in segments) == part.facts["frames"]
        parts.append(part.facts)
    assert [facts["split"] for facts in parts] == ["train", "val", "test"]
    assert len({facts["gain"] for facts in parts}) == 1
    assert np.isclose(parts[-1]["part"][1], 20.0)
