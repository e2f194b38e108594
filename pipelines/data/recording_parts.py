"""Parts of a recording: divided among the splits, trimmed, and cut at pauses."""

from __future__ import annotations

import dataclasses

from models.features.audio import AudioSpec
from models.features.conditioning import Conditioning
from models.features.level import LevelMeter, active_level_db, block_samples

MARGIN_S = 1.0  # left out between two splits of one recording
MIN_PART_S = 2.0  # minimum duration of a split of a recording
MIN_CUT_S = 12.0  # shorter recordings are not divided among splits


@dataclasses.dataclass(frozen=True)
class RecordingPart:
    """A part of a recording.

    Attributes:
      span: first sample, and sample after the last.
      split: its split if the recording is divided among the splits; else empty.
      name: what is appended to the id of the recording; empty if it has no other parts.
      level_db: active level in dB re full scale; None for silence.
      is_whole: whether it is the whole recording.
    """

    span: tuple[int, int]
    split: str
    name: str
    level_db: float | None
    is_whole: bool


def parts_of(
    meter: LevelMeter, spec: AudioSpec, conditioning: Conditioning, fractions: tuple[float, float] | None
) -> list[RecordingPart]:
    """Return the parts of a recording that are kept, in their order.

    Args:
      meter: level of the recording.
      spec: the front end.
      conditioning: how it is trimmed and cut.
      fractions: fractions for validation and test if it may be divided among the splits; None if not.
    """
    powers, size = meter.scaled_powers(), block_samples(spec.sample_rate_hz)
    divided = split_spans(meter.samples, spec, fractions) if fractions else {}
    parts = []
    for split, (start, end) in (divided or {"": (0, meter.samples)}).items():
        blocks = start // size, -(-end // size)
        pieces = conditioning.spans(powers, blocks, spec.sample_rate_hz / size)
        for number, (first, last) in enumerate(pieces):
            span = max(start, _at_hop(first * size, spec)), end if last == blocks[1] else _at_hop(last * size, spec)
            label = f"{number:04d}" if conditioning.cut_s is not None and len(pieces) > 1 else ""
            name = "-".join(filter(None, (split, label)))
            level_db = active_level_db(powers[first:last])
            parts.append(RecordingPart(span, split, name, level_db, span == (0, meter.samples)))
    return parts


def _at_hop(sample: int, spec: AudioSpec) -> int:
    return sample // spec.hop_length * spec.hop_length


def split_spans(samples: int, spec: AudioSpec, fractions: tuple[float, float]) -> dict[str, tuple[int, int]]:
    """Divide a recording into spans for training, validation and test, in samples, at multiples of the hop.

    Between two spans, `MARGIN_S` is left out, so that no sound is in both. Each requested split gets its fraction, but
    `MIN_PART_S` at least.

    Args:
      samples: length of the recording.
      spec: the front end.
      fractions: fractions for validation and test; 0 for none.

    Returns:
      Start and end of the span by split; empty if the recording is too short or only training is requested.
    """
    rate_hz, hop = spec.sample_rate_hz, spec.hop_length
    if samples < MIN_CUT_S * rate_hz or not any(fractions):
        return {}
    spans, end = {}, samples
    for split, fraction in (("test", fractions[1]), ("val", fractions[0])):
        if fraction:
            length = max(fraction * samples, MIN_PART_S * rate_hz)
            start = int((end - length) / hop) * hop
            spans[split] = (start, end)
            end = int((start - MARGIN_S * rate_hz) / hop) * hop
    return {"train": (0, end), **dict(reversed(spans.items()))} if end > 0 else {}
