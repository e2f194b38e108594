"""What `translate` holds in memory, for recordings of any length and for many of them, and whether seams can be heard.

  python -m tests.bench_lengths --run_dir=out/demo/run --target=high \\
      --recordings='out/demo/corpus/low/*.wav' --output_dir=out/lengths

Recordings in another order again and again make one of 10 minutes and one of 60, and 2,000 clips of a second. Memory
is the resident size of the script and its children, ten times a second, at its peak. A seam is where two chunks of
the long recording are cross-faded: there the level of what is made against the source's, and its treble's (of second
differences, in which clicks would stand out), are compared with those of as many places half a chunk later; a mean
difference in dB, and its standard error.
"""

from __future__ import annotations

import argparse
import glob
import pathlib
import subprocess
import sys
import time

import numpy as np
import psutil
import soundfile

from models.features import inversion, recording
from pipelines.inference.exported_model import Model

MINUTES = (10, 60)
CLIPS = 2000


def held(name: str, *arguments: str) -> tuple[float, float]:
    """Runs one of the scripts; its seconds, and its peak resident size in GB, children included.

    Raises:
      subprocess.CalledProcessError: it failed; what it said is on the error stream.
    """
    command = [sys.executable, "-m", f"pipelines.{name}", *arguments]
    began, peak = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(0.1)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.monotonic() - began, peak / 1e9


def _resident(pid: int) -> int:
    total = 0
    try:
        for each in (root := psutil.Process(pid), *root.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:  # it has just ended
        return total
    return total


def write_long(path: pathlib.Path, found: list[np.ndarray], seconds: float, rate_hz: int) -> None:
    """A recording of so many seconds, of others in random order."""
    rng, left = np.random.default_rng(0), int(seconds * rate_hz)
    with soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16") as file:
        while left:
            part = found[rng.integers(len(found))][:left]
            file.write(part)
            left -= len(part)


def write_clips(folder: pathlib.Path, found: list[np.ndarray], rate_hz: int) -> None:
    """Clips of a second, each of one recording, cut or repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(CLIPS):
        clip = np.resize(found[n % len(found)], rate_hz)
        soundfile.write(folder / f"{n:04d}.wav", clip * (0.5 + 0.5 * (n % 7) / 7), rate_hz)


def seams(source: np.ndarray, made: np.ndarray, hop: int) -> list[tuple[float, float]]:
    """How much louder, in dB, seams are than places between them: all frequencies, treble; mean and standard error."""
    chunk, overlap = inversion.CHUNK_FRAMES * hop, inversion.OVERLAP_FRAMES * hop
    found = []
    for differences in (0, 2):
        x, y = (np.square(np.diff(np.float64(wave), differences)) for wave in (source, made))
        louder = [[], []]
        for begin in range(chunk, len(y) - chunk, chunk):
            for where, start in enumerate((begin, begin + chunk // 2)):
                part = slice(start, start + overlap)
                louder[where].append(10 * np.log10((y[part].mean() + 1e-10) / (x[part].mean() + 1e-10)))
        apart = np.subtract(*louder)
        found.append((float(apart.mean()), float(apart.std() / len(apart) ** 0.5)))
    return found


def main() -> None:
    """Prints a line for each input, and one of seams."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--recordings", required=True, metavar="GLOB")
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--inverter", default="griffin_lim")
    flags = parser.parse_args()
    spec = Model(flags.run_dir).spec.features
    paths = sorted(glob.glob(flags.recordings)) or parser.error(f"--recordings={flags.recordings}: no file matches")
    found = [recording.read(path, spec.sample_rate_hz) for path in paths]
    out = flags.output_dir
    write_clips(out / "clips", found, spec.sample_rate_hz)
    inputs = {f"{CLIPS} clips of 1 s": out / "clips"}
    for minutes in MINUTES:
        inputs[f"{minutes} minutes"] = out / f"{minutes}_minutes.wav"
        write_long(inputs[f"{minutes} minutes"], found, 60 * minutes, spec.sample_rate_hz)
    for name, path in inputs.items():
        asked = [f"--run_dir={flags.run_dir}", f"--target={flags.target}", f"--inverter={flags.inverter}"]
        seconds, peak = held("translate", *asked, f"--input={path}", f"--output_dir={out}/made")
        print(f"{name:22} {seconds:7.1f} s  {peak:.2f} GB at the peak", flush=True)
    long = f"{MINUTES[-1]}_minutes.wav"
    waves = (soundfile.read(path)[0] for path in (out / long, out / "made" / long))
    for kind, (mean, error) in zip(("level", "treble"), seams(*waves, spec.hop_length), strict=True):
        print(f"{kind} at seams against between them: {mean:+.2f} dB, standard error {error:.2f}")


if __name__ == "__main__":
    main()
