"""The F0 tracker against pYIN (librosa), and both against synthetic voices of known F0.

    python -m tests.bench_pitch --speech='vcc2016/test/*/20000*.flac' [--speech=GLOB ...] [--resynthesis]

The first table is of recordings, where no one knows the F0: the two trackers are compared with each other. The second
is of pulse trains through three formants, whose F0 is known, with white noise. With `--resynthesis` (needs `pyworld`)
there is a third, of the recordings after analysis and synthesis by WORLD, whose F0 is known too.

* gross error: share of the frames that both call voiced whose F0 differs by more than 20 %;
* fine error: median difference of the others in cents (100 cents are a semitone);
* found: share of the reference's voiced frames that are voiced; false: share of its unvoiced frames that are voiced;
* agreement: share of the frames on whose voicing both agree.
"""

from __future__ import annotations

import argparse
import glob
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import librosa
import numpy as np
import scipy.signal
import soundfile

from models.features import f0_tracking

RATE_HZ = 16000
MAX_SECONDS = 8  # of a recording
PYIN_FRAME_S, PYIN_STEP_SEMITONES = 0.064, 0.2
VOICES_HZ = (63, 70, 80, 90, 110, 150, 220, 330, 480)
FORMANTS = ((500, 60), (1500, 90), (2500, 150))  # frequency and bandwidth in Hz
NOISE_DB = (None, 20, 5)  # signal-to-noise ratio
VIBRATO, VIBRATO_HZ = 0.04, 4.0
VOICED_S, PERIOD_S = 0.35, 0.5  # of a syllable, and of a syllable with its pause
GROSS = 0.2

Tracker = Callable[[np.ndarray, int], np.ndarray]


class Clip(NamedTuple):
    """Samples, their rate in Hz, and their F0 in Hz every 10 ms if it is known."""

    y: np.ndarray
    rate_hz: int
    f0_hz: np.ndarray | None = None


def track_pyin(y: np.ndarray, rate_hz: int) -> np.ndarray:
    """F0 by probabilistic YIN (Mauch & Dixon 2014), at the frames of `f0_tracking.track_f0`."""
    lengths = {
        "frame_length": 2 * int(np.ceil(PYIN_FRAME_S * rate_hz / 2)),
        "hop_length": f0_tracking.hop_length(rate_hz),
        "resolution": PYIN_STEP_SEMITONES,
    }
    low, high = f0_tracking.RANGE_HZ
    return librosa.pyin(y, fmin=low, fmax=high, sr=rate_hz, **lengths)[0]


def compare(contours: list[np.ndarray], references: list[np.ndarray]) -> str:
    """Cells of a table: the errors of contours against reference contours, of any lengths."""
    cut = [(x[: len(y)], y[: len(x)]) for x, y in zip(contours, references, strict=True)]
    x, y = (np.concatenate(part) for part in zip(*cut, strict=True))
    voiced, reference = np.isfinite(x), np.isfinite(y)
    both = voiced & reference
    is_gross = np.abs(x / y - 1)[both] > GROSS
    cents = 1200 * np.abs(np.log2(x / y))[both][~is_gross]
    false = f"{100 * np.mean(voiced[~reference]):.1f} %" if not reference.all() else ""
    gross = f"{100 * np.mean(is_gross):.2f} %" if len(is_gross) else ""
    fine = f"{np.median(cents):.1f}" if len(cents) else ""
    return (
        f"{gross} | {fine} | {100 * np.mean(voiced[reference]):.1f} % | {false} | "
        f"{100 * np.mean(voiced == reference):.1f} %"
    )


def read_clips(patterns: list[str]) -> list[Clip]:
    """The first seconds of mono recordings."""
    clips = []
    for path in (path for pattern in patterns for path in sorted(glob.glob(pattern))):
        y, rate_hz = soundfile.read(path, dtype="float32")
        clips.append(Clip(y[: MAX_SECONDS * rate_hz], rate_hz))
    return clips


def pulse_voice(f0_hz: float, noise_db: float | None, rng: np.random.Generator) -> Clip:
    """Four seconds of syllables: a pulse train with vibrato through formants, and pauses."""
    t = np.arange(4 * RATE_HZ) / RATE_HZ
    f0 = f0_hz * (1 + VIBRATO * np.sin(2 * np.pi * (VIBRATO_HZ * t + rng.uniform())))
    phase = np.cumsum(f0) / RATE_HZ
    syllables = t % PERIOD_S < VOICED_S
    y = np.diff(np.floor(phase), prepend=0.0) * syllables
    for frequency, bandwidth in FORMANTS:
        radius, angle = np.exp(-np.pi * bandwidth / RATE_HZ), 2 * np.pi * frequency / RATE_HZ
        y = scipy.signal.lfilter([1.0], [1, -2 * radius * np.cos(angle), radius**2], y)
    y = add_noise(0.1 * y / np.abs(y).max(), noise_db, rng)
    return Clip(y, RATE_HZ, np.where(syllables, f0, np.nan)[:: f0_tracking.hop_length(RATE_HZ)])


def add_noise(y: np.ndarray, noise_db: float | None, rng: np.random.Generator) -> np.ndarray:
    """Add white noise at a ratio to the power of the signal, and hardly audible noise in any case."""
    level = 1e-6 if noise_db is None else np.sqrt(np.mean(np.square(y)) * 10 ** (-noise_db / 10))
    return np.float32(y + level * rng.normal(size=len(y)))


def resynthesize(clip: Clip, noise_db: float | None, rng: np.random.Generator) -> Clip:
    """Analysis and synthesis by WORLD (Morise et al. 2016): speech of known F0; frames of noise count as unvoiced."""
    import pyworld

    y, options = clip.y.astype(np.float64), {"f0_floor": f0_tracking.RANGE_HZ[0], "f0_ceil": f0_tracking.RANGE_HZ[1]}
    f0_hz, times = pyworld.harvest(y, clip.rate_hz, frame_period=5.0, **options)
    aperiodicity = pyworld.d4c(y, f0_hz, times, clip.rate_hz)
    envelope = pyworld.cheaptrick(y, f0_hz, times, clip.rate_hz)
    made = pyworld.synthesize(f0_hz, envelope, aperiodicity, clip.rate_hz, 5.0)[: len(y)]
    low = aperiodicity[:, : int(1000 / (clip.rate_hz / 2) * aperiodicity.shape[1])].mean(axis=1)
    truth = np.where((f0_hz > 0) & (low < 0.9), f0_hz, np.nan)[::2]
    return Clip(add_noise(made, noise_db, rng), clip.rate_hz, truth)


def rows(label: str, clips: list[Clip]) -> Iterator[str]:
    """Rows of a table: each tracker against the known F0."""
    for name, track in (("pYIN", track_pyin), ("ours", f0_tracking.track_f0)):
        cells = compare([track(clip.y, clip.rate_hz) for clip in clips], [clip.f0_hz for clip in clips])
        yield f"| {label}, {name} | {cells} |"


def print_table(heading: str, lines: Iterator[str]) -> None:
    """Print a Markdown table."""
    print(f"\n| {heading} | gross error | fine error (cents) | found | false | agreement |\n|---|---|---|---|---|---|")
    for line in lines:
        print(line, flush=True)


def timed(track: Tracker, clips: list[Clip]) -> tuple[list[np.ndarray], float]:
    """Contours of clips, and how many times as fast as real time they were tracked, in seconds of the processor."""
    began = time.process_time()
    contours = [track(clip.y, clip.rate_hz) for clip in clips]
    return contours, sum(len(clip.y) / clip.rate_hz for clip in clips) / (time.process_time() - began)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", action="append", required=True, metavar="GLOB", help="mono recordings")
    parser.add_argument("--resynthesis", action="store_true", help="also the recordings after WORLD; needs pyworld")
    options = parser.parse_args()
    clips, rng = read_clips(options.speech), np.random.default_rng(0)
    timed(track_pyin, clips[:1])  # compiles it
    (theirs, their_speed), (ours, our_speed) = (timed(track, clips) for track in (track_pyin, f0_tracking.track_f0))
    print_table("recordings", iter([f"| ours against pYIN, {len(clips)} recordings | {compare(ours, theirs)} |"]))
    print(
        f"\nTimes real time: ours {our_speed:.0f}, pYIN {their_speed:.1f}: {our_speed / their_speed:.0f} times as fast"
    )
    for noise_db in NOISE_DB:
        noise = "" if noise_db is None else f", {noise_db} dB"
        lines = (row for hz in VOICES_HZ for row in rows(f"{hz} Hz{noise}", [pulse_voice(hz, noise_db, rng)]))
        print_table("pulse trains", lines)
        if options.resynthesis:
            print_table("WORLD", rows(f"speech{noise}", [resynthesize(clip, noise_db, rng) for clip in clips]))


if __name__ == "__main__":
    main()
