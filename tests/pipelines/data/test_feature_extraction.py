"""Long recordings are divided among the splits; what a file yields is what its records hold."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from testbed import SMALL, laws, voice

from pipelines.data import feature_extraction, feature_store


@laws
@given(seconds=st.floats(0, 600), val=st.floats(0, 0.4), test=st.floats(0, 0.4))
def test_spans_are_in_order_apart_long_enough_and_at_hops(seconds, val, test):
    rate_hz, samples = SMALL.sample_rate_hz, int(seconds * SMALL.sample_rate_hz)
    spans = feature_extraction.split_spans(samples, SMALL, (val, test))
    if seconds < feature_extraction.MIN_CUT_S or not (val or test):
        assert not spans
        return
    assert list(spans) in ([], [s for s in ("train", "val", "test") if {"train": 1, "val": val, "test": test}[s]])
    ends = list(spans.values())
    for (begin, end), fraction in zip(ends, [0.0, *filter(None, (val, test))], strict=False):
        assert begin % SMALL.hop_length == 0 and 0 <= begin < end <= samples
        assert end - begin >= fraction * samples - 1
    for (_, end), (begin, _) in zip(ends, ends[1:], strict=False):
        assert begin - end >= feature_extraction.MARGIN_S * rate_hz
    for begin, end in ends[1:]:
        assert end - begin >= feature_extraction.MIN_PART_S * rate_hz


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
